//! POP3 on the wire: octets to commands, responses to octets. No socket, no store.

pub mod command;
pub mod line;
pub mod response;
pub mod stuffing;
