//! The small store of each plugin and tenant.
//!
//! | space | key | value |
//! |---|---|---|
//! | `plugin_kv` | plugin, 0, tenant, 0, key | expiry in seconds since 1970 (u64 little-endian, 0: never), octets |
//! | `plugin_kv_used` | plugin, 0, tenant | counter record: octets used |
//!
//! Whatever is written is on stable storage before the call returns. A value that has expired counts as absent, and is
//! overwritten or swept.

use std::ops::ControlFlow;
use std::sync::Arc;

use hooks::PluginName;
use mail_types::{Domain, Timestamp};
use storage::{Batch, Snapshot, Space, Storage, StorageError};
use tokio::sync::Mutex;

const VALUES: Space = Space::new("plugin_kv");
const USED: Space = Space::new("plugin_kv_used");
/// The spaces that the caller opens the storage with.
pub const SPACES: &[Space] = &[VALUES, USED];

/// Longest key, and value, in octets.
pub const KEY_MAX: usize = 256;
/// Longest value, in octets.
pub const VALUE_MAX: usize = 64 << 10;
/// How often a change is tried anew when another came first.
const CONFLICTS_MAX: usize = 16;
/// Most expired values removed in one sweep.
const SWEEP_MAX: usize = 1000;

/// Where a plugin keeps things for a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Place(Vec<u8>);

impl Place {
    /// A candidate has a place of its own: no name of a plugin has a space.
    pub(crate) fn new(plugin: &PluginName, tenant: Option<&Domain>, shadow: bool) -> Self {
        let mut key = plugin.as_str().as_bytes().to_vec();
        key.extend_from_slice(if shadow { b" shadow" } else { b"" });
        key.push(0);
        // Neither names nor domains have a NUL.
        key.extend_from_slice(tenant.map_or("", Domain::as_str).as_bytes());
        Self(key)
    }

    fn key(&self, name: &str) -> Result<Vec<u8>, KvError> {
        if name.is_empty() || name.len() > KEY_MAX {
            return Err(KvError::Refused(format!("a key has 1 to {KEY_MAX} octets")));
        }
        let mut key = self.0.clone();
        key.push(0);
        key.extend_from_slice(name.as_bytes());
        Ok(key)
    }
}

/// Why nothing was read or written.
#[derive(Debug, Clone)]
pub(crate) enum KvError {
    /// Not now.
    Unavailable(String),
    /// Not ever, like this.
    Refused(String),
}

impl From<StorageError> for KvError {
    fn from(error: StorageError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// How many changes go on at a time: those of one place one after the other, or each would see the room of all.
const TURNS: usize = 32;

/// The store; clones are the same one.
#[derive(Clone)]
pub(crate) struct Kv(Storage, Arc<[Mutex<()>; TURNS]>);

/// A stored value: when it expires, what it says, and the octets as they lie there.
struct Stored {
    expires: u64,
    value: Vec<u8>,
    raw: Vec<u8>,
}

impl Kv {
    pub(crate) fn new(storage: Storage) -> Self {
        Self(storage, Arc::new(std::array::from_fn(|_| Mutex::default())))
    }

    /// Ends the storage's writer, so that its folder can be opened anew.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }

    pub(crate) fn read(&self, place: &Place, name: &str, now: Timestamp) -> Result<Option<Vec<u8>>, KvError> {
        let key = place.key(name)?;
        let stored = stored(&self.0.read()?, &key)?;
        Ok(stored.filter(|stored| !is_over(stored.expires, now)).map(|stored| stored.value))
    }

    /// Sets a value with its time to live, or removes it.
    pub(crate) async fn write(
        &self,
        place: &Place,
        name: &str,
        new: Option<(Vec<u8>, u32)>,
        now: Timestamp,
        max: u64,
    ) -> Result<(), KvError> {
        let key = place.key(name)?;
        let new = match new {
            Some((value, _)) if value.len() > VALUE_MAX => {
                return Err(KvError::Refused(format!("a value has at most {VALUE_MAX} octets")));
            }
            Some((value, ttl)) => Some((value, expiry(now, ttl))),
            None => None,
        };
        for _ in 0..CONFLICTS_MAX {
            if self.replace(place, &key, new.as_ref(), |_| true, max).await? {
                return Ok(());
            }
        }
        Err(KvError::Unavailable("too many changes of the same key at a time".to_owned()))
    }

    /// Adds to a counter; gives its new value.
    pub(crate) async fn count(
        &self,
        place: &Place,
        name: &str,
        add: i32,
        window: u32,
        now: Timestamp,
        max: u64,
    ) -> Result<i32, KvError> {
        let key = place.key(name)?;
        for _ in 0..CONFLICTS_MAX {
            let before = stored(&self.0.read()?, &key)?;
            let live = before.as_ref().filter(|stored| !is_over(stored.expires, now));
            let (count, expires) =
                match live.map(|stored| (<[u8; 4]>::try_from(&*stored.value), stored.expires)) {
                    None => (0, expiry(now, window)),
                    Some((Ok(octets), expires)) => (i32::from_le_bytes(octets), expires),
                    Some((Err(_), _)) => return Err(KvError::Refused(format!("{name:?} holds no counter"))),
                };
            let count = count.saturating_add(add);
            let seen = before.map(|stored| stored.raw);
            let new = (count.to_le_bytes().to_vec(), expires);
            if self.replace(place, &key, Some(&new), |raw| raw == seen.as_deref(), max).await? {
                return Ok(count);
            }
        }
        Err(KvError::Unavailable("too many changes of the same key at a time".to_owned()))
    }

    /// One try to put a value in place of what is there; `false` where another change came first.
    async fn replace(
        &self,
        place: &Place,
        key: &[u8],
        new: Option<&(Vec<u8>, u64)>,
        expected: impl Fn(Option<&[u8]>) -> bool,
        max: u64,
    ) -> Result<bool, KvError> {
        let place_number =
            place.0.iter().fold(0_usize, |sum, octet| sum.wrapping_mul(31) + usize::from(*octet));
        // Held over the commit on purpose.
        let _turn = self.1[place_number % TURNS].lock().await;
        let (old, used) = {
            let snapshot = self.0.read()?;
            let old = snapshot.get(VALUES, key)?.map(std::borrow::Cow::into_owned);
            (old, snapshot.counter(USED, &place.0, 0)?)
        };
        if !expected(old.as_deref()) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        match &old {
            Some(raw) => batch.assert_equals(VALUES, key, raw),
            None => batch.assert_absent(VALUES, key),
        }
        let size = |value: usize| i64::try_from(key.len() + value).unwrap_or(i64::MAX);
        let before = old.as_ref().map_or(0, |raw| size(raw.len()));
        let after = new.map_or(0, |(value, _)| size(value.len() + 8));
        let grown = after - before;
        if grown > 0 && used.saturating_add(grown.unsigned_abs()) > max {
            return Err(KvError::Refused(format!(
                "the store of this plugin and tenant is full: {max} octets"
            )));
        }
        match new {
            Some((value, expires)) => {
                let mut raw = expires.to_le_bytes().to_vec();
                raw.extend_from_slice(value);
                batch.put(VALUES, key, raw);
            }
            None => batch.delete(VALUES, key),
        }
        if grown != 0 {
            batch.add(USED, &place.0, &[(0, grown)]);
        }
        match self.0.commit(batch).await {
            Ok(_) => Ok(true),
            Err(StorageError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes everything, of every plugin and tenant: for a trial that begins anew.
    pub(crate) async fn clear(&self) -> Result<(), KvError> {
        let mut batch = Batch::new();
        for space in SPACES {
            let mut keys = Vec::new();
            self.0.read()?.scan(*space, &[], &[0xff], &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            keys.iter().for_each(|key| batch.delete(*space, key));
        }
        self.0.commit(batch).await?;
        Ok(())
    }

    /// Removes what has expired, a bounded number at a time; gives how many.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<usize, KvError> {
        let mut over: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.0.read()?.scan(VALUES, &[], &[0xff], &mut |key, raw| {
            if raw.get(..8).is_some_and(|head| is_over(read_u64(head), now)) {
                over.push((key.to_vec(), raw.to_vec()));
            }
            if over.len() < SWEEP_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut removed = 0;
        for (key, raw) in over {
            let mut batch = Batch::new();
            batch.assert_equals(VALUES, &key, &raw);
            batch.delete(VALUES, &key);
            let mut zeros = key.iter().enumerate().filter(|(_, octet)| **octet == 0).map(|(at, _)| at);
            if let Some(end) = zeros.nth(1) {
                let size = i64::try_from(key.len() + raw.len()).unwrap_or(i64::MAX);
                batch.add(USED, &key[..end], &[(0, -size)]);
            }
            match self.0.commit(batch).await {
                Ok(_) => removed += 1,
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(removed)
    }
}

fn stored(snapshot: &Snapshot, key: &[u8]) -> Result<Option<Stored>, KvError> {
    let Some(raw) = snapshot.get(VALUES, key)? else { return Ok(None) };
    let raw = raw.into_owned();
    let Some((head, value)) = raw.split_at_checked(8) else {
        return Err(KvError::Unavailable("a stored value is cut short".to_owned()));
    };
    Ok(Some(Stored { expires: read_u64(head), value: value.to_vec(), raw }))
}

fn read_u64(head: &[u8]) -> u64 {
    <[u8; 8]>::try_from(head).map_or(0, u64::from_le_bytes)
}

fn expiry(now: Timestamp, ttl_seconds: u32) -> u64 {
    if ttl_seconds == 0 { 0 } else { now.as_seconds() + u64::from(ttl_seconds) }
}

fn is_over(expires: u64, now: Timestamp) -> bool {
    expires != 0 && expires <= now.as_seconds()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn open(folder: &std::path::Path) -> Kv {
        let options = storage::Options { size_max: 64 << 20, synced: false, ..Default::default() };
        Kv::new(Storage::open(folder, SPACES, &options).unwrap())
    }

    #[tokio::test]
    async fn values_expire_and_tenants_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let kv = open(folder.path());
        let name: PluginName = "srs".parse().unwrap();
        let (one, two) = (Domain::parse("a.example").unwrap(), Domain::parse("b.example").unwrap());
        let (one, two) = (Place::new(&name, Some(&one), false), Place::new(&name, Some(&two), false));
        let at = |seconds| Timestamp(0).plus(Duration::from_secs(seconds));
        kv.write(&one, "k", Some((b"v".to_vec(), 10)), at(100), 1000).await.unwrap();
        assert_eq!(kv.read(&one, "k", at(109)).unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(kv.read(&one, "k", at(110)).unwrap(), None);
        assert_eq!(kv.read(&two, "k", at(100)).unwrap(), None);
        assert_eq!(kv.sweep(at(109)).await.unwrap(), 0);
        assert_eq!(kv.sweep(at(110)).await.unwrap(), 1);
        assert_eq!(kv.0.read().unwrap().counter(USED, &one.0, 0).unwrap(), 0);
        kv.write(&one, "k", Some((b"v".to_vec(), 0)), at(200), 1000).await.unwrap();
        assert!(kv.read(&one, "k", at(1_000_000)).unwrap().is_some());
        kv.write(&one, "k", None, at(200), 1000).await.unwrap();
        assert!(kv.read(&one, "k", at(200)).unwrap().is_none());
    }

    #[tokio::test]
    async fn counters_count_every_call_once_within_their_window() {
        let folder = tempfile::tempdir().unwrap();
        let kv = open(folder.path());
        let place = Place::new(&"greylist".parse().unwrap(), None, false);
        let at = |seconds| Timestamp(0).plus(Duration::from_secs(seconds));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (kv, place) = (kv.clone(), place.clone());
                tokio::spawn(async move { kv.count(&place, "n", 1, 60, at(0), 1000).await.unwrap() })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            seen.push(task.await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=8).collect::<Vec<_>>());
        assert_eq!(kv.count(&place, "n", 1, 60, at(59), 1000).await.unwrap(), 9);
        assert_eq!(kv.count(&place, "n", 1, 60, at(60), 1000).await.unwrap(), 1);
        assert!(kv.count(&place, "", 1, 60, at(60), 1000).await.is_err());
    }

    #[tokio::test]
    async fn a_full_store_refuses_and_makes_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let kv = open(folder.path());
        let place = Place::new(&"srs".parse().unwrap(), None, false);
        let now = Timestamp(0);
        kv.write(&place, "a", Some((vec![0; 50], 0)), now, 100).await.unwrap();
        let refused = kv.write(&place, "b", Some((vec![0; 50], 0)), now, 100).await;
        assert!(matches!(refused, Err(KvError::Refused(_))));
        kv.write(&place, "a", Some((vec![0; 60], 0)), now, 100).await.unwrap();
        kv.write(&place, "a", None, now, 100).await.unwrap();
        kv.write(&place, "b", Some((vec![0; 50], 0)), now, 100).await.unwrap();
        let long = kv.write(&place, "c", Some((vec![0; VALUE_MAX + 1], 0)), now, u64::MAX >> 1).await;
        assert!(matches!(long, Err(KvError::Refused(_))));
    }

    #[tokio::test]
    async fn values_that_are_written_side_by_side_share_the_room() {
        let folder = tempfile::tempdir().unwrap();
        let kv = open(folder.path());
        let place = Place::new(&"srs".parse().unwrap(), None, false);
        let (writers, fit) = (16, 3);
        kv.write(&place, "k00", Some((vec![0; 50], 0)), Timestamp(0), u64::MAX >> 1).await.unwrap();
        let each = kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap();
        let max = each * fit;
        let tasks: Vec<_> = (1..writers)
            .map(|number| {
                let (kv, place) = (kv.clone(), place.clone());
                let new = Some((vec![0; 50], 0));
                tokio::spawn(async move {
                    kv.write(&place, &format!("k{number:02}"), new, Timestamp(0), max).await
                })
            })
            .collect();
        let mut refused = 0;
        for task in tasks {
            refused += u64::from(matches!(task.await.unwrap(), Err(KvError::Refused(_))));
        }
        assert_eq!(refused, writers - fit, "all others are refused");
        assert_eq!(kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap(), each * fit);
    }
}
