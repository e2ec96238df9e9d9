//! Those who wait to be verified, counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::AuthError;

/// One of those who wait for their turn to be hashed.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(crate) fn enter(count: &'a AtomicUsize, max: usize) -> Result<Self, AuthError> {
        if count.fetch_add(1, Ordering::AcqRel) >= max {
            count.fetch_sub(1, Ordering::AcqRel);
            return Err(AuthError::Unavailable(format!("{max} log-ins are waiting to be verified")));
        }
        Ok(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
