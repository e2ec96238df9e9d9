//! Which server's silence counts, where there are several (R4): one that lags must take nothing back (R44).
//!
//! How far a live sync has come is said by a cookie (RFC 4533), and by the server that gave it: that one is *followed*.
//! Another server is followed in its place once it takes the cookie, because then it knows as much. Until it does, what it
//! shows is taken in, but what it does not show may be there, and no full sync believes it unless an operator says so.

use storage::{Batch, Space};

use super::full::SyncOrder;
use super::guard::Trust;
use super::records::{SYNC, base_key};
use super::source::{Mirror, SyncError, SyncMode};
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::ldap::failure::{LdapFailure, NO_SUCH_EXTENSION, UNWILLING};
use crate::ldap::settings::ServerUrl;

/// The row that says who is followed below a base.
pub(super) fn followed_row(base: &Dn, server: &str) -> (Space, Vec<u8>, Vec<u8>) {
    (SYNC, base_key("followed", base), server.as_bytes().to_vec())
}

impl Mirror {
    /// The server of the list that is followed below a base, if it is not this one.
    fn another_followed(&self, base: &Dn, server: &str) -> Result<Option<String>, DirectoryError> {
        if self.0.options.mode != SyncMode::Live {
            return Ok(None);
        }
        let row = self.0.directory.row(SYNC, &base_key("followed", base))?;
        let followed = row.and_then(|octets| String::from_utf8(octets).ok());
        // One that the operator has taken out is waited for no longer.
        Ok(followed.filter(|followed| followed != server && self.0.servers.has(followed)))
    }

    /// Why what a server does not show below a base may be there all the same.
    pub(super) fn doubt(&self, base: &Dn, server: &str) -> Result<Option<String>, DirectoryError> {
        if !self.0.servers.has(server) {
            return Ok(None);
        }
        let followed = self.another_followed(base, server)?;
        Ok(followed.map(|followed| {
            format!("{server} may lag behind {followed}, which was followed last below {base}")
        }))
    }

    /// What it means that a server cannot be followed, where it is not the one that was: it knows less (RFC 4533 has no code for
    /// that, slapd says 53), or lacks what following takes.
    pub(super) fn lag(&self, base: &Dn, why: &SyncError, tried: &str) -> Option<String> {
        let SyncError::Source(LdapFailure::Refused { code, .. }) = why else { return None };
        let followed = self.another_followed(base, tried).ok().flatten()?;
        match *code {
            UNWILLING => Some(format!(
                "{why}: {tried} lags behind {followed}, and takes nothing back; if {followed} is lost for good, say `wasmta sync full --force`"
            )),
            NO_SUCH_EXTENSION => Some(format!("{why}: {followed} was followed, and this one cannot be")),
            _ => None,
        }
    }

    /// The server that a look-up or a full sync below a base goes to, where it is not the one that most are followed at, and is
    /// there.
    pub(super) async fn apart_for(&self, base: &Dn) -> Result<Option<ServerUrl>, DirectoryError> {
        let Some(most) = self.0.servers.followed().await.cloned() else { return Ok(None) };
        let Some(followed) = self.another_followed(base, &most.to_string())? else { return Ok(None) };
        Ok(if self.0.servers.is_up(&followed).await { followed.parse().ok() } else { None })
    }

    /// Refuses a full sync by a server that may lag, unless the operator vouches for it.
    pub(super) fn guard_lag(&self, order: &SyncOrder, base: &Dn, server: &str) -> Result<(), SyncError> {
        if Trust::of(order) == Trust::Forced {
            return Ok(());
        }
        self.doubt(base, server)?.map_or(Ok(()), |why| Err(SyncError::Guarded(why)))
    }

    /// Begins anew below bases that another server than this one was followed for: the operator vouches for it.
    pub(super) async fn follow_anew(&self, server: &str) -> Result<(), SyncError> {
        let mut batch = Batch::new();
        for base in &self.0.options.bases {
            // What was written elsewhere is lost, where this server never had it.
            batch.delete(SYNC, &base_key("written", base));
            if self.another_followed(base, server)?.is_some() {
                batch.delete(SYNC, &base_key("cookie", base));
                batch.delete(SYNC, &base_key("followed", base));
            }
        }
        if !batch.is_empty() {
            self.0.directory.commit(batch).await.map_err(DirectoryError::from)?;
        }
        Ok(())
    }
}
