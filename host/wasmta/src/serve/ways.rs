//! The ways out (R59), as the configuration has them; swapped as a whole when it is taken up anew.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use channels::{
    Bitbucket, Credentials, Dialect, RemoteChannel, RemoteOptions, RemoteTls, Reprocess, TlsPolicy,
};
use dns::{Dns, Resolver, Servers};
use mail_types::{ChannelName, Domain, NextHop};
use profiles::{Profiles, Reversing};
use queue::{Attempt, BoxFuture, Channel, Outcome};
use routing::Routing;
use runtime::{Clock, Random, TlsClient};

use crate::config::{self, ChannelKind, Config, OutgoingTls};

/// A channel whose agent can be exchanged while attempts run: those end with the old one.
struct Exchangeable(ArcSwap<Box<dyn Channel>>);

impl Channel for Exchangeable {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        let agent = self.0.load_full();
        Box::pin(async move { agent.attempt(attempt).await })
    }
}

/// Everything to one host, whatever the route says (R96): the queue's routes say it too, but for those from before
/// a reload.
struct SmartHost {
    next_hop: NextHop,
    channel: RemoteChannel,
}

impl Channel for SmartHost {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        let mut attempt = attempt.clone();
        attempt.route.next_hop = self.next_hop.clone();
        Box::pin(async move { self.channel.attempt(&attempt).await })
    }
}

/// All exchangeable channels by name.
#[derive(Clone, Default)]
pub(super) struct Ways(HashMap<ChannelName, Arc<Exchangeable>>);

/// Agents that are ready to be put in force.
pub(super) struct Prepared(Vec<(ChannelName, Box<dyn Channel>)>);

impl Ways {
    /// The first set.
    pub(super) fn new(prepared: Prepared) -> Self {
        let exchangeable = |agent| Arc::new(Exchangeable(ArcSwap::from_pointee(agent)));
        Self(prepared.0.into_iter().map(|(name, agent)| (name, exchangeable(agent))).collect())
    }

    /// As the queue takes them.
    pub(super) fn agents(&self) -> impl Iterator<Item = (ChannelName, Arc<dyn Channel>)> + '_ {
        self.0.iter().map(|(name, agent)| (name.clone(), Arc::clone(agent) as Arc<dyn Channel>))
    }

    /// Puts a new set in force. Gives the names that only the next start will know.
    pub(super) fn exchange(&self, prepared: Prepared) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, agent) in prepared.0 {
            match self.0.get(&name) {
                Some(known) => known.0.store(Arc::new(agent)),
                None => unknown.push(name.to_string()),
            }
        }
        unknown
    }
}

/// Builds the agents of a configuration, without touching those in force.
pub(super) fn prepare(
    config: &Config,
    clock: &Clock,
    random: &Random,
    profiles: &Profiles,
) -> Result<Prepared, String> {
    let resolver: Arc<dyn Resolver> = Arc::new(resolver(config, random)?);
    let tls =
        RemoteTls { opportunistic: TlsClient::opportunistic().ok(), verified: TlsClient::verified().ok() };
    let mut agents: Vec<(ChannelName, Box<dyn Channel>)> = Vec::new();
    for channel in &config.channels {
        let agent: Box<dyn Channel> = match channel.kind {
            ChannelKind::Bitbucket => Box::new(Bitbucket),
            ChannelKind::Smtp | ChannelKind::Lmtp => {
                Box::new(Reversing::new(remote(config, channel, &tls, &resolver, clock)?, profiles.clone()))
            }
            // The queue's own, or built beside the store and the routing.
            ChannelKind::Store | ChannelKind::Hold | ChannelKind::Reprocess => continue,
        };
        agents.push((ChannelName::new(&channel.name), agent));
    }
    Ok(Prepared(agents))
}

/// The channel that resolves anew; it takes up new rules by itself.
pub(super) fn reprocess(routing: &Routing, profiles: &Profiles) -> (ChannelName, Arc<dyn Channel>) {
    let channel = Reprocess::new(routing.clone(), profiles.clone());
    (ChannelName::new(ChannelName::REPROCESS), Arc::new(channel))
}

fn remote(
    config: &Config,
    channel: &config::Channel,
    tls: &RemoteTls,
    resolver: &Arc<dyn Resolver>,
    clock: &Clock,
) -> Result<Box<dyn Channel>, String> {
    let dialect = if channel.kind == ChannelKind::Smtp { Dialect::Smtp } else { Dialect::Lmtp };
    let mut options = RemoteOptions::new(dialect, config.server.name.as_str());
    options.port = channel.port;
    options.bind_v4 = channel.source.filter(std::net::IpAddr::is_ipv4);
    options.bind_v6 = channel.source.filter(std::net::IpAddr::is_ipv6);
    options.tls_policy = policy(channel.tls);
    options.tls_policies = channel.tls_for.iter().map(|(name, tls)| (name.clone(), policy(*tls))).collect();
    options.idle = channel.reuse;
    options.messages_per_connection = u32::try_from(channel.messages_per_connection).unwrap_or(u32::MAX);
    options.timeouts.connect = channel.connect_timeout;
    options.timeouts.greeting = channel.reply_timeout;
    options.timeouts.command = channel.reply_timeout;
    let Some((host, port)) = &channel.smart_host else {
        return Ok(Box::new(RemoteChannel::new(options, tls.clone(), Arc::clone(resolver), clock.clone())));
    };
    if let Some((login, file)) = &channel.login {
        let text = std::fs::read_to_string(file);
        let text =
            text.map_err(|e| format!("channels.{}.password-file: {}: {e}", channel.name, file.display()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        let credentials = Credentials { login: login.clone(), password, allow_clear: config.auth.cleartext };
        options.credentials.insert(host.clone(), credentials);
    }
    let next_hop = NextHop::Host { host: host.clone(), port: *port };
    let channel = RemoteChannel::new(options, tls.clone(), Arc::clone(resolver), clock.clone());
    Ok(Box::new(SmartHost { next_hop, channel }))
}

fn policy(tls: OutgoingTls) -> TlsPolicy {
    match tls {
        OutgoingTls::Off => TlsPolicy::Never,
        OutgoingTls::Opportunistic => TlsPolicy::Opportunistic,
        OutgoingTls::Required => TlsPolicy::Required,
        OutgoingTls::Verified => TlsPolicy::Verified,
    }
}

pub(super) fn resolver(config: &Config, random: &Random) -> Result<Dns, String> {
    let mut hosts = dns::Hosts::new();
    for entry in &config.hosts {
        hosts.insert(&entry.name, &entry.hosts).map_err(|e| format!("hosts: {e}"))?;
    }
    let own_names: Vec<Domain> =
        std::iter::once(&config.server.name).chain(&config.routing.own_names).cloned().collect();
    let servers = match &config.dns.servers {
        None => Servers::System,
        Some(addresses) if addresses.is_empty() => Servers::Nobody,
        Some(addresses) => Servers::These(addresses.clone()),
    };
    let own_addresses = config.dns.own_addresses.clone();
    let options = dns::Options { servers, hosts, own_names, own_addresses };
    // Without any name servers the host table still answers, and all else is unavailable: deferred.
    Dns::new(options.clone(), random.clone())
        .or_else(|_| Dns::new(dns::Options { servers: Servers::Nobody, ..options }, random.clone()))
        .map_err(|e| format!("dns: {e}"))
}
