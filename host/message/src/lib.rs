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

mod date;
mod dsn;
mod header;
mod trace;

pub use date::{Date, Day, date_text, internal_date_text, parse_date, parse_internal_date, parse_search_day};
pub use dsn::{Action, ComposedDsn, Dsn, DsnRecipient, RETURNED_HEADER_OCTETS_MAX, RETURNED_OCTETS_MAX};
pub use header::{FACTS_OCTETS_MAX, Facts, Field, Fields, header_len, unfold};
pub use trace::{FixUps, Protocol, ReceivedField, Tls, return_path_field};
