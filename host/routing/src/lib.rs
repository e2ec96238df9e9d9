//! Rewrite rules, routing table, alias table, resolution and its explanation.
//!
//! *What:* takes a recipient and says to which channel and next hop each copy goes, and why. *Why apart:* the
//! session that accepts mail and the queue that sends it on must decide alike, and `explain` must show that very
//! decision. *Layer 3:* knows the directory's entries, the storage of its tables and the queue's port; knows no
//! wire, no socket and no message content (R88).

pub mod recorder;
pub mod rewrite;
pub mod tables;
