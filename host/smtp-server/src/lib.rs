//! SMTP, submission and LMTP sessions.
//!
//! *What:* one session machine for the three protocols (RFC 5321, RFC 6409, RFC 2033): from an accepted
//! connection to a [`queue::Submission`]. *Why:* they differ in a few rows of one table, and every limit,
//! refusal and trace field is wanted in all of them (R46, R81, R90, R92). *Layer 5.* *Must not know* the
//! store, the channels, or where configuration comes from: [`Options`] are plain values.
//!
//! The way of a command: `conversation` (octets) -> `table` (legal now?) -> `decide` (policy) -> `session`
//! (done, answered). A [`queue::Receipt`] is the only way to a 250 for content.

mod answer;
mod auth;
mod complete;
mod conversation;
mod decide;
mod hello;
mod intake;
mod networks;
mod options;
mod pace;
mod proxy;
mod rewrite;
mod sasl_line;
mod server;
mod session;
mod table;
mod trace;
mod transaction;
mod verify;
mod xclient;

pub use decide::header_fits;
pub use networks::{Network, NetworkError, Networks};
pub use options::{Kind, Limits, Options, TlsMode, VerifyPolicy};
pub use rewrite::HeaderAddresses;
pub use server::{Parts, Server};

#[cfg(test)]
mod tests;
