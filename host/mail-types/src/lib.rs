//! The words of mail, as values.
//!
//! *What:* addresses, paths, envelopes, replies, statuses, routes and ids, with the parsing and
//! printing that belongs to the word itself. *Why:* every other crate speaks with these, so that
//! a meaning has one name. *Layer 0:* imports nothing of ours, does no I/O, knows no clock.

mod address;
mod envelope;
mod ids;
mod lookup;
mod reply;
mod route;
mod status;
mod time;

pub use address::{
    Address, AddressError, DOMAIN_MAX, Domain, ForwardPath, LOCAL_PART_MAX, LocalPart, PATH_MAX, ReversePath,
};
pub use envelope::{
    BodyType, Envelope, Notify, OriginalRecipient, Recipient, RetentionOfContent, Transport, decode_xtext,
    encode_xtext,
};
pub use ids::{AccountName, IdError, MessageId, QueueId};
pub use lookup::Lookup;
pub use reply::{Refusal, Reply};
pub use route::{ChannelName, Filing, MAILBOX_DEPTH_MAX, NextHop, Route, Words};
pub use status::{EnhancedStatus, Persistence};
pub use time::Timestamp;
