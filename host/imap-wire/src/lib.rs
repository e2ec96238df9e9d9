//! Bytes to IMAP commands and responses, and back.
//!
//! *What:* [`CommandReader`] finds commands in a stream of octets (lines and literals, bounded),
//! [`parse`] reads one whole command into a [`Command`], [`encode_command`] writes it back (what a
//! client does, and what the inverse tests need), and [`Response`] with [`FetchResponse`] write
//! what a server says. *Why:* the list of extensions of the message access is longer than
//! what libraries carry, and each is one noun and one file here, with its grammar beside it.
//! *Layer 1:* pure functions over octets; no sockets, no store, no clock. The parser never
//! panics, never allocates more than [`Limits`] allow, and gives the same answer however the
//! octets are cut into pieces.
//!
//! Grammar: RFC 3501 §9, RFC 2177 (IDLE), RFC 2342 (NAMESPACE), RFC 2971 (ID), RFC 3516 (BINARY), RFC 3691
//! (UNSELECT), RFC 4314 (ACL), RFC 4469 (CATENATE), RFC 5464 (METADATA), RFC 5465 (NOTIFY), RFC 4315 (UIDPLUS), RFC 4731 (ESEARCH), RFC 4959 (SASL-IR), RFC 4978 (COMPRESS),
//! RFC 5032 (WITHIN), RFC 5161 (ENABLE), RFC 5182 (SEARCHRES), RFC 5256 (SORT, THREAD), RFC 5258 (LIST), RFC 6154
//! (SPECIAL-USE), RFC 6851 (MOVE), RFC 7162 (CONDSTORE, QRESYNC), RFC 7888 (LITERAL+ and LITERAL-), RFC 8440
//! (LIST-MYRIGHTS), RFC 8474 (OBJECTID), RFC 8514 (SAVEDATE), RFC 8970 (PREVIEW), RFC 9208 (QUOTA), RFC 9394 (PARTIAL).

mod limits;

mod reader;

mod command;
mod cursor;

mod acl;
mod append;
mod date;
mod fetch;
mod flag;
mod list;
mod mailbox;
mod metadata;
mod modifiers;
mod notify;
mod objectid;
mod partial;
mod returns;
mod search;
mod select;
mod sequence;
mod sort;
mod status;
mod store;

mod cancel;
mod code;
mod encode;
mod esearch;
mod response;
mod text;
mod url;

#[cfg(test)]
mod tests;

pub use acl::{AclCommand, AclResponse};
pub use append::{Append, AppendLiteral, AppendMessage, AppendRest, AppendStep, parse_append_rest};
pub use code::Code;
pub use command::{By, Command, IdParameter, Secret, Tag, Tagged, Unparsed, parse};
pub use cursor::ParseError;
pub use date::{Date, DateTime};
pub use encode::{encode_append, encode_command};
pub use esearch::{Esearch, ResultUpdate};
pub use fetch::{FetchItem, Partial, Section, SectionFetch, SectionText};
pub use flag::Flag;
pub use limits::Limits;
pub use list::{ListCommand, ListReturn, ListSelection};
pub use mailbox::{MailboxError, MailboxName, decode_utf7, encode_utf7};
pub use metadata::{Depth, MetadataCommand, MetadataEntries, MetadataOptions, MetadataResponse};
pub use modifiers::FetchModifiers;
pub use notify::{EventGroup, EventMailboxes, NotifyCommand, NotifyEvent};
pub use partial::PartialRange;
pub use reader::{CommandReader, Line, LiteralMode, Received, next_line};
pub use response::{Condition, FetchResponse, Listed, NamespaceEntry, QuotaResource, Response, Status};
pub use returns::SearchReturns;
pub use search::{Search, SearchKey};
pub use select::{Qresync, SelectParameters};
pub use sequence::{Bound, SequenceRange, SequenceSet};
pub use sort::{Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm};
pub use status::{StatusItem, StatusValue};
pub use store::{Store, StoreAction};
pub use text::{NameEncoding, write_astring, write_literal_head, write_mailbox, write_nstring, write_string};
pub use url::MessageUrl;
