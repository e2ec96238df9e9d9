//! IMAP sessions over the store.
//!
//! *What:* IMAP4rev1 (RFC 3501; R51, R74, R82) with IDLE, NAMESPACE, UIDPLUS, UNSELECT, LITERAL+, SASL-IR, ID,
//! ENABLE, MOVE, CHILDREN, LIST-EXTENDED, SPECIAL-USE, ACL, LIST-MYRIGHTS,
//! METADATA, CATENATE, NOTIFY, CONTEXT and UIDONLY. One task a connection; one file a family
//! of commands under `commands`. *Why:* what a session has told its client (sequence
//! numbers, flags) is a value of its own (`view`), held against the store only at the moments
//! when the standard lets us speak; so no store lock is held while we write, and an idle session
//! is small. *Layer 5:* knows the store, authentication and the wire; must not know queue,
//! routing or SMTP.

mod options;

mod server;

mod session;
mod state;

mod answer;
mod commands;
mod derived;
mod dialect;
mod io;
mod live;
mod notify;
mod object_ids;

mod pattern;
mod rights;
mod selected;
mod structure;
mod view;

pub use options::{Options, TlsMode};
pub use server::{Parts, Server};

#[cfg(test)]
mod tests;
