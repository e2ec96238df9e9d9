//! `lookup`: rows of the tenant's cached tables, and of tables from files.

use hooks::{Attributes, FailureKind};
use mail_types::Lookup;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{permanent, temporary};
use crate::bindings::wasmta::policy::lookup::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::{Call, ITEM_OCTETS};
use crate::reads::{NAMES_MAX, Reads};
use crate::tape::{Ask, Tape};

/// Tables that the host keeps; all others are from files, which have other names.
pub const SERVER_TABLES: [&str; 3] = ["users", "domains", "aliases"];
/// Most keys of one question.
const KEYS_MAX: usize = 1000;
/// What it takes to find a row counts for, or to find that there is none, in octets that are looked through.
const KEY_OCTETS: usize = 256;

type Row = Option<Vec<(String, String)>>;

/// What a plugin is given of rows, and how much that is.
struct Giving {
    reads: Reads,
    octets: u64,
}

impl Giving {
    fn of(reads: Reads) -> Self {
        Self { reads, octets: 0 }
    }
}

/// Why there is no row.
enum Lacking {
    /// The plugin is told.
    Failed(Failure),
    /// The call ends.
    Ended(wasmtime::Error),
}

impl Call {
    fn row(&mut self, table: &str, key: &str, giving: &mut Giving) -> Result<Row, Lacking> {
        if let Some(rows) = self.settings.tables.get(table).cloned() {
            return rows.get(&key.to_lowercase()).map(|row| self.given(row, giving)).transpose();
        }
        if !SERVER_TABLES.contains(&table) {
            let why = format!("there is no table {table:?} (plugins.NAME.tables)");
            return Err(Lacking::Failed(permanent(why)));
        }
        self.charge_work(KEY_OCTETS).map_err(Lacking::Ended)?;
        let Some(surroundings) = &self.surroundings else { return Ok(None) };
        match surroundings.world.table_row(self.tenant.as_ref(), table, &key.to_lowercase()) {
            Lookup::Found(row) => self.given(&row, giving).map(Some),
            Lookup::NotFound => Ok(None),
            Lookup::Unavailable(why) => Err(Lacking::Failed(temporary(why))),
        }
    }

    /// What is read of a row. To look through it takes time, and what is given takes memory: both are the plugin's.
    fn given(&mut self, row: &Attributes, giving: &mut Giving) -> Result<Vec<(String, String)>, Lacking> {
        let mut given = Vec::new();
        for (name, value) in row {
            let octets = name.len() + value.len() + 2 * ITEM_OCTETS;
            self.charge_work(octets).map_err(Lacking::Ended)?;
            if !giving.reads.has(name) {
                continue;
            }
            giving.octets += octets as u64;
            let max = self.limits().memory;
            if giving.octets > max {
                let why = format!("it wanted more than {max} octets of rows at a time (limits.memory)");
                return Err(Lacking::Ended(self.break_off(FailureKind::Memory, why)));
            }
            given.push((name.clone(), value.clone()));
        }
        Ok(given)
    }

    /// The rows of keys, as `function` of the contract gives them.
    fn rows(
        &mut self,
        function: &'static str,
        table: &str,
        (keys, reads): (&[String], Reads),
    ) -> wasmtime::Result<Result<Vec<Row>, Failure>> {
        let names = if let Reads::Named(names) = &reads { &names[..] } else { &[] };
        let texts = keys.iter().chain(names);
        self.charge(texts.fold(table.len(), |sum, text| sum + text.len() + ITEM_OCTETS))?;
        if keys.len() > KEYS_MAX {
            return Ok(Err(permanent(format!("at most {KEYS_MAX} keys at a time"))));
        }
        if names.len() > NAMES_MAX {
            return Ok(Err(permanent(format!("at most {NAMES_MAX} attributes at a time"))));
        }
        let ask = match &reads {
            Reads::All => self.asks(function, &(table, keys)),
            Reads::Named(names) => {
                if let Some(answer) = self.played_whole(table, keys, &reads)? {
                    return Ok(answer);
                }
                self.asks(function, &(table, keys, names))
            }
        };
        let mut giving = Giving::of(reads);
        self.looked_up(ask, |call| keys.iter().map(|key| call.row(table, key, &mut giving)).collect())
    }

    /// What a version that asked for whole rows was told of the same keys: who asks for less now can be told from it.
    fn played_whole(
        &mut self,
        table: &str,
        keys: &[String],
        reads: &Reads,
    ) -> wasmtime::Result<Option<Result<Vec<Row>, Failure>>> {
        if !matches!(self.tape, Tape::Playing(_)) {
            return Ok(None);
        }
        let many = self.asks("lookup.get-many", &(table, keys));
        let whole: Option<Result<Vec<Row>, Failure>> = if self.plays(&many) {
            self.played(&many)?
        } else if let [key] = keys {
            let one = self.asks("lookup.get", &(table, key));
            let row: Option<Result<Row, Failure>> = if self.plays(&one) { self.played(&one)? } else { None };
            row.map(|row| row.map(|row| vec![row]))
        } else {
            None
        };
        let cut = |row: Row| row.map(|row| reads.of(&row));
        Ok(whole.map(|rows| rows.map(|rows| rows.into_iter().map(cut).collect())))
    }

    /// The answer of a recording, or a new one that is kept; none is kept of a call that it ends.
    fn looked_up<T: Serialize + DeserializeOwned>(
        &mut self,
        ask: Ask,
        look: impl FnOnce(&mut Self) -> Result<T, Lacking>,
    ) -> wasmtime::Result<Result<T, Failure>> {
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let answer = match look(self) {
            Ok(found) => Ok(found),
            Err(Lacking::Failed(failure)) => Err(failure),
            Err(Lacking::Ended(error)) => return Err(error),
        };
        Ok(self.kept(ask, answer))
    }
}

impl Host for Call {
    fn get(&mut self, table: String, key: String) -> wasmtime::Result<Result<Row, Failure>> {
        self.charge(table.len() + key.len())?;
        let ask = self.asks("lookup.get", &(&table, &key));
        self.looked_up(ask, |call| call.row(&table, &key, &mut Giving::of(Reads::All)))
    }

    fn get_many(&mut self, table: String, keys: Vec<String>) -> wasmtime::Result<Result<Vec<Row>, Failure>> {
        self.rows("lookup.get-many", &table, (&keys, Reads::All))
    }

    fn select(
        &mut self,
        table: String,
        keys: Vec<String>,
        names: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Row>, Failure>> {
        self.rows("lookup.select", &table, (&keys, Reads::Named(names)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use hooks::{BoxFuture, Ownership, World};
    use mail_types::{ChannelName, Domain};

    use super::*;
    use crate::call::Surroundings;
    use crate::kv::{Kv, SPACES};
    use crate::settings::{BreakerOptions, Limits, Settings};
    use crate::tenant::Tenants;

    /// A world in which one user is known.
    struct Anna;

    impl World for Anna {
        fn ownership(&self, _: &Domain, _: &Domain) -> Lookup<Ownership> {
            Lookup::NotFound
        }
        fn has_channel(&self, _: &ChannelName) -> bool {
            false
        }
        fn generation(&self) -> u64 {
            0
        }
        fn table_row(&self, _: Option<&Domain>, _: &str, key: &str) -> Lookup<Arc<Attributes>> {
            match key {
                "anna@example.org" => Lookup::Found(Arc::new(row())),
                "later@example.org" => Lookup::Unavailable("the tables are being built".into()),
                _ => Lookup::NotFound,
            }
        }
        fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
            Box::pin(std::future::pending())
        }
    }

    fn row() -> Attributes {
        let names = ["uid", "mailTag", "cn;lang-de", "mailTagged", "mailtag", "cn"];
        names.map(|name| (name.to_owned(), format!("of {name}"))).to_vec()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// The names of what is had of each row.
    fn selected(call: &mut Call, table: &str, keys: &[&str], names: &[&str]) -> Vec<Option<Vec<String>>> {
        let rows = call.select(table.to_owned(), texts(keys), texts(names)).unwrap().unwrap();
        rows.into_iter().map(|row| row.map(|row| row.into_iter().map(|(name, _)| name).collect())).collect()
    }

    fn call(settings: Settings, folder: &tempfile::TempDir) -> Call {
        let options = storage::Options { size_max: 16 << 20, synced: false, ..Default::default() };
        let kv = Kv::new(storage::Storage::open(folder.path(), SPACES, &options).unwrap());
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let surroundings = Surroundings { world: Arc::new(Anna), kv };
        Call::new(Arc::new(settings), Arc::default(), Some(surroundings), None, share, Instant::now())
    }

    /// A plugin that asks for large rows: how the call ends.
    fn asks_for_much(limits: fn(&mut Limits), names: &[String]) -> (FailureKind, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("greedy".parse().unwrap());
        (settings.limits.cpu, settings.limits.memory) = (Duration::from_secs(3600), u64::MAX);
        limits(&mut settings.limits);
        let large: Attributes =
            (0..2000).map(|nth| ("description".to_owned(), format!("value {nth}"))).collect();
        settings.tables.insert("file".into(), Arc::new(HashMap::from([("large".to_owned(), large)])));
        let mut call = call(settings, &folder);
        let keys = vec!["large".to_owned(); KEYS_MAX];
        assert!(call.select("file".into(), keys, names.to_vec()).is_err());
        call.take_breach().unwrap()
    }

    #[test]
    fn what_the_host_looks_through_is_the_plugins_time_and_what_it_gives_is_its_memory() {
        let absent: Vec<String> = (0..NAMES_MAX).map(|nth| format!("description{nth}")).collect();
        let (kind, why) = asks_for_much(|limits| limits.cpu = Duration::from_millis(10), &absent);
        assert_eq!((kind, why.contains("limits.cpu")), (FailureKind::Cpu, true), "{why}");
        let (kind, why) = asks_for_much(|limits| limits.memory = 1 << 20, &texts(&["description"]));
        assert_eq!((kind, why.contains("limits.memory")), (FailureKind::Memory, true), "{why}");
    }

    #[test]
    fn who_asks_for_less_is_told_from_what_was_recorded_of_whole_rows() {
        let folder = tempfile::tempdir().unwrap();
        let settings = || {
            let mut settings = Settings::new("reader".parse().unwrap());
            settings.tables.insert("file".into(), Arc::new(HashMap::from([("anna".to_owned(), row())])));
            settings
        };
        let mut before = call(settings(), &folder);
        before.tape = Tape::recording();
        let _ = before.get_many("file".into(), texts(&["anna", "nobody"])).unwrap();
        let _ = before.get("file".into(), "anna".into()).unwrap();
        let _ = before.get("file".into(), "anna".into()).unwrap();
        let kept = std::mem::take(&mut before.tape).into_kept().unwrap();
        drop(before);

        // Its own file is another one now: what is played counts.
        let mut now = call(Settings::new("reader".parse().unwrap()), &folder);
        now.tape = Tape::playing(&kept.asked, &kept.answers);
        let uid = Some(texts(&["uid"]));
        assert_eq!(selected(&mut now, "file", &["anna", "nobody"], &["uid"]), [uid.clone(), None]);
        assert_eq!(selected(&mut now, "file", &["anna"], &["UID"]), [uid]);
        assert!(now.select("file".into(), texts(&["emma"]), vec![]).is_err(), "that was not asked");
    }

    #[test]
    fn of_a_row_the_attributes_that_are_named_are_had_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("reader".parse().unwrap());
        settings.tables.insert("file".into(), Arc::new(HashMap::from([("anna".to_owned(), row())])));
        let mut call = call(settings, &folder);

        for (table, key) in [("users", "Anna@example.org"), ("file", "ANNA")] {
            let all = Ok(vec![None, Some(row())]);
            assert_eq!(call.get_many(table.into(), texts(&["nobody", key])).unwrap().map_err(|_| ()), all);
            let tags = Some(texts(&["mailTag", "mailtag"]));
            assert_eq!(selected(&mut call, table, &[key, "nobody"], &["MAILTAG"]), [tags, None]);
            let names = Some(texts(&["uid", "cn;lang-de", "cn"]));
            assert_eq!(selected(&mut call, table, &[key], &["cn", "uid", "absent"]), [names]);
            assert_eq!(selected(&mut call, table, &[key, "nobody"], &[]), [Some(vec![]), None]);
        }
        let failure =
            call.select("users".into(), texts(&["later@example.org"]), vec![]).unwrap().unwrap_err();
        assert!(!failure.permanent, "{failure:?}");
        for (keys, names) in [(KEYS_MAX + 1, 0), (1, NAMES_MAX + 1)] {
            let asked = call.select("users".into(), texts(&vec!["a"; keys]), texts(&vec!["b"; names]));
            let failure = asked.unwrap().unwrap_err();
            assert!(failure.permanent && failure.message.contains("at a time"), "{failure:?}");
        }
    }
}
