//! The directory: domains, users and groups, as entries of a tree (the DIT).
//!
//! *What:* names (RFC 4514), entries, LDIF (RFC 2849), the product's schema with remappable
//! names, and the typed views of domains, users and groups (R5) that the rest of the mail system
//! reads, in whatever tree the administrator prefers (R3). *Why:* the directory is
//! the one source of who exists (R1), whatever server holds it. The embedded tree lives in
//! `storage` (tables: see `layout.rs`); every edit is one durable batch that asserts the state it
//! was planned on, so that no two entries ever get one address. *Layer 3:* knows nothing of SMTP,
//! IMAP, rewriting or password verification.

mod account_moves;
mod amend;
mod broadcaster;
mod change;
mod check;
mod claims;
mod directory;
mod dn;
mod domain_entry;
mod domain_tables;
mod domains;
mod edit;
mod entry;
mod entry_filter;
mod error;
mod examine;
mod group_entry;
mod groups;
mod kind;
mod layout;
mod ldap;
mod ldif;
mod ldif_changes;
mod load;
mod memberships;
mod mirror;
mod new_domain;
mod plan;
mod profile;
mod publication;
mod reading;
mod reindex;
mod remote_edit;
mod schema;
mod search;
mod status;
mod user_entry;
mod users;
mod view;

pub use account_moves::{ACCOUNT_MOVES_LISTED_MAX, AccountMoves};
pub use amend::{Amended, Amendment, AttributeChange, ChangeDefect, EntryChange, Making, RefusedChange};
pub use broadcaster::{Broadcaster, BroadcasterError};
pub use change::{CHANGES_KEPT_MAX, CHANGES_LISTED_MAX, Change, Changes, Operation};
pub use check::VIOLATIONS_MAX;
pub use directory::{Counts, Directory, DirectoryOptions, OwnTops};
pub use dn::{DN_MAX, Dn, DnError, RDN_MAX};
pub use domain_entry::{DomainEntry, domain_alias};
pub use domain_tables::{
    DNS_TOP, DnsDomain, DomainTables, TABLES_MAX, TableMeans, TableOptions, TableRead, TableSays, TableStatus,
};
pub use domains::DomainUsers;
pub use edit::Edit;
pub use entry::{Attribute, Entry};
pub use entry_filter::{EntryFilter, EntryFilterError, FILTER_OCTETS_MAX};
pub use error::{DirectoryError, EditError, LoadError};
pub use examine::{LDIF_REFUSALS_MAX, LdifExamination, LdifRefusal, examine_ldif};
pub use group_entry::{GroupEntry, PostingPolicy};
pub use groups::GroupMember;
pub use kind::{Kind, Typed};
pub use layout::{NAME_KEY_MAX, SPACES};
pub use ldap::failure::LdapFailure;
pub use ldap::filter::Filter;
pub use ldap::servers::ServerHealth;
pub use ldap::settings::{BASES_MAX, LdapOptions, Protection, Referrals, SERVERS_MAX, ServerUrl};
pub use ldif::{LINE_MAX, LdifError, LdifProblem, LdifReader, LdifRecord, RECORD_MAX, write_ldif};
pub use ldif_changes::{LDIF_CHANGES_MAX, LdifChange, read_changes};
pub use load::{LOAD_DEFECTS_MAX, LoadDefect, LoadProgress, LoadReport, PasswordHasher};
pub use memberships::GROUPS_OF_MAX;
pub use mirror::apply::{BATCH_MAX, REFUSED_MAX};
pub use mirror::difference::{DIFFERENCES_MAX, Difference, LeftOver};
pub use mirror::full::{SyncOrder, SyncReport, Telling};
pub use mirror::history::{HISTORY_MAX, SyncRecord};
pub use mirror::live::Follower;
pub use mirror::mirrors::{Mirrors, SOURCES_MAX};
pub use mirror::miss::ABSENT_MAX;
pub use mirror::owners::{OWN_DOMAINS_MAX, OwnDomain};
pub use mirror::records::{Brought, GENERAL_SOURCE, Way};
pub use mirror::source::{Mirror, MirrorOptions, MirrorStatus, RefusedEntry, SyncError, SyncMode};
pub use new_domain::{AddedDomain, DomainGap, DomainGaps, NewDomain};
pub use profile::{PROFILE_FIELDS, ProfileChange};
pub use publication::{ExtraText, Publication, PublicationOptions, Published};
pub use reading::{DEFECTS_MAX, Defect};
pub use schema::{Class, Field, Schema, SchemaError};
pub use search::{Scope, Search, SearchError};
pub use status::{AutoReply, AutoReplyMode, DeliveryOption, Quota, Status, Tagged};
pub use user_entry::{PasswordHash, UserEntry};
pub use users::NewUser;
