//! Envelope senders of mail that leaves, as plugins want others to see them.

use hooks::{CallContext, OnFailure, Position, ReverseRequest, ReverseVerdict, Role};
use mail_types::{Address, Domain, EnhancedStatus, Lookup, Recipient, Reply, ReversePath};
use queue::{Attempt, BoxFuture, Channel, Outcome, Reach};

use crate::profiles::Profiles;

/// Hands attempts to another channel, their sender changed where a plugin says so. Recipients of different tenants may
/// see different senders: they go in attempts of their own.
pub struct Reversing {
    channel: Box<dyn Channel>,
    profiles: Profiles,
}

impl Reversing {
    /// In front of a channel.
    #[must_use]
    pub fn new(channel: Box<dyn Channel>, profiles: Profiles) -> Self {
        Self { channel, profiles }
    }

    async fn attempt_all(&self, attempt: &Attempt) -> Vec<Outcome> {
        let Some(sender) = attempt.reverse_path.address() else { return self.channel.attempt(attempt).await };
        let mut outcomes: Vec<Option<Outcome>> = vec![None; attempt.recipients.len()];
        for (tenant, group) in self.groups(sender, &attempt.recipients) {
            let recipients: Vec<Recipient> = group.iter().map(|at| attempt.recipients[*at].clone()).collect();
            let seen = self.profiles.seen(attempt, sender, tenant).await;
            let of_group = match seen {
                Ok(seen) => {
                    let path = ReversePath::Address(seen);
                    self.channel.attempt(&Attempt { recipients, reverse_path: path, ..attempt.clone() }).await
                }
                Err(outcome) => vec![outcome; group.len()],
            };
            for (at, outcome) in group.into_iter().zip(of_group) {
                outcomes[at] = Some(outcome);
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| deferred("no outcome".to_owned())))
            .collect()
    }

    /// Recipients by the tenant on whose behalf the mail leaves: the sender's; for mail of strangers, which is handed on,
    /// that of the address that they wrote to.
    fn groups(&self, sender: &Address, recipients: &[Recipient]) -> Vec<(Tenant, Vec<usize>)> {
        let own = self.profiles.hosted(&sender.domain);
        let mut groups: Vec<(Tenant, Vec<usize>)> = Vec::new();
        for (at, recipient) in recipients.iter().enumerate() {
            let tenant = match &own {
                Ok(Some(domain)) => Tenant { of: Ok(Some(domain.clone())), forwarded: false },
                Ok(None) => Tenant { of: self.profiles.hosted(&recipient.original.domain), forwarded: true },
                Err(why) => Tenant { of: Err(why.clone()), forwarded: false },
            };
            match groups.iter_mut().find(|(other, _)| *other == tenant) {
                Some((_, group)) => group.push(at),
                None => groups.push((tenant, vec![at])),
            }
        }
        groups
    }
}

impl Channel for Reversing {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(self.attempt_all(attempt))
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.channel.end()
    }
}

/// On whose behalf mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tenant {
    /// The canonical domain; none where nobody here has to do with it.
    of: Result<Option<Domain>, String>,
    /// Whether the mail came from outside.
    forwarded: bool,
}

fn deferred(cause: String) -> Outcome {
    let reply = Reply::new(451, EnhancedStatus::transient(3, 0), "The sender cannot be rewritten now");
    Outcome::Deferred { reply, remote: None, cause, reach: Reach::Recipient }
}

impl Profiles {
    fn hosted(&self, domain: &Domain) -> Result<Option<Domain>, String> {
        self.canonical(Some(domain))
    }

    /// The sender as the next host shall see it.
    async fn seen(&self, attempt: &Attempt, sender: &Address, tenant: Tenant) -> Result<Address, Outcome> {
        let Tenant { of, forwarded } = tenant;
        let tenant = of.map_err(deferred)?;
        let chain = match self.routing.chain(Role::Reverse, tenant.as_ref().unwrap_or(&sender.domain)) {
            Lookup::Found(chain) => chain,
            Lookup::NotFound => Vec::new(),
            Lookup::Unavailable(why) => return Err(deferred(why)),
        };
        let mut address = sender.clone();
        for plugin in chain {
            let context = CallContext {
                tenant: tenant.clone(),
                channel: attempt.route.channel.as_str().to_owned(),
                authenticated: None,
                id: attempt.id.to_string(),
            };
            let request = ReverseRequest {
                address: address.clone(),
                position: Position::Envelope,
                destination: attempt.route.channel.as_str().to_owned(),
                forwarded,
            };
            match self.plugins.reverse(&plugin, &context, std::slice::from_ref(&request)).await.answer {
                Ok(verdicts) => {
                    if let Some(ReverseVerdict::Changed(changed)) = verdicts.into_iter().next() {
                        address = changed;
                    }
                }
                Err(failed) => match failed.on_failure {
                    OnFailure::Skip => {}
                    OnFailure::Keep => return Ok(sender.clone()),
                    OnFailure::Tempfail => return Err(deferred(failed.to_string())),
                    OnFailure::Reject => {
                        let text = "The sender cannot be rewritten";
                        let reply = Reply::new(550, EnhancedStatus::permanent(3, 0), text);
                        return Err(Outcome::Failed { reply, remote: None, cause: failed.to_string() });
                    }
                },
            }
        }
        Ok(address)
    }
}
