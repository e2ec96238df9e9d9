//! Other hosts, by SMTP or LMTP: targets in turn, connections reused, outcomes gathered.

mod cache;
mod content;
mod forwarded;
mod memory;
mod needs;
mod options;
mod peer;
mod target;
mod transaction;

use std::net::SocketAddr;
use std::sync::Arc;

use dns::Resolver;
use mail_types::{NextHop, Reply};
use queue::{Attempt, BoxFuture, Channel, Outcome, Reach};
use runtime::Clock;

use crate::outcome::{Verdicts, deferred, failed};
use cache::Cache;
use content::Content;
use memory::{Memory, Trouble};
use peer::{Peer, PeerError, Secrecy};
use target::{Target, name_of, targets};
use transaction::{Lost, Message, transact};

pub use options::{Credentials, Dialect, RemoteOptions, RemoteTls, Timeouts, TlsPolicy};

/// Kept connections that one attempt may find dead before it opens a new one.
const STALE_MAX: usize = 3;

/// A channel to other hosts. Clones share connections and memory.
#[derive(Clone)]
pub struct RemoteChannel(Arc<Inner>);

struct Inner {
    options: RemoteOptions,
    tls: RemoteTls,
    resolver: Arc<dyn Resolver>,
    clock: Clock,
    cache: Cache,
    memory: Memory,
}

/// What became of a connection after a message.
enum Used {
    /// All pending recipients have their outcomes, and the connection is good.
    Good,
    /// The connection is lost; this is what it means for those without an outcome.
    Lost { outcome: Outcome, final_word: bool },
}

impl RemoteChannel {
    /// A channel with these settings.
    #[must_use]
    pub fn new(options: RemoteOptions, tls: RemoteTls, resolver: Arc<dyn Resolver>, clock: Clock) -> Self {
        let cache = Cache::new(clock.clone(), &options);
        let memory = Memory::new(clock.clone(), options.failure_memory);
        Self(Arc::new(Inner { options, tls, resolver, clock, cache, memory }))
    }

    /// Says goodbye on all unused connections (RFC 5321 §4.1.1.10), all at once.
    async fn close_idle(&self) {
        let mut quitting = tokio::task::JoinSet::new();
        for peer in self.0.cache.drain() {
            quitting.spawn(peer.quit());
        }
        while quitting.join_next().await.is_some() {}
    }

    /// Copies of different forwards are different messages, and go one after the other.
    async fn deliver_all(&self, attempt: &Attempt) -> Vec<Outcome> {
        if !forwarded::is_forwarded(attempt) {
            return self.deliver(attempt).await;
        }
        let mut outcomes: Vec<Option<Outcome>> = vec![None; attempt.recipients.len()];
        for (group, one) in forwarded::attempts(attempt) {
            for (at, outcome) in group.into_iter().zip(self.deliver(&one).await) {
                outcomes[at] = Some(outcome);
            }
        }
        let nobody = || deferred((3, 0), "The message was not sent", "no outcome", Reach::Recipient);
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(nobody)).collect()
    }

    async fn deliver(&self, attempt: &Attempt) -> Vec<Outcome> {
        let mut verdicts = Verdicts::new(attempt.recipients.len());
        let content = Content::of(attempt);
        let message = Message {
            attempt,
            content: &content,
            dialect: self.0.options.dialect,
            timeouts: &self.0.options.timeouts,
        };
        if !self.by_kept_connection(message, &mut verdicts).await {
            self.by_new_connection(message, &mut verdicts).await;
        }
        verdicts.into_outcomes()
    }

    /// Whether a kept connection brought it to an end.
    async fn by_kept_connection(&self, message: Message<'_>, verdicts: &mut Verdicts) -> bool {
        let next_hop = &message.attempt.route.next_hop;
        for _ in 0..STALE_MAX {
            let Some(mut peer) = self.0.cache.take(next_hop) else { return false };
            match use_peer(&mut peer, message, verdicts).await {
                Used::Good => {
                    self.keep(next_hop, peer);
                    return true;
                }
                Used::Lost { outcome, final_word: true } => {
                    verdicts.settle_rest(&outcome);
                    return true;
                }
                // It had been closed meanwhile, as peers do: no news about the host.
                Used::Lost { .. } if verdicts.is_complete() => return true,
                Used::Lost { .. } => {}
            }
        }
        false
    }

    async fn by_new_connection(&self, message: Message<'_>, verdicts: &mut Verdicts) {
        let next_hop = &message.attempt.route.next_hop;
        let mut targets = match targets(next_hop, &self.0.options, &*self.0.resolver).await {
            Ok(targets) => targets,
            Err(outcome) => return verdicts.settle_rest(&outcome),
        };
        // Hosts that failed lately are only asked when nobody else is left (the sort is stable).
        targets.sort_by_key(|target| self.0.memory.recalls(target.address, Trouble::Unreachable));
        let mut last = None;
        for target in targets.iter().take(self.0.options.tries_max.max(1)) {
            let mut peer = match self.open(next_hop, target).await {
                Ok(peer) => peer,
                Err(error) => {
                    let (outcome, final_word) = meaning_at_start(error, &target.remote());
                    if final_word {
                        return verdicts.settle_rest(&outcome);
                    }
                    self.0.memory.remember(target.address, Trouble::Unreachable);
                    last = Some(outcome);
                    continue;
                }
            };
            self.0.memory.forget(target.address, Trouble::Unreachable);
            match use_peer(&mut peer, message, verdicts).await {
                Used::Good => return self.keep(next_hop, peer),
                Used::Lost { outcome, final_word } => {
                    if final_word || verdicts.is_complete() {
                        return verdicts.settle_rest(&outcome);
                    }
                    last = Some(outcome);
                }
            }
        }
        let nobody = || deferred((4, 4), "No host to try", "no addresses", Reach::Destination);
        verdicts.settle_rest(&last.unwrap_or_else(nobody));
    }

    fn keep(&self, next_hop: &NextHop, peer: Peer) {
        if let Some(surplus) = self.0.cache.put(next_hop, peer) {
            tokio::spawn(surplus.quit());
        }
    }

    /// Connects and greets; where TLS was only a try and failed, comes again in clear.
    async fn open(&self, next_hop: &NextHop, target: &Target) -> Result<Peer, PeerError> {
        let secrecy = self.secrecy(next_hop, target.address)?;
        match self.greet(next_hop, target, secrecy).await {
            Err(PeerError::Handshake(_)) => {
                self.0.memory.remember(target.address, Trouble::Handshake);
                self.greet(next_hop, target, Secrecy::Clear).await
            }
            result => result,
        }
    }

    async fn greet(&self, next_hop: &NextHop, target: &Target, secrecy: Secrecy) -> Result<Peer, PeerError> {
        let options = &self.0.options;
        let bind = if target.address.is_ipv4() { options.bind_v4 } else { options.bind_v6 };
        let stream = runtime::connect(target.address, bind, options.timeouts.connect)
            .await
            .map_err(|error| PeerError::Network("connection", error))?;
        let credentials = name_of(next_hop).and_then(|name| options.credentials.get(name));
        let host = target.tls_name();
        let introduction = peer::Introduction {
            host: &host,
            remote: target.remote(),
            secrecy,
            credentials,
            now: self.0.clock.now(),
        };
        Peer::greet(stream, introduction, options).await
    }

    fn secrecy(&self, next_hop: &NextHop, address: SocketAddr) -> Result<Secrecy, PeerError> {
        let options = &self.0.options;
        let policy = name_of(next_hop).map_or(options.tls_policy, |name| options.policy(name));
        let missing = || PeerError::NoTls("this server has no TLS set up for it".to_owned());
        let client = |client: &Option<runtime::TlsClient>| client.clone().ok_or_else(missing);
        match policy {
            TlsPolicy::Never => Ok(Secrecy::Clear),
            TlsPolicy::Required => client(&self.0.tls.opportunistic).map(Secrecy::Demand),
            TlsPolicy::Verified => client(&self.0.tls.verified).map(Secrecy::Demand),
            TlsPolicy::Opportunistic if self.0.memory.recalls(address, Trouble::Handshake) => {
                Ok(Secrecy::Clear)
            }
            TlsPolicy::Opportunistic => {
                Ok(self.0.tls.opportunistic.clone().map_or(Secrecy::Clear, Secrecy::Try))
            }
        }
    }
}

/// Sends the message to all pending recipients, in as many transactions as the peer's limit asks for.
async fn use_peer(peer: &mut Peer, message: Message<'_>, verdicts: &mut Verdicts) -> Used {
    loop {
        let fit = needs::fit(message.attempt, message.content, &peer.capabilities, verdicts);
        let Some(fit) = fit else { return Used::Good };
        match transact(peer, message, &fit, verdicts).await {
            Ok(true) => {}
            Ok(false) => return Used::Good,
            Err(lost) => {
                let (outcome, final_word) = meaning_in_transaction(lost, &peer.remote);
                return Used::Lost { outcome, final_word };
            }
        }
    }
}

/// What it means that no message could be begun, and whether asking other hosts is of no use.
fn meaning_at_start(error: PeerError, remote: &str) -> (Outcome, bool) {
    let cause = error.to_string();
    let later = |status, text: &str| {
        (deferred(status, text, format!("{remote}: {cause}"), Reach::Destination), false)
    };
    match error {
        PeerError::Refused(what, reply) => refused_at_start(what, reply, remote),
        PeerError::NoTls(why) => later((7, 10), &format!("TLS is required, but {why}")),
        PeerError::NoAuthentication(_) => later((7, 0), "The smart host does not let this server in"),
        PeerError::Network("connection", _) => {
            later((4, 1), &format!("{remote} cannot be reached ({cause})"))
        }
        _ => later((4, 2), &format!("{remote} broke off before the message ({cause})")),
    }
}

fn refused_at_start(what: &str, reply: Reply, remote: &str) -> (Outcome, bool) {
    let remote = Some(remote.to_owned());
    let cause = format!("reply to {what}");
    // RFC 7504 §3: a host that never takes mail. Other 5xx before any message, to the connection or to our name,
    // say nothing of a recipient; they are often an overload or a list of bad addresses that will be mended:
    // like most servers we ask the next host, and come again.
    if reply.code == 521 {
        return (Outcome::Failed { reply, remote, cause }, true);
    }
    (Outcome::Deferred { reply, remote, cause, reach: Reach::Destination }, false)
}

/// What it means that the connection was lost on the way, and whether asking other hosts is of no use.
fn meaning_in_transaction(lost: Lost, remote: &str) -> (Outcome, bool) {
    let cause = lost.error.to_string();
    let later = |status, text: &str, reach| deferred(status, text, format!("{remote}: {cause}"), reach);
    match lost.error {
        PeerError::Content(why) => (failed(554, (6, 0), &why, "our content is not fit to be sent"), true),
        PeerError::Unread(_) => (later((3, 0), "The content cannot be read now", Reach::Recipient), true),
        PeerError::Refused(what, reply) => {
            let (remote, cause) = (Some(remote.to_owned()), format!("reply to {what}"));
            let reach = Reach::Recipient;
            (Outcome::Deferred { reply, remote, cause, reach }, lost.content_sent)
        }
        // The peer may have it: at once to the next host would be a second copy for sure.
        _ if lost.content_sent => {
            let text = format!("{remote} broke off after the whole message was sent ({cause})");
            (later((4, 2), &text, Reach::Recipient), true)
        }
        _ => {
            let text = format!("{remote} broke off ({cause})");
            (later((4, 2), &text, Reach::Recipient), false)
        }
    }
}

impl Channel for RemoteChannel {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(self.deliver_all(attempt))
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_idle())
    }
}

#[cfg(test)]
mod tests;
