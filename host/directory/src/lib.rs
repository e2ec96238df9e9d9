//! The directory: domains, users and groups, as entries of a tree (the DIT).
//!
//! *What:* names (RFC 4514), entries, LDIF (RFC 2849), the product's schema with remappable
//! names, and the typed views that the rest of the mail system reads. *Why:* the directory is
//! the one source of who exists (R1), whatever server holds it. *Layer 2:* knows nothing of SMTP,
//! IMAP, rewriting or password verification.

mod dn;
mod domain_entry;
mod entry;
mod group_entry;
mod kind;
mod ldif;
mod reading;
mod schema;
mod status;
mod user_entry;

pub use dn::{DN_MAX, Dn, DnError, RDN_MAX};
pub use domain_entry::DomainEntry;
pub use entry::{Attribute, Entry};
pub use group_entry::{GroupEntry, PostingPolicy};
pub use kind::{Kind, Typed};
pub use ldif::{LINE_MAX, LdifError, LdifProblem, LdifReader, LdifRecord, RECORD_MAX, write_ldif};
pub use reading::{DEFECTS_MAX, Defect};
pub use schema::{Class, Field, Schema, SchemaError};
pub use status::{AutoReply, DeliveryOption, Quota, Status};
pub use user_entry::{PasswordHash, UserEntry};
