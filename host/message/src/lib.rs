//! Messages as octets: header fields, trace fields, body structure, delivery status notifications.
//!
//! *What:* pure functions from octets to values and back: the header scan of the accepting path
//! ([`Facts`]), trace fields ([`ReceivedField`]), dates, header addresses, IMAP's envelope and body
//! structure, sections, search text, and the composer of DSNs. *Why:* the SMTP server, the queue
//! and the readers look at the same octets, and must see the same in them. *Layer 1:* knows
//! `mail-types` only; no I/O, no clock, no store.
//!
//! Whatever octets come in, nothing here panics, and costs are linear in their number: nesting,
//! parts, fields and addresses have named maximums.

mod addresses;
mod base_subject;
mod collation;
mod content_type;
mod date;
mod decode;
mod decoder;
mod dsn;
mod encode;
mod envelope;
mod header;
mod preview;
mod search;
mod section;
mod signature;
mod structure;
mod surrogate;
mod surrogate_message;
mod trace;

pub use addresses::{
    ADDRESS_FIELDS, ADDRESSES_MAX, AddressItem, HeaderAddress, MailboxItem, header_addresses, parse_addresses,
};
pub use base_subject::BaseSubject;
pub use collation::collation_key;
pub use content_type::{ContentType, Parameters};
pub use date::{Date, Day, date_text, internal_date_text, parse_date, parse_internal_date, parse_search_day};
pub use decode::{TransferEncoding, decode_charset, decode_header, is_known_charset};
pub use decoder::Decoder;
pub use dsn::{Action, ComposedDsn, Dsn, DsnRecipient, RETURNED_HEADER_OCTETS_MAX, RETURNED_OCTETS_MAX};
pub use encode::{base64_body, encode_header, encode_phrase};
pub use envelope::{Envelope, has_envelope_fields};
pub use header::{FACTS_OCTETS_MAX, Facts, Field, FieldNames, Fields, header_len, unfold};
pub use preview::{PREVIEW_CHARS_MAX, preview};
pub use search::{HeaderTexts, Needle, SearchTexts, field_contains, header_contains};
pub use section::{SectionText, find_part, message_section, part_section, partial};
pub use signature::Signature;
pub use structure::{NESTING_MAX, PARTS_MAX, Part, PartKind, Structure};
pub use surrogate::{needs_surrogate, surrogate_header};
pub use surrogate_message::{Surrogate, SurrogatePiece, has_utf8_headers};
pub use trace::{FixUps, Protocol, ReceivedField, Tls, return_path_field};
