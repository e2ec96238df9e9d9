//! Senders of mail that leaves, as plugins want others to see them: in the envelope, and in the header of our own
//! users' mail.

use hooks::{CallContext, OnFailure, PluginName, Position, ReverseRequest, ReverseVerdict, Role};
use mail_types::ReversePath;
use mail_types::{AccountName, Address, Domain, EnhancedStatus, Lookup, Recipient, Refusal, Reply};
use queue::{Attempt, BoxFuture, Channel, Outcome, Reach};

use crate::hearing::{Hearing, listed};
use crate::profiles::Profiles;
use crate::unsubscribe::Unsubscribe;

/// Hands attempts to another channel, their sender changed where a plugin says so. Recipients of different tenants may
/// see different senders: they go in attempts of their own.
pub struct Reversing {
    channel: Box<dyn Channel>,
    profiles: Profiles,
    verp: bool,
    unsubscribe: Option<Unsubscribe>,
}

impl Reversing {
    /// In front of a channel.
    #[must_use]
    pub fn new(channel: Box<dyn Channel>, profiles: Profiles) -> Self {
        Self { channel, profiles, verp: false, unsubscribe: None }
    }

    /// Lets each recipient of a list's message have a reverse path of its own, which says in a subaddress of the list's owner
    /// who it is: `owner+anna=example.org@lists.example`. So a report is of a known member, whatever its text.
    #[must_use]
    pub fn with_verp(self, verp: bool) -> Self {
        Self { verp, ..self }
    }

    /// Lets each recipient of a list's message have a way out of its own (RFC 8058).
    #[must_use]
    pub fn with_unsubscribe(self, unsubscribe: Option<Unsubscribe>) -> Self {
        Self { unsubscribe, ..self }
    }

    /// One attempt for each recipient, whose header tells them apart.
    async fn attempt_with_ways_out(&self, attempt: &Attempt, unsubscribe: &Unsubscribe) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(attempt.recipients.len());
        for recipient in &attempt.recipients {
            let prefix = unsubscribe.prefix(&attempt.prefix, &recipient.original, &recipient.address);
            let one = Attempt { recipients: vec![recipient.clone()], prefix, ..attempt.clone() };
            let outcome = self.attempt_all(&one).await.into_iter().next();
            outcomes.push(outcome.unwrap_or_else(|| deferred("no outcome".to_owned())));
        }
        outcomes
    }

    /// One attempt for each recipient, as only the envelope tells them apart.
    async fn attempt_each(&self, attempt: &Attempt, owner: &Address) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(attempt.recipients.len());
        for recipient in &attempt.recipients {
            let path = self.profiles.routing.variable_path(owner, &recipient.address);
            let reverse_path = ReversePath::Address(path.unwrap_or_else(|| owner.clone()));
            let recipients = vec![recipient.clone()];
            let one = Attempt { recipients, reverse_path, ..attempt.clone() };
            let outcome = self.channel.attempt(&one).await.into_iter().next();
            outcomes.push(outcome.unwrap_or_else(|| deferred("no outcome".to_owned())));
        }
        outcomes
    }

    async fn attempt_all(&self, attempt: &Attempt) -> Vec<Outcome> {
        let Some(sender) = attempt.reverse_path.address() else { return self.channel.attempt(attempt).await };
        // Only where reports come to us, and find their way to the owner.
        if self.verp
            && attempt.source == queue::LIST_SOURCE
            && self.profiles.hosted(&sender.domain).is_ok_and(|domain| domain.is_some())
        {
            return self.attempt_each(attempt, sender).await;
        }
        let mut outcomes: Vec<Option<Outcome>> = vec![None; attempt.recipients.len()];
        let id = attempt.id.to_string();
        for (tenant, group) in self.groups(sender, &attempt.recipients) {
            let recipients: Vec<Recipient> = group.iter().map(|at| attempt.recipients[*at].clone()).collect();
            let leaving = Leaving {
                channel: &attempt.source,
                destination: Some(attempt.route.channel.as_str()),
                authenticated: attempt.authenticated.as_ref(),
                id: &id,
            };
            let seen = self.profiles.seen(leaving, sender, tenant, &mut Hearing::default()).await;
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
            let tenant = self.profiles.leaves_for(&own, &recipient.original.domain);
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
        match &self.unsubscribe {
            Some(unsubscribe) if attempt.source == queue::LIST_SOURCE => {
                Box::pin(self.attempt_with_ways_out(attempt, unsubscribe))
            }
            _ => Box::pin(self.attempt_all(attempt)),
        }
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.channel.end()
    }
}

/// Mail that leaves, or shall.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// The channel by which it came.
    pub channel: &'a str,
    /// The channel by which all its copies leave, where that is one.
    pub destination: Option<&'a str>,
    /// As whom the client logged in.
    pub authenticated: Option<&'a AccountName>,
    /// Its id.
    pub id: &'a str,
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

    /// On whose behalf mail for a recipient leaves: `own` is whose the sender is, `original` the domain of the address that
    /// the client named.
    fn leaves_for(&self, own: &Result<Option<Domain>, String>, original: &Domain) -> Tenant {
        match own {
            Ok(Some(domain)) => Tenant { of: Ok(Some(domain.clone())), forwarded: false },
            Ok(None) => Tenant { of: self.hosted(original), forwarded: true },
            Err(why) => Tenant { of: Err(why.clone()), forwarded: false },
        }
    }

    /// The sender as the next host would see it in a message for a recipient, whom the client named by `original`: for an
    /// explanation.
    ///
    /// # Errors
    /// What would become of the copy: put off, or sent back.
    pub async fn seen_by_next(
        &self,
        leaving: Leaving<'_>,
        sender: &Address,
        original: &Address,
        hearing: &mut Hearing,
    ) -> Result<Address, Refusal> {
        let tenant = self.leaves_for(&self.hosted(&sender.domain), &original.domain);
        self.seen(leaving, sender, tenant, hearing).await.map_err(|outcome| match outcome {
            Outcome::Deferred { reply, cause, .. } | Outcome::Failed { reply, cause, .. } => {
                Refusal::new(reply, cause)
            }
            // A sender that was seen is none of these.
            _ => Refusal::public(Reply::new(451, EnhancedStatus::transient(3, 0), "No sender")),
        })
    }

    /// The sender as the next host shall see it.
    async fn seen(
        &self,
        leaving: Leaving<'_>,
        sender: &Address,
        tenant: Tenant,
        hearing: &mut Hearing,
    ) -> Result<Address, Outcome> {
        let Tenant { of, forwarded } = tenant;
        let tenant = of.map_err(deferred)?;
        let chain = match self.routing.chain(Role::Reverse, tenant.as_ref().unwrap_or(&sender.domain)) {
            Lookup::Found(chain) => chain,
            Lookup::NotFound => Vec::new(),
            Lookup::Unavailable(why) => return Err(deferred(why)),
        };
        let mut address = sender.clone();
        let mut sitting = hearing.sitting();
        for plugin in chain {
            let context = CallContext {
                tenant: tenant.clone(),
                channel: leaving.channel.to_owned(),
                authenticated: leaving.authenticated.cloned(),
                id: leaving.id.to_owned(),
            };
            let request = ReverseRequest {
                address: address.clone(),
                position: Position::Envelope,
                destination: leaving.destination.unwrap_or_default().to_owned(),
                forwarded,
            };
            let batch = std::slice::from_ref(&request);
            let told = self.plugins.reverse(&plugin, &context, batch, &mut sitting).await;
            let asked = || format!("how the sender {} is seen by {}", request.address, request.destination);
            hearing.call(&plugin, &told, asked, |verdicts| listed(verdicts, "nothing"));
            match told.answer {
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

    /// Addresses of senders in the header of our own users' mail as others shall see them, one for each. Each plugin is
    /// asked once for all addresses of a tenant. Nothing is refused or put off for an address in a header: where a
    /// plugin fails, and its `on-failure` is not `skip`, the addresses stay as they are.
    pub async fn seen_in_header(
        &self,
        leaving: Leaving<'_>,
        mut addresses: Vec<Address>,
        hearing: &mut Hearing,
    ) -> Vec<Address> {
        let mut tenants: Vec<(Domain, Vec<usize>)> = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let Ok(Some(tenant)) = self.hosted(&address.domain) else { continue };
            match tenants.iter_mut().find(|(other, _)| *other == tenant) {
                Some((_, group)) => group.push(at),
                None => tenants.push((tenant, vec![at])),
            }
        }
        for (tenant, group) in tenants {
            let Lookup::Found(chain) = self.routing.chain(Role::Reverse, &tenant) else { continue };
            if chain.is_empty() {
                continue;
            }
            let before: Vec<Address> = group.iter().map(|at| addresses[*at].clone()).collect();
            let context = CallContext {
                tenant: Some(tenant),
                channel: leaving.channel.to_owned(),
                authenticated: leaving.authenticated.cloned(),
                id: leaving.id.to_owned(),
            };
            let seen = self.seen_by_chain(&chain, &context, (leaving.destination, before), hearing).await;
            for (at, address) in group.into_iter().zip(seen) {
                addresses[at] = address;
            }
        }
        addresses
    }

    /// What a chain of plugins makes of header addresses of one tenant.
    async fn seen_by_chain(
        &self,
        chain: &[PluginName],
        context: &CallContext,
        (destination, before): (Option<&str>, Vec<Address>),
        hearing: &mut Hearing,
    ) -> Vec<Address> {
        let mut seen = before.clone();
        let mut sitting = hearing.sitting();
        for plugin in chain {
            let request = |address: &Address| ReverseRequest {
                address: address.clone(),
                position: Position::Header,
                destination: destination.unwrap_or_default().to_owned(),
                forwarded: false,
            };
            let batch: Vec<ReverseRequest> = seen.iter().map(request).collect();
            let told = self.plugins.reverse(plugin, context, &batch, &mut sitting).await;
            let asked = || format!("how senders in the header are seen: {}", listed(&seen, "none"));
            hearing.call(plugin, &told, asked, |verdicts| listed(verdicts, "nothing"));
            match told.answer {
                Ok(verdicts) => {
                    for (address, verdict) in seen.iter_mut().zip(verdicts) {
                        if let ReverseVerdict::Changed(changed) = verdict {
                            *address = changed;
                        }
                    }
                }
                Err(failed) if failed.on_failure == OnFailure::Skip => {}
                Err(_) => return before,
            }
        }
        seen
    }
}
