//! Who may send as whom: what plugins say, then the directory.

use hooks::{CallContext, OnFailure, Role, SenderRequest, SenderVerdict};
use mail_types::{AccountName, Address, EnhancedStatus, Lookup, Refusal, Reply};

use crate::hearing::Hearing;
use crate::profiles::{Profiles, domain_of};

impl Profiles {
    /// Whether an account may send as an address: the plugins of its domain say, and where they have no opinion, the
    /// addresses that lead to it (R12).
    ///
    /// # Errors
    /// The refusal that MAIL gets.
    pub async fn may_send_as(
        &self,
        account: &AccountName,
        address: &Address,
        channel: &str,
        id: &str,
    ) -> Result<(), Refusal> {
        self.may_send_as_heard(account, address, (channel, id), &mut Hearing::default()).await
    }

    /// The same, with an ear for what plugins are asked.
    ///
    /// # Errors
    /// As [`Self::may_send_as`].
    pub async fn may_send_as_heard(
        &self,
        account: &AccountName,
        address: &Address,
        (channel, id): (&str, &str),
        hearing: &mut Hearing,
    ) -> Result<(), Refusal> {
        let unavailable = |why: String| {
            let text = "The sender cannot be checked now, try again later";
            Refusal::new(Reply::new(451, EnhancedStatus::transient(3, 0), text), why)
        };
        let domain = domain_of(account);
        let chain = match &domain {
            Some(domain) => self.routing.chain(Role::AuthorizeSender, domain),
            None => Lookup::NotFound,
        };
        let chain = match chain {
            Lookup::Found(chain) => chain,
            Lookup::NotFound => Vec::new(),
            Lookup::Unavailable(why) => return Err(unavailable(why)),
        };
        if !chain.is_empty() {
            let tenant = self.canonical(domain.as_ref()).map_err(unavailable)?;
            let context = CallContext {
                tenant,
                channel: channel.to_owned(),
                authenticated: Some(account.clone()),
                id: id.to_owned(),
            };
            let attributes = self.profile(account.as_str()).map_err(unavailable)?;
            let request = SenderRequest { account: account.clone(), address: address.clone(), attributes };
            let mut sitting = hearing.sitting();
            for plugin in chain {
                let told = self.plugins.authorize(&plugin, &context, &request, &mut sitting).await;
                let asked = || format!("may {account} send as {address}");
                hearing.call(&plugin, &told, asked, ToString::to_string);
                match told.answer {
                    Ok(SenderVerdict::NoOpinion) => {}
                    Ok(SenderVerdict::Allow) => return Ok(()),
                    Ok(SenderVerdict::Deny(reply)) => {
                        return Err(Refusal::new(
                            reply,
                            format!("plugin {plugin}: {account} may not send as {address}"),
                        ));
                    }
                    Err(failed) => match failed.on_failure {
                        OnFailure::Skip => {}
                        OnFailure::Keep => break,
                        OnFailure::Tempfail => return Err(unavailable(failed.to_string())),
                        OnFailure::Reject => {
                            let text = "The sender cannot be checked";
                            let reply = Reply::new(550, EnhancedStatus::permanent(3, 0), text);
                            return Err(Refusal::new(reply, failed.to_string()));
                        }
                    },
                }
            }
        }
        match self.routing.may_send_as(account, address) {
            Lookup::Found(()) => Ok(()),
            Lookup::NotFound => {
                let text = "The sender address does not belong to your account";
                let reply = Reply::new(553, EnhancedStatus::permanent(7, 1), text);
                let cause = format!("{account} may not send as {address}: no address of the account");
                Err(Refusal::new(reply, cause))
            }
            Lookup::Unavailable(why) => Err(unavailable(why)),
        }
    }
}
