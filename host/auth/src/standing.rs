//! Whether who logged in may still do so: an account that was removed, shut or given another password since must not go on
//! in sessions that are open.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use directory::{PasswordHash, Typed, UserEntry};
use mail_types::{AccountName, Lookup, Timestamp};
use parking_lot::Mutex;

use crate::authenticator::{Authenticator, Context, Identity};
use crate::error::AuthError;

/// Most values made new that are remembered. Of what is forgotten, the sessions log in anew.
const RENEWED_MAX: usize = 10_000;

/// The stored values of a password, as an HMAC under a key of this process.
pub(crate) type Fingerprint = [u8; 32];

/// Which values stand for a password that is the same: the authenticator makes imported ones new.
#[derive(Debug, Default)]
pub(crate) struct Renewed(Mutex<(HashMap<Fingerprint, Fingerprint>, VecDeque<Fingerprint>)>);

impl Renewed {
    pub(crate) fn add(&self, old: Fingerprint, new: Fingerprint) {
        let mut renewed = self.0.lock();
        let (by_old, order) = &mut *renewed;
        if by_old.insert(old, new).is_none() {
            order.push_back(old);
        }
        if order.len() > RENEWED_MAX
            && let Some(oldest) = order.pop_front()
        {
            by_old.remove(&oldest);
        }
    }

    fn is_same(&self, then: &Fingerprint, now: &Fingerprint) -> bool {
        then == now || self.0.lock().0.get(then) == Some(now)
    }
}

/// How long somebody who was looked at is taken to be the same: a session's commands come fast, and a look reads an entry.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Somebody who has logged in, to be looked at again from time to time.
#[derive(Debug)]
pub struct LoggedIn {
    identity: Box<Identity>,
    looked: Timestamp,
}

impl LoggedIn {
    /// Whose session it is.
    #[must_use]
    pub fn account(&self) -> &AccountName {
        &self.identity.account
    }
}

impl Authenticator {
    /// Begins a session of somebody who has just proved who they are.
    #[must_use]
    pub fn begin_session(&self, identity: Identity) -> LoggedIn {
        LoggedIn { identity: Box::new(identity), looked: self.clock().now() }
    }

    /// Whether a session may go on, as [`Authenticator::still_stands`] says; looked at each few seconds at most. While that
    /// cannot be told, it may.
    ///
    /// # Errors
    /// [`AuthError::Disabled`]: what has changed.
    pub fn may_go_on(&self, who: &mut LoggedIn, context: &Context) -> Result<(), AuthError> {
        let now = self.clock().now();
        if who.looked <= now && now.since(who.looked) < LOOK_EVERY {
            return Ok(());
        }
        who.looked = now;
        match self.still_stands(&who.identity, context) {
            Ok(()) | Err(AuthError::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks at somebody who has logged in, as a log-in would now: the entry, its status and its domain's, the services
    /// open to it, and whether the password is still the one that was shown. Where a source verifies passwords itself and
    /// keeps them, a change of it is not seen.
    ///
    /// # Errors
    /// [`AuthError::Disabled`] says what has changed; [`AuthError::Unavailable`] that it cannot be told now.
    pub fn still_stands(&self, identity: &Identity, context: &Context) -> Result<(), AuthError> {
        let changed = |what: &str| Err(AuthError::Disabled(what.to_owned()));
        let user = match self.directory().typed(&identity.dn) {
            Lookup::Found(Typed::User(user)) => user,
            Lookup::Found(_) | Lookup::NotFound => return changed("The account is gone"),
            Lookup::Unavailable(why) => return Err(AuthError::Unavailable(why)),
        };
        let now = self.identity(&user, None, identity.mechanism, context)?;
        if now.account != identity.account {
            return changed("The account has another name");
        }
        if !self.renewed().is_same(&identity.values, &now.values) {
            return changed("The password has been changed");
        }
        Ok(())
    }

    /// The fingerprint of an entry's password, with these values.
    pub(crate) fn fingerprint(&self, user: &UserEntry, values: &[PasswordHash]) -> Fingerprint {
        let values = values.iter().map(|value| value.reveal().as_bytes());
        self.keyed(std::iter::once(user.dn.key()).chain(values))
    }
}
