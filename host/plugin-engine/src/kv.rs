//! The small store of each plugin and tenant.
//!
//! | space | key | value |
//! |---|---|---|
//! | `plugin_kv` | plugin, 0, tenant, 0, key | expiry in seconds since 1970 (u64 little-endian, 0: never), octets |
//! | `plugin_kv_used` | plugin, 0, tenant | counter record: octets used |
//!
//! Whatever is written is on stable storage before the call returns. A value that has expired counts as absent, and is
//! overwritten or swept.

mod sweeping;

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use hooks::PluginName;
use mail_types::{Domain, Timestamp};
use storage::{Batch, Snapshot, Space, Storage, StorageError};
use tokio::sync::Mutex;

use sweeping::Over;

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
/// Expired values removed in one batch.
const SWEEP_BATCH_MAX: usize = 200;

/// Where a plugin keeps things for a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Place(Vec<u8>);

impl Place {
    pub(crate) fn new(plugin: &PluginName, tenant: Option<&Domain>) -> Self {
        let mut key = plugin.as_str().as_bytes().to_vec();
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

/// Places that were gone through in vain, each with the second in which that was: not again in the same.
type Full = Arc<parking_lot::Mutex<HashMap<Vec<u8>, u64>>>;

/// The store; clones are the same one: the storage, whose turn it is, where the next sweep begins, and what is full.
#[derive(Clone)]
pub(crate) struct Kv(Storage, Arc<[Mutex<()>; TURNS]>, Arc<parking_lot::Mutex<Vec<u8>>>, Full);

/// A stored value: when it expires, what it says, and the octets as they lie there.
struct Stored {
    expires: u64,
    value: Vec<u8>,
    raw: Vec<u8>,
}

impl Kv {
    pub(crate) fn new(storage: Storage) -> Self {
        Self(storage, Arc::new(std::array::from_fn(|_| Mutex::default())), Arc::default(), Arc::default())
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

    /// What [`Self::write`] would say of a key and a value of so many octets, but for the room.
    pub(crate) fn check(&self, place: &Place, name: &str, len: Option<usize>) -> Result<(), KvError> {
        place.key(name)?;
        if len.is_some_and(|len| len > VALUE_MAX) {
            return Err(KvError::Refused(format!("a value has at most {VALUE_MAX} octets")));
        }
        Ok(())
    }

    /// What [`Self::count`] would say, but for the room.
    pub(crate) fn counted(
        &self,
        place: &Place,
        name: &str,
        add: i32,
        now: Timestamp,
    ) -> Result<i32, KvError> {
        let count = match self.read(place, name, now)?.map(<[u8; 4]>::try_from) {
            None => 0,
            Some(Ok(octets)) => i32::from_le_bytes(octets),
            Some(Err(_)) => return Err(KvError::Refused(format!("{name:?} holds no counter"))),
        };
        Ok(count.saturating_add(add))
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
        self.check(place, name, new.as_ref().map(|(value, _)| value.len()))?;
        let key = place.key(name)?;
        let new = new.map(|(value, ttl)| (value, expiry(now, ttl)));
        for _ in 0..CONFLICTS_MAX {
            if self.replace_in_room(place, &key, new.as_ref(), |_| true, (now, max)).await? {
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
            let is_seen = |raw: Option<&[u8]>| raw == seen.as_deref();
            if self.replace_in_room(place, &key, Some(&new), is_seen, (now, max)).await? {
                return Ok(count);
            }
        }
        Err(KvError::Unavailable("too many changes of the same key at a time".to_owned()))
    }

    /// The same as [`Self::replace`], once more where there was no room and what had expired made some.
    async fn replace_in_room(
        &self,
        place: &Place,
        key: &[u8],
        new: Option<&(Vec<u8>, u64)>,
        expected: impl Fn(Option<&[u8]>) -> bool,
        (now, max): (Timestamp, u64),
    ) -> Result<bool, KvError> {
        match self.replace(place, key, new, &expected, max).await {
            Err(KvError::Refused(_)) if self.made_room(place, now).await? => {
                self.replace(place, key, new, &expected, max).await
            }
            done => done,
        }
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

    /// Whether anything is kept for a plugin, of whatever tenant.
    pub(crate) fn keeps(&self, plugin: &PluginName) -> Result<bool, KvError> {
        Ok(!self.some_of(plugin, 1)?.is_empty())
    }

    /// Removes what is kept for a plugin that nobody asks any more, of all tenants; gives how many values.
    pub(crate) async fn forget(&self, plugin: &PluginName) -> Result<usize, KvError> {
        let mut removed = 0;
        loop {
            let some = self.some_of(plugin, SWEEP_BATCH_MAX)?;
            if some.is_empty() {
                return Ok(removed);
            }
            removed += self.remove_expired(some).await?;
        }
    }

    /// The plugins' places for a tenant in which anything is kept.
    fn places_of(&self, tenant: &Domain) -> Result<Vec<Vec<u8>>, KvError> {
        let end = [&[0], tenant.as_str().as_bytes()].concat();
        let snapshot = self.0.read()?;
        let (mut places, mut kept) = (Vec::new(), Vec::new());
        snapshot.scan(USED, &[], &[0xff], &mut |place, _| {
            places.extend(place.ends_with(&end).then(|| place.to_vec()));
            ControlFlow::Continue(())
        })?;
        for place in places {
            if snapshot.counter(USED, &place, 0)? > 0 {
                kept.push(place);
            }
        }
        Ok(kept)
    }

    /// The tenants for which plugins keep anything.
    pub(crate) fn tenants(&self) -> Result<BTreeSet<Domain>, KvError> {
        let snapshot = self.0.read()?;
        let (mut places, mut tenants) = (Vec::new(), BTreeSet::new());
        snapshot.scan(USED, &[], &[0xff], &mut |place, _| {
            places.push(place.to_vec());
            ControlFlow::Continue(())
        })?;
        for place in places {
            let name =
                place.split(|octet| *octet == 0).nth(1).and_then(|name| std::str::from_utf8(name).ok());
            // What was forgotten leaves its count, of nothing.
            if snapshot.counter(USED, &place, 0)? > 0 {
                tenants.extend(name.and_then(|name| Domain::parse(name).ok()));
            }
        }
        Ok(tenants)
    }

    /// Removes what plugins keep for a tenant that is gone; gives how many values.
    pub(crate) async fn forget_tenant(&self, tenant: &Domain) -> Result<usize, KvError> {
        let mut removed = 0;
        for place in self.places_of(tenant)? {
            loop {
                let some = self.some_below(&place, SWEEP_BATCH_MAX)?;
                let gone = self.remove_expired(some).await?;
                // Whatever is written meanwhile is another tenant's of that name.
                if gone == 0 {
                    break;
                }
                removed += gone;
            }
        }
        Ok(removed)
    }

    fn some_of(&self, plugin: &PluginName, max: usize) -> Result<Over, KvError> {
        self.some_below(plugin.as_str().as_bytes(), max)
    }

    fn some_below(&self, place: &[u8], max: usize) -> Result<Over, KvError> {
        let mut some = Over::new();
        let (from, to) = ([place, &[0]].concat(), after(place));
        self.0.read()?.scan(VALUES, &from, &to, &mut |key, raw| {
            some.push((key.to_vec(), raw.to_vec()));
            if some.len() >= max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(some)
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
}

/// The place that a key belongs to: all before its second NUL.
fn place_of(key: &[u8]) -> &[u8] {
    let mut zeros = key.iter().enumerate().filter(|(_, octet)| **octet == 0).map(|(at, _)| at);
    zeros.nth(1).map_or(key, |end| &key[..end])
}

/// The first key behind all of a place.
fn after(place: &[u8]) -> Vec<u8> {
    [place, &[1]].concat()
}

fn is_raw_over(raw: &[u8], now: Timestamp) -> bool {
    raw.get(..8).is_some_and(|head| is_over(read_u64(head), now))
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
mod tests;
