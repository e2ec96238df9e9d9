//! The configuration's values as each part takes them.

use auth::{AuthOptions, HashOptions, ThrottleOptions, Unencrypted};

use crate::config::Config;

/// How new passwords are hashed.
pub(super) fn hash(config: &Config) -> HashOptions {
    HashOptions {
        memory_kib: u32::try_from(config.auth.argon2_memory / 1024).unwrap_or(u32::MAX),
        passes: config.auth.argon2_passes,
        scram_iterations: config.auth.scram_iterations,
        ..HashOptions::default()
    }
}

/// `[auth]`.
pub(super) fn auth(config: &Config, decoy_key: [u8; 32]) -> AuthOptions {
    let usual = AuthOptions::default();
    AuthOptions {
        hash: hash(config),
        unencrypted: if config.auth.cleartext { Unencrypted::Allowed } else { Unencrypted::Refused },
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
