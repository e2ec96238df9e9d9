//! Authentication: SASL mechanisms and password hashes, once for every protocol.
//!
//! *What:* exchanges step by step, passwords checked against the directory's stored values, new
//! ones hashed, guessing slowed down, services opened or shut by the directory (R8, R9). *Why:* one
//! place for secrets. *Layer 4:* knows the directory; must not know SMTP's, IMAP's or POP3's grammar.
//!
//! Secrets are wiped when dropped, hidden from `Debug`, and compared in constant time. A login that
//! does not exist costs what a wrong password costs; every refusal comes after the same time.

mod access;
mod authenticator;
mod cache;
mod error;
mod exchange;
mod hash;
mod names;
mod options;
pub mod scram;
mod secret;
mod sessions;
mod standing;
mod throttle;
mod upgrade;
mod verifier;
mod waiting;

pub use access::Service;
pub use authenticator::{Authenticator, Context, Identity};
pub use error::AuthError;
pub use exchange::{Exchange, LOGIN_MAX, Mechanism, Step};
pub use hash::{ClearPasswords, HashError, HashOptions, Hasher, SCRAM_ITERATIONS_MAX, ScramKeys, verify};
pub use options::{AuthOptions, ChannelBinding, Scram, Unencrypted};
pub use secret::{PASSWORD_MAX, Secret};
pub use sessions::{OpenSession, SessionInfo, Sessions};
pub use standing::LoggedIn;
pub use throttle::{LoginCount, ThrottleOptions};
pub use upgrade::Upgrade;
pub use verifier::{AskVerifier, BoxFuture, Verifier};
