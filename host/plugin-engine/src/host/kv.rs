//! `kv`: the small durable store.

use crate::bindings::wasmta::policy::kv::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::{Call, NOT_IN_TIME};
use crate::kv::{Kv, KvError, Place};
use crate::tape::Octets;

use super::{permanent, temporary};

impl Call {
    /// A candidate, which plays what the live call was answered, never comes to it.
    fn place(&self) -> Place {
        Place::new(&self.settings.name, self.tenant.as_ref())
    }

    /// Sets a value, or removes it. An explanation says that it did.
    async fn write(&mut self, kv: &Kv, key: &str, new: Option<(Vec<u8>, u32)>) -> Result<(), KvError> {
        let (place, now, max) = (self.place(), self.now, self.limits().kv);
        if self.explains {
            return kv.check(&place, key, new.as_ref().map(|(value, _)| value.len()));
        }
        self.wait_for(kv.write(&place, key, new, now, max)).await.unwrap_or_else(not_in_time)
    }
}

/// A slow disk: what it was given, it may keep all the same.
fn not_in_time<T>() -> Result<T, KvError> {
    Err(KvError::Unavailable(NOT_IN_TIME.to_owned()))
}

fn failure(error: KvError) -> Failure {
    match error {
        KvError::Unavailable(why) => temporary(why),
        KvError::Refused(why) => permanent(why),
    }
}

impl Host for Call {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Failure>> {
        let kv = self.charge(key.len())?.kv.clone();
        let ask = self.asks("kv.get", &key);
        let value = match self.played(&ask)? {
            Some(value) => value,
            None => {
                let value = kv.read(&self.place(), &key, self.now).map_err(failure);
                self.kept(ask, value.map(|value| value.map(Octets)))
            }
        };
        Ok(value.map(|value| value.map(|Octets(value)| value)))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: u32,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let kv = self.charge(key.len() + value.len())?.kv.clone();
        let ask = self.asks("kv.set", &(&key, &value, ttl_seconds));
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let done = self.write(&kv, &key, Some((value, ttl_seconds))).await;
        Ok(self.kept(ask, done.map_err(failure)))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Failure>> {
        let kv = self.charge(key.len())?.kv.clone();
        let ask = self.asks("kv.remove", &key);
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let done = self.write(&kv, &key, None).await;
        Ok(self.kept(ask, done.map_err(failure)))
    }

    async fn count(
        &mut self,
        key: String,
        add: i32,
        window_seconds: u32,
    ) -> wasmtime::Result<Result<i32, Failure>> {
        let kv = self.charge(key.len())?.kv.clone();
        let ask = self.asks("kv.count", &(&key, add, window_seconds));
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let (place, now, max) = (self.place(), self.now, self.limits().kv);
        let done = if self.explains {
            kv.counted(&place, &key, add, now)
        } else {
            let counted = self.wait_for(kv.count(&place, &key, add, window_seconds, now, max)).await;
            counted.unwrap_or_else(not_in_time)
        };
        Ok(self.kept(ask, done.map_err(failure)))
    }
}
