//! What an operator decides about log-ins.

use std::time::Duration;

use crate::hash::{ClearPasswords, HashOptions};
use crate::throttle::ThrottleOptions;
use crate::upgrade::Upgrade;

/// Whether passwords may cross an unencrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unencrypted {
    /// No mechanism is offered there.
    #[default]
    Refused,
    /// For closed networks and tests.
    Allowed,
}

/// Whether SCRAM-SHA-256-PLUS is offered under TLS (RFC 5802 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// It is.
    Offered,
    /// It is not: some clients choose it wherever they see it, cannot bind under TLS 1.3, and give up.
    #[default]
    Withheld,
}

/// Whether SCRAM is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scram {
    /// It is, to everybody: what a user has stored is not told before the log-in.
    #[default]
    Offered,
    /// It is not: while most users have imported values, which SCRAM cannot use.
    Withheld,
}

/// How authentication works.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// How new passwords are hashed.
    pub hash: HashOptions,
    /// Whether stored clear text counts.
    pub clear: ClearPasswords,
    /// Whether passwords may cross an unencrypted connection.
    pub unencrypted: Unencrypted,
    /// Whether the mechanisms that bind a log-in to its TLS connection (`-PLUS`) are offered.
    pub channel_binding: ChannelBinding,
    /// Whether SCRAM is offered.
    pub scram: Scram,
    /// Whether imported values are replaced once their password is known.
    pub upgrade: Upgrade,
    /// Limits for those who guess.
    pub throttle: ThrottleOptions,
    /// Passwords hashed at the same time.
    pub hashing_max: usize,
    /// Log-ins that may wait for their turn; more are told to come back.
    pub waiting_max: usize,
    /// Verified passwords remembered; 0 for none.
    pub verified_max: usize,
    /// How long they are remembered.
    pub verified_for: Duration,
    /// No refusal comes sooner after the try than this, so that its time tells nothing.
    pub refusal_after: Duration,
    /// Key of the salts that SCRAM shows for logins that do not exist. Kept over restarts, it makes
    /// them as lasting as real ones; `None` draws one for this process.
    pub decoy_key: Option<[u8; 32]>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            hash: HashOptions::default(),
            clear: ClearPasswords::default(),
            unencrypted: Unencrypted::default(),
            channel_binding: ChannelBinding::default(),
            scram: Scram::default(),
            upgrade: Upgrade::default(),
            throttle: ThrottleOptions::default(),
            hashing_max: 2,
            waiting_max: 256,
            verified_max: 10_000,
            verified_for: Duration::from_secs(3600),
            refusal_after: Duration::from_millis(250),
            decoy_key: None,
        }
    }
}
