//! The port to a source that verifies passwords itself: an LDAP server takes a bind (R8; RFC 4513 §5.1).

use std::pin::Pin;

use directory::{Dn, PasswordHash, UserEntry};
use mail_types::{Address, Lookup};

use crate::authenticator::Authenticator;
use crate::error::AuthError;
use crate::secret::Secret;

/// What a port gives that may take its time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Somebody who knows passwords.
pub trait Verifier: Send + Sync + 'static {
    /// When it is asked about an entry's password.
    fn ask(&self, entry: &Dn) -> AskVerifier;

    /// `Found`: it is the entry's password. `NotFound`: it is not. `Unavailable`: that cannot be said now.
    fn fits<'a>(&'a self, entry: &'a Dn, password: &'a str) -> BoxFuture<'a, Lookup<()>>;

    /// Asks about an address that the directory does not have. `Found`: it may have it now.
    fn look_up<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Lookup<()>>;
}

/// When it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskVerifier {
    /// Where the directory shows no value to verify by.
    WhereNothingIsStored,
    /// Always; while it does not answer, stored values count.
    First,
}

impl Authenticator {
    /// The user of a login; where the directory has none, its source may have one since a moment ago.
    pub(crate) async fn user_or_asked(&self, login: &str) -> Result<Option<UserEntry>, AuthError> {
        let known = self.user(login)?;
        let (Some(verifier), None, Ok(address)) = (self.verifier(), &known, Address::parse(login)) else {
            return Ok(known);
        };
        match verifier.look_up(&address).await {
            Lookup::Found(()) => self.user(login),
            Lookup::NotFound => Ok(None),
            Lookup::Unavailable(why) => Err(AuthError::Unavailable(why)),
        }
    }

    /// Whether the source is asked about a password of the user with these values.
    pub(crate) fn asks_source(&self, user: &UserEntry, values: &[PasswordHash]) -> bool {
        self.verifier().is_some_and(|verifier| match verifier.ask(&user.dn) {
            AskVerifier::First => true,
            AskVerifier::WhereNothingIsStored => values.is_empty(),
        })
    }

    /// What the source says of a password; `None` where the stored values decide.
    pub(crate) async fn verified_by_source(
        &self,
        user: Option<&UserEntry>,
        secret: &Secret,
        values: &[PasswordHash],
        admit: &(dyn Fn() -> Result<(), AuthError> + Sync),
    ) -> Result<Option<bool>, AuthError> {
        let (Some(verifier), Some(user)) = (self.verifier(), user) else { return Ok(None) };
        if !self.asks_source(user, values) {
            return Ok(None);
        }
        // As before the hashing of a value: those who guess wait for their turn.
        admit()?;
        match verifier.fits(&user.dn, secret.reveal()).await {
            Lookup::Found(()) => Ok(Some(true)),
            Lookup::NotFound => Ok(Some(false)),
            Lookup::Unavailable(_) if !values.is_empty() => Ok(None),
            Lookup::Unavailable(why) => Err(AuthError::Unavailable(why)),
        }
    }
}
