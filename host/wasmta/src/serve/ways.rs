//! The ways out (R59), as the configuration has them; exchanged as a whole when it is taken up anew.

use std::net::IpAddr;
use std::sync::Arc;

use channels::{
    Bitbucket, Credentials, Dialect, FileChannel, FileOptions, Lists, ProgramChannel, RemoteChannel,
    RemoteOptions, RemoteTls, Reprocess, SharedChannel, TlsPolicy,
};
use directory::{Directory, DomainTables};
use dns::{Dns, MailHosts, Resolver, Servers};
use events::Events;
use mail_types::{ChannelName, Domain, Lookup, NextHop};
use profiles::{AutoReplying, Profiles, Reversing, Unsubscribe};
use queue::{Attempt, BoxFuture, Channel, Channels, Outcome};
use routing::{Routing, Tables};
use runtime::{Clock, Launcher, Random, TlsClient};
use store::Store;

use super::files;
use crate::config::{self, ChannelKind, Config, OutgoingTls};

/// The hidden command that becomes a program: the server starts itself with it.
const LAUNCH_COMMAND: [&str; 3] = ["program", "launch", "--"];
/// This program itself, also when its file was exchanged by a newer one.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";
/// How the hidden command ends where it does not become the program: EX_OSERR, a passing failure.
pub(crate) const NOT_LAUNCHED: u8 = 71;

/// Everything to one host (R96), but what goes to another by an operator's order: the queue puts the host into each
/// route itself, and leaves those as they are.
struct SmartHost {
    next_hop: NextHop,
    channel: RemoteChannel,
}

impl Channel for SmartHost {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        if matches!(attempt.route.next_hop, NextHop::Host { .. }) {
            return self.channel.attempt(attempt);
        }
        let mut attempt = attempt.clone();
        attempt.route.next_hop = self.next_hop.clone();
        Box::pin(async move { self.channel.attempt(&attempt).await })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.channel.end()
    }
}

/// Builds the agents of a configuration, without touching those in force.
pub(super) fn prepare(
    config: &Config,
    (directory, store, domains): (&Directory, &Store, &DomainTables),
    routing: &Routing,
    profiles: &Profiles,
    (clock, random): (&Clock, &Random),
    events: &Events,
) -> Result<Channels, String> {
    let (dns, tables, domains) = (resolver(config, random)?, routing.tables().clone(), domains.clone());
    let resolver: Arc<dyn Resolver> = Arc::new(Tabled { dns, tables, domains });
    let tls =
        RemoteTls { opportunistic: TlsClient::opportunistic().ok(), verified: TlsClient::verified().ok() };
    let unsubscribe = unsubscribe(config)?;
    let mut agents = Channels::new();
    for channel in &config.channels {
        let agent: Arc<dyn Channel> = match channel.kind {
            ChannelKind::Bitbucket => Arc::new(Bitbucket),
            ChannelKind::Smtp | ChannelKind::Lmtp => {
                let remote = remote(config, channel, &tls, &resolver, clock)?;
                let reversing = Reversing::new(remote, profiles.clone()).with_verp(config.routing.verp);
                Arc::new(reversing.with_unsubscribe(unsubscribe.clone()))
            }
            ChannelKind::AutoReply => {
                let (clock, random) = (clock.clone(), random.clone());
                Arc::new(AutoReplying::new(routing.clone(), directory.clone(), clock, random))
            }
            ChannelKind::List => Arc::new(Lists::new(routing.clone(), directory.clone(), profiles.clone())),
            ChannelKind::Program => Arc::new(programs(config, events)),
            ChannelKind::File => Arc::new(FileChannel::new(files_of(config), events.clone())),
            ChannelKind::Shared => Arc::new(SharedChannel::new(store.clone(), events.clone())),
            ChannelKind::Reprocess => Arc::new(Reprocess::new(routing.clone(), profiles.clone())),
            // The queue's own.
            ChannelKind::Store | ChannelKind::Hold => continue,
        };
        agents.insert(ChannelName::new(&channel.name), agent);
    }
    Ok(agents)
}

/// What makes ways out of lists, where it is configured.
pub(crate) fn unsubscribe(config: &Config) -> Result<Option<Unsubscribe>, String> {
    let Some((template, file)) = &config.routing.unsubscribe else { return Ok(None) };
    let key = super::files::password(file)?;
    Unsubscribe::new(template, &key).map(Some).map_err(|why| format!("{}: {why}", file.display()))
}

/// The registered programs, as deliveries and the trial by command run them.
pub(crate) fn programs(config: &Config, events: &Events) -> ProgramChannel {
    let launcher =
        Launcher { program: OWN_PROGRAM.into(), arguments: LAUNCH_COMMAND.map(str::to_owned).to_vec() };
    ProgramChannel::new(
        config.programs.clone(),
        launcher,
        config.routing.subaddress_separator,
        events.clone(),
    )
}

/// Where files may be.
pub(crate) fn files_of(config: &Config) -> FileOptions {
    FileOptions {
        roots: config.files.roots.clone(),
        free_paths: config.files.free_paths,
        files: config.files.registered.clone(),
        size_max: config.files.size_max,
        lock_wait: config.files.lock_wait,
        host: config.server.name.to_string(),
    }
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
    let mut tls = tls.clone();
    if let Some(file) = &channel.authorities {
        let verified = TlsClient::trusting_file(file);
        tls.verified = Some(verified.map_err(|why| format!("channels.{}.ca-file: {why}", channel.name))?);
    }
    let Some((host, port)) = &channel.smart_host else {
        return Ok(Box::new(RemoteChannel::new(options, tls, Arc::clone(resolver), clock.clone())));
    };
    if let Some((login, file)) = &channel.login {
        let password = files::password(file);
        let password = password.map_err(|why| format!("channels.{}.password-file: {why}", channel.name))?;
        let credentials = Credentials { login: login.clone(), password, allow_clear: config.auth.cleartext };
        options.credentials.insert(host.clone(), credentials);
    }
    let next_hop = NextHop::Host { host: host.clone(), port: *port };
    let channel = RemoteChannel::new(options, tls, Arc::clone(resolver), clock.clone());
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

/// Whom to ask.
pub(super) fn servers(config: &Config) -> Servers {
    match &config.dns.servers {
        None => Servers::System,
        Some(addresses) if addresses.is_empty() => Servers::Nobody,
        Some(addresses) => Servers::These(addresses.clone()),
    }
}

/// The static host table.
pub(crate) fn hosts(config: &Config) -> Result<dns::Hosts, String> {
    let mut hosts = dns::Hosts::new();
    for entry in &config.hosts {
        hosts.insert(&entry.name, &entry.hosts).map_err(|e| format!("hosts: {e}"))?;
    }
    Ok(hosts)
}

pub(super) fn resolver(config: &Config, random: &Random) -> Result<Dns, String> {
    let hosts = hosts(config)?;
    let own_names: Vec<Domain> =
        std::iter::once(&config.server.name).chain(&config.routing.own_names).cloned().collect();
    let servers = servers(config);
    let own_addresses = config.dns.own_addresses.clone();
    let options = dns::Options { servers, hosts, own_names, own_addresses };
    // Without any name servers the host table still answers, and all else is unavailable: deferred.
    Dns::new(options.clone(), random.clone())
        .or_else(|_| Dns::new(dns::Options { servers: Servers::Nobody, ..options }, random.clone()))
        .map_err(|e| format!("dns: {e}"))
}

/// The resolver, for mail of domains whose hosts the directory names, and of those that DNS tables lead here.
struct Tabled {
    dns: Dns,
    tables: Tables,
    domains: DomainTables,
}

impl Resolver for Tabled {
    fn mail_hosts<'a>(&'a self, domain: &'a Domain) -> dns::BoxFuture<'a, Lookup<MailHosts>> {
        Box::pin(async move {
            // `mailRoutingHosts`: the part of the community that serves the domain (R26), in the directory's order. Only what
            // is not handled here is asked about.
            let named = self.routing_hosts(domain);
            if !named.is_empty() {
                return self.dns.hosts_named(&named).await;
            }
            let found = self.dns.mail_hosts(domain).await;
            // We were a backup when the mail came, and are the best host now: the tables are about to say so, and mail does
            // not bounce because they lag (R20).
            if found != Lookup::Found(MailHosts::OnlyOurselves) {
                return found;
            }
            let lags = || {
                let named = "or its better hosts are other names of this one: see routing.own-names";
                Lookup::Unavailable(format!("{domain} has this host first now, and its table lags, {named}"))
            };
            if self.is_from_dns(domain) {
                return lags();
            }
            // Or it was known by another table when the mail came, and the one that has it now was not read yet.
            match self.domains.look_up(domain).await {
                Lookup::Found(()) => lags(),
                Lookup::NotFound => found,
                Lookup::Unavailable(why) => Lookup::Unavailable(why),
            }
        })
    }

    fn addresses<'a>(&'a self, host: &'a Domain) -> dns::BoxFuture<'a, Lookup<Vec<IpAddr>>> {
        self.dns.addresses(host)
    }
}

impl Tabled {
    fn routing_hosts(&self, domain: &Domain) -> Vec<String> {
        match self.tables.domain_attributes(domain) {
            Lookup::Found(pairs) => {
                pairs.into_iter().filter(|(name, _)| name == "routing-host").map(|(_, host)| host).collect()
            }
            Lookup::NotFound | Lookup::Unavailable(_) => Vec::new(),
        }
    }

    fn is_from_dns(&self, domain: &Domain) -> bool {
        match self.tables.domain_attributes(domain) {
            Lookup::Found(pairs) => pairs.iter().any(|(name, _)| name == "dns"),
            Lookup::NotFound => false,
            Lookup::Unavailable(_) => true,
        }
    }
}
