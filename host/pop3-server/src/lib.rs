//! POP3 sessions over the store (RFC 1939).
//!
//! *What:* the whole of RFC 1939 (R51, R74) but APOP, with CAPA (RFC 2449), STLS (RFC 2595), response codes (RFC 3206), SASL
//! (RFC 5034), UTF8 and LANG (RFC 6856). *Why:* the plainest way to one's mail. *Layer 5:* knows the store and who
//! may read it; nothing of queues, SMTP or IMAP.

mod authorization;
mod capabilities;
mod delays;
mod io;
mod maildrop;
mod options;
mod server;
mod session;
mod shown;
mod table;
mod transaction;
pub mod wire;

pub use options::{Options, TlsMode};
pub use server::{Parts, Server};

#[cfg(test)]
mod tests;
