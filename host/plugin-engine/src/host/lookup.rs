//! `lookup`: rows of the tenant's cached tables, and of tables from files.

use mail_types::Lookup;

use super::{permanent, temporary};
use crate::bindings::wasmta::policy::lookup::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::{Call, ITEM_OCTETS};
use crate::reads::{NAMES_MAX, Reads};

/// Tables that the host keeps; all others are from files, which have other names.
pub const SERVER_TABLES: [&str; 3] = ["users", "domains", "aliases"];
/// Most keys of one question.
const KEYS_MAX: usize = 1000;

type Row = Result<Option<Vec<(String, String)>>, Failure>;
type Rows = Result<Vec<Option<Vec<(String, String)>>>, Failure>;

impl Call {
    /// Of the row of a key what is read of it.
    fn row(&self, table: &str, key: &str, reads: &Reads) -> Row {
        if let Some(rows) = self.settings.tables.get(table) {
            return Ok(rows.get(&key.to_lowercase()).map(|row| reads.of(row)));
        }
        if !SERVER_TABLES.contains(&table) {
            return Err(permanent(format!("there is no table {table:?} (plugins.NAME.tables)")));
        }
        let Some(surroundings) = &self.surroundings else { return Ok(None) };
        match surroundings.world.table_row(self.tenant.as_ref(), table, &key.to_lowercase()) {
            Lookup::Found(row) => Ok(Some(reads.of(&row))),
            Lookup::NotFound => Ok(None),
            Lookup::Unavailable(why) => Err(temporary(why)),
        }
    }

    /// Whether so many keys, and names of attributes, may be asked for at a time.
    fn charge_rows(
        &mut self,
        table: &str,
        keys: &[String],
        names: &[String],
    ) -> wasmtime::Result<Result<(), Failure>> {
        let texts = keys.iter().chain(names);
        self.charge(texts.fold(table.len(), |sum, text| sum + text.len() + ITEM_OCTETS))?;
        if keys.len() > KEYS_MAX {
            return Ok(Err(permanent(format!("at most {KEYS_MAX} keys at a time"))));
        }
        if names.len() > NAMES_MAX {
            return Ok(Err(permanent(format!("at most {NAMES_MAX} attributes at a time"))));
        }
        Ok(Ok(()))
    }
}

impl Host for Call {
    fn get(&mut self, table: String, key: String) -> wasmtime::Result<Row> {
        self.charge(table.len() + key.len())?;
        let ask = self.asks("lookup.get", &(&table, &key));
        self.taped(ask, |call| call.row(&table, &key, &Reads::All))
    }

    fn get_many(&mut self, table: String, keys: Vec<String>) -> wasmtime::Result<Rows> {
        if let Err(failure) = self.charge_rows(&table, &keys, &[])? {
            return Ok(Err(failure));
        }
        let ask = self.asks("lookup.get-many", &(&table, &keys));
        self.taped(ask, |call| keys.iter().map(|key| call.row(&table, key, &Reads::All)).collect())
    }

    fn select(&mut self, table: String, keys: Vec<String>, names: Vec<String>) -> wasmtime::Result<Rows> {
        if let Err(failure) = self.charge_rows(&table, &keys, &names)? {
            return Ok(Err(failure));
        }
        let ask = self.asks("lookup.select", &(&table, &keys, &names));
        let reads = Reads::Named(names);
        self.taped(ask, |call| keys.iter().map(|key| call.row(&table, key, &reads)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Instant;

    use hooks::{Attributes, BoxFuture, Ownership, World};
    use mail_types::{ChannelName, Domain};

    use super::*;
    use crate::call::Surroundings;
    use crate::kv::{Kv, SPACES};
    use crate::settings::{BreakerOptions, Settings};
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

    #[test]
    fn of_a_row_the_attributes_that_are_named_are_had_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let options = storage::Options { size_max: 16 << 20, synced: false, ..Default::default() };
        let kv = Kv::new(storage::Storage::open(folder.path(), SPACES, &options).unwrap());
        let mut settings = Settings::new("reader".parse().unwrap());
        settings.tables.insert("file".into(), Arc::new(HashMap::from([("anna".to_owned(), row())])));
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let surroundings = Surroundings { world: Arc::new(Anna), kv };
        let (settings, now) = (Arc::new(settings), Instant::now());
        let mut call = Call::new(settings, Arc::default(), Some(surroundings), None, share, now);

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
