//! The configuration's values as each part takes them.

use std::time::Duration;

use auth::{AuthOptions, ChannelBinding, HashOptions, Scram, ThrottleOptions, Unencrypted, Upgrade};
use mail_types::ChannelName;
use queue::{ChannelLimits, Retry};

use smtp_wire::LineEndings;

use crate::config::{Authenticate, BareNewlines, Config, Listener, Network, Protocol, TlsMode, Verify};

/// Each wait varies by up to this share, so that retries spread.
const RETRY_JITTER: f64 = 0.2;
/// Each wait is that many times longer than the one before.
const RETRY_FACTOR: f64 = 2.0;

/// `[queue]` and the limits of `[channels]`.
#[allow(clippy::cast_precision_loss, reason = "a rate of messages is small")]
pub(super) fn queue(config: &Config) -> queue::Options {
    let limits = |channel: &crate::config::Channel| ChannelLimits {
        concurrency: channel.concurrency,
        per_destination: channel.per_destination,
        rate_per_destination: (channel.rate > 0).then_some(channel.rate as f64 / 60.0),
        recipients_per_attempt: channel.recipients,
        next_hop: channel.next_hop(),
    };
    queue::Options {
        host_name: config.server.name.to_string(),
        messages_max: config.queue.messages_max,
        retry: Retry {
            first: config.queue.retry_first,
            factor: RETRY_FACTOR,
            longest: config.queue.retry_longest,
            jitter: RETRY_JITTER,
        },
        destination_rest: config.queue.destination_rest,
        destination_rest_longest: config.queue.destination_rest_longest,
        delay_warning: if config.queue.warn_after.is_zero() {
            Duration::MAX
        } else {
            config.queue.warn_after
        },
        expire: config.queue.expire_after,
        expire_null: config.queue.expire_reports_after,
        channels: config
            .channels
            .iter()
            .map(|channel| (ChannelName::new(&channel.name).to_string(), limits(channel)))
            .collect(),
        returned_max: config.queue.returned_max,
        over_quota: config.queue.over_quota,
        trails_max: config.queue.trails_max,
        drain: config.server.stop_grace,
    }
}

/// How new passwords are hashed.
pub(super) fn hash(config: &Config) -> HashOptions {
    HashOptions {
        memory_kib: u32::try_from(config.auth.argon2_memory / 1024).unwrap_or(u32::MAX),
        passes: config.auth.argon2_passes,
        scram_iterations: config.auth.scram_iterations,
        ..HashOptions::default()
    }
}

/// What of `[auth]` takes effect while the server runs.
pub(super) fn auth_offers(config: &Config) -> (Unencrypted, ChannelBinding) {
    let unencrypted = if config.auth.cleartext { Unencrypted::Allowed } else { Unencrypted::Refused };
    let offered = config.auth.channel_binding;
    (unencrypted, if offered { ChannelBinding::Offered } else { ChannelBinding::Withheld })
}

/// `[auth]`.
pub(super) fn auth(config: &Config, decoy_key: [u8; 32]) -> AuthOptions {
    let usual = AuthOptions::default();
    // A bind shows the server the password, which SCRAM never does; and hashes at a source are the source's to change.
    let by_source = !config.directory.sources.is_empty();
    let by_bind = config.directory.sources.iter().any(|source| source.authenticate == Authenticate::Bind);
    let (unencrypted, channel_binding) = auth_offers(config);
    AuthOptions {
        hash: hash(config),
        unencrypted,
        channel_binding,
        scram: if config.auth.scram && !by_bind { Scram::Offered } else { Scram::Withheld },
        upgrade: if config.auth.upgrade_hashes && !by_source { Upgrade::Made } else { Upgrade::Left },
        throttle: ThrottleOptions {
            account_failures_max: config.auth.account_failures_max,
            network_failures_max: config.auth.network_failures_max,
            drain: config.auth.failures_drain,
            ..usual.throttle
        },
        hashing_max: config.auth.parallel_max,
        verified_max: if config.auth.remember.is_zero() { 0 } else { usual.verified_max },
        verified_for: config.auth.remember,
        decoy_key: Some(decoy_key),
        ..usual
    }
}

/// By which name a listener answers: a virtual host is one to whoever comes there (R100).
fn host<'c>(config: &'c Config, listener: &'c Listener) -> &'c mail_types::Domain {
    listener.host.as_ref().unwrap_or(&config.server.name)
}

/// A listener of `[listeners]` with `[smtp]`, `[submission]`, `[lmtp]` and `[limits]`.
pub(crate) fn smtp(config: &Config, listener: &Listener) -> smtp_server::Options {
    let kind = match listener.protocol {
        Protocol::Submission => smtp_server::Kind::Submission,
        Protocol::Lmtp => smtp_server::Kind::Lmtp,
        _ => smtp_server::Kind::Smtp,
    };
    let submission = kind == smtp_server::Kind::Submission;
    let mut options = smtp_server::Options::new(&listener.name, kind, host(config, listener).as_str());
    options.tls = match listener.tls {
        TlsMode::Off => smtp_server::TlsMode::None,
        TlsMode::Offered if submission && config.submission.require_tls => {
            smtp_server::TlsMode::StartTlsRequired
        }
        TlsMode::Offered => smtp_server::TlsMode::StartTls,
        TlsMode::Implicit => smtp_server::TlsMode::Implicit,
    };
    options.line_endings = match config.smtp.bare_newlines {
        BareNewlines::Refuse => LineEndings::Refuse,
        BareNewlines::Normalise => LineEndings::Normalize,
    };
    options.verify = match config.smtp.verify {
        Verify::Off => smtp_server::VerifyPolicy::Off,
        Verify::Authenticated => smtp_server::VerifyPolicy::Authenticated,
        Verify::Everybody => smtp_server::VerifyPolicy::Everybody,
    };
    options.check_sender = config.submission.check_sender;
    options.add_fields = submission && config.submission.add_fields;
    options.allow_networks = (kind == smtp_server::Kind::Lmtp).then(|| networks(&config.lmtp.allow_from));
    options.relay_networks = networks(&config.smtp.relay_from);
    options.proxy_networks = networks(&config.smtp.proxy_from);
    options.xclient_networks = networks(&config.smtp.xclient_from);
    options.limits = smtp_server::Limits {
        errors_max: u32::try_from(config.smtp.errors_max).unwrap_or(u32::MAX),
        recipients_max: config.limits.recipients,
        message_size_max: config.limits.message_size,
        header_size_max: config.limits.header_size,
        command_timeout: config.smtp.command_timeout,
        content_idle_timeout: config.smtp.data_timeout,
        session_timeout: config.smtp.session_timeout,
        received_max: config.limits.hops,
        ..smtp_server::Limits::default()
    };
    options
}

/// Both sides spell networks alike.
fn networks(networks: &[Network]) -> smtp_server::Networks {
    let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
    smtp_server::Networks::new(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// A listener of `[listeners]` with `[imap]`.
pub(super) fn imap(config: &Config, listener: &Listener) -> imap_server::Options {
    imap_server::Options {
        name: listener.name.clone(),
        host: host(config, listener).to_string(),
        admin: Some(format!("mailto:{}", config.server.postmaster)),
        tls: match listener.tls {
            TlsMode::Off => imap_server::TlsMode::None,
            TlsMode::Offered => imap_server::TlsMode::StartTls,
            TlsMode::Implicit => imap_server::TlsMode::Implicit,
        },
        message_octets_max: config.limits.message_size,
        line_octets_max: config.imap.line_max,
        surrogates: config.imap.surrogates,
        inactivity_max: config.imap.idle_timeout,
        inactivity_before_login_max: config.imap.login_timeout,
        ..imap_server::Options::default()
    }
}

/// A listener of `[listeners]` with `[pop3]`.
pub(super) fn pop3(config: &Config, listener: &Listener) -> pop3_server::Options {
    pop3_server::Options {
        name: listener.name.clone(),
        host: host(config, listener).to_string(),
        tls: match listener.tls {
            TlsMode::Off => pop3_server::TlsMode::None,
            TlsMode::Offered => pop3_server::TlsMode::StartTls,
            TlsMode::Implicit => pop3_server::TlsMode::Implicit,
        },
        surrogates: config.pop3.surrogates,
        idle_timeout: config.pop3.idle_timeout,
        login_timeout: config.pop3.login_timeout,
        ..pop3_server::Options::default()
    }
}
