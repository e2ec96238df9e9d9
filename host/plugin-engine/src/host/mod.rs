//! The host functions, one file for each interface that does more than hand over a value.

mod config;
mod dns;
mod hmac;
mod kv;
mod log;
mod lookup;
mod message;

pub(crate) use config::flatten;
pub use lookup::SERVER_TABLES;

use crate::bindings::wasmta::policy::{clock, random, types};
use crate::call::Call;

/// Most random octets at a time, as the contract says.
const RANDOM_MAX: u32 = 4096;

/// A failure that passes.
pub(super) fn temporary(message: impl Into<String>) -> types::Failure {
    types::Failure { permanent: false, message: message.into() }
}

/// A failure that stays.
pub(super) fn permanent(message: impl Into<String>) -> types::Failure {
    types::Failure { permanent: true, message: message.into() }
}

impl types::Host for Call {}

impl clock::Host for Call {
    fn now(&mut self) -> wasmtime::Result<clock::Instant> {
        // The same for the whole call, and kept with it: nothing to tape.
        self.charge(0)?;
        let milliseconds = self.now.0;
        Ok(clock::Instant {
            seconds: u32::try_from(self.now.as_seconds()).unwrap_or(u32::MAX),
            nanos: u32::try_from(milliseconds % 1000).unwrap_or(0) * 1_000_000,
        })
    }
}

impl random::Host for Call {
    fn octets(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        // Drawn from the call's seed, which is kept with it: nothing to tape.
        self.charge(0)?;
        let mut octets = vec![0; count.min(RANDOM_MAX) as usize];
        self.random().fill(&mut octets);
        Ok(octets)
    }
}
