//! Edits and binds, at the server that has the entry: where one points to another (RFC 4511 §4.1.10), and that is wanted,
//! the other one is asked.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::chase::HOPS_MAX;
use super::connection::Credentials;
use super::failure::{INVALID_CREDENTIALS, LdapFailure};
use super::reference::allowed;
use super::servers::Servers;
use super::settings::{Referrals, ServerUrl};
use crate::dn::Dn;
use crate::remote_edit::RemoteEdit;

/// inappropriateAuthentication (RFC 4511 Appendix A.2).
const NO_PASSWORD: u32 = 48;

/// The way from server to server that one operation takes.
struct Way {
    /// Where to ask next; none: the servers of the list.
    at: Option<ServerUrl>,
    /// Where the operation was.
    asked: Vec<ServerUrl>,
}

impl Way {
    fn from(at: Option<ServerUrl>) -> Self {
        Self { at, asked: Vec::new() }
    }

    /// Goes on to where a referral leads, for an operation on an entry of that name.
    fn go_on(
        &mut self,
        servers: &Servers,
        dn: &Dn,
        (server, urls): (String, Vec<String>),
    ) -> Result<(), LdapFailure> {
        let referral =
            |why: String| LdapFailure::Referral { server: server.clone(), urls: urls.clone(), why };
        let references = allowed(&urls, servers.options()).map_err(referral)?;
        self.asked.extend(self.at.take().or_else(|| server.parse().ok()));
        if self.asked.len() > HOPS_MAX {
            return Err(referral(format!("which is more than {HOPS_MAX} servers away")));
        }
        let is_fresh = |server: &ServerUrl| !self.asked.iter().any(|asked| asked.is_same(server));
        let same_name = |base: &Option<Dn>| base.as_ref().is_none_or(|base| base == dn);
        let next = references.into_iter().find(|one| is_fresh(&one.server) && same_name(&one.base));
        let Some(next) = next else {
            let why = "which was asked before, or by another name: the servers point to each other";
            return Err(referral(why.to_owned()));
        };
        self.at = Some(next.server);
        Ok(())
    }
}

impl Servers {
    /// Makes an edit, at one server or at those of the list; the server that made it, where it was another one than those.
    pub(crate) async fn edit(
        &self,
        edit: &RemoteEdit,
        at: Option<ServerUrl>,
    ) -> Result<Option<ServerUrl>, LdapFailure> {
        let mut way = Way::from(at);
        loop {
            let mut lease = match &way.at {
                Some(server) => self.lease_at(server).await?,
                None => self.lease().await?,
            };
            let made = lease.edit(edit).await;
            if !made.as_ref().is_err_and(LdapFailure::is_outage) {
                lease.give_back().await;
            }
            match made {
                Err(LdapFailure::Referral { server, urls, .. }) if self.follows() => {
                    way.go_on(self, edit.dn(), (server, urls))?;
                }
                made => return made.map(|()| way.at),
            }
        }
    }

    /// Whether an entry's password is this one, by binding as it (RFC 4513 §5.1.3); on a connection of its own.
    pub(crate) async fn password_fits(
        &self,
        dn: &Dn,
        password: &str,
        at: Option<ServerUrl>,
    ) -> Result<bool, LdapFailure> {
        if password.is_empty() {
            return Ok(false);
        }
        let _permit = self.permit().await?;
        let who = Credentials { dn: dn.to_string(), password: Zeroizing::new(password.to_owned()) };
        let who = Arc::new(who);
        let mut way = Way::from(at);
        loop {
            match self.bind_as(&who, way.at.as_ref()).await {
                // inappropriateAuthentication: the entry has no password.
                Err(failure) if matches!(failure.code(), Some(INVALID_CREDENTIALS | NO_PASSWORD)) => {
                    return Ok(false);
                }
                Err(LdapFailure::Referral { server, urls, .. }) if self.follows() => {
                    way.go_on(self, dn, (server, urls))?;
                }
                bound => return bound.map(|()| true),
            }
        }
    }

    fn follows(&self) -> bool {
        self.options().referrals == Referrals::Follow
    }
}
