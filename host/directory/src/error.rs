//! What can go wrong, by what the caller does about it.

use mail_types::{Address, Domain};
use storage::StorageError;

use crate::dn::{Dn, DnError};
use crate::ldif::LdifError;

/// Why the directory did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// The storage below does not answer. Try later.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A load is under way: what is absent now may be there in a moment.
    #[error("the directory is being loaded")]
    Loading,
    /// What is stored breaks the rules of its format.
    #[error("the directory is damaged: {0}; load it again from its LDIF, or restore a backup")]
    Damaged(String),
}

/// Why an edit was refused. Nothing was changed, but where a source that holds the tree says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EditError {
    /// The directory does not answer. Try later.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Others were faster too often. Try again.
    #[error("the directory was changed by others at the same time, {0} times over: try again")]
    Busy(u32),
    /// Not everything that the source has is here yet: what looks free may be somebody's there. Try later.
    #[error(
        "the first full sync of the source {0} has not ended yet, and what looks free here may be somebody's there: try again when \
         \"wasmta sync status\" names a last full sync, or make one with \"wasmta sync full\""
    )]
    Incomplete(String),
    /// The name breaks RFC 4514, or is too long to be stored.
    #[error(transparent)]
    Dn(#[from] DnError),
    /// The name is longer than the store can index.
    #[error("the name {0} is too long to be stored: at most {max} octets in normal form", max = crate::layout::NAME_KEY_MAX)]
    NameTooLong(Dn),
    /// The name is kept free for what the DNS alone knows.
    #[error("the name {0} is kept free for domains by DNS tables: choose another top")]
    Reserved(Dn),
    /// An entry of that name exists.
    #[error("the entry {0} exists already")]
    EntryExists(Dn),
    /// No entry of that name exists.
    #[error("there is no entry {0}")]
    NoEntry(Dn),
    /// The entry above does not exist.
    #[error("the entry {0} has no entry above it: add {1} first")]
    NoParent(Dn, Dn),
    /// Entries below would be cut off.
    #[error("the entry {0} has entries below it, {1} for one: remove those first")]
    HasChildren(Dn, Dn),
    /// Another entry has the address.
    #[error("the address {address} belongs to {by}: choose another one, or take it from there first")]
    AddressUsed {
        /// The address, or `@domain`.
        address: String,
        /// Who has it.
        by: Dn,
    },
    /// Another entry is that domain.
    #[error("the domain {domain} is described by {by} already")]
    DomainUsed {
        /// The domain.
        domain: Domain,
        /// Where it is described.
        by: Dn,
    },
    /// The domain is there, and lacks nothing.
    #[error("{domain} is a mail domain already, with all that belongs to it: {by} describes it")]
    DomainWhole {
        /// The domain.
        domain: Domain,
        /// Where it is described.
        by: Dn,
    },
    /// The domain is not hosted here.
    #[error("the domain {0} is not in the directory: add it first with \"wasmta domain add {0}\"")]
    NoDomain(Domain),
    /// An address literal names a host, not a domain.
    #[error("{0} is an address, not a domain name: give a name")]
    AddressLiteral(Domain),
    /// The name is an alias of a domain: removing the domain by it would surprise.
    #[error("{name} is another name of {domain}: remove that domain, or take the name out of {by}")]
    OtherName {
        /// The name as given.
        name: Domain,
        /// The domain it leads to.
        domain: Domain,
        /// The domain's entry.
        by: Dn,
    },
    /// The domain has users or groups besides its postmaster.
    #[error(
        "the domain {domain} still has entries, {example} for one: remove them first, or ask for their removal too"
    )]
    DomainInUse {
        /// The domain.
        domain: Domain,
        /// One of them.
        example: Dn,
    },
    /// Another domain has its users, or itself, below the domain's base.
    #[error(
        "below the base of {domain} another domain has its users or its own entry, {other} describes it, and that would go \
         with this one: nothing is removed. Give the other one a base elsewhere (inetDomainBaseDN) first; or remove the users \
         of {domain} one by one (\"wasmta user remove\"), and then the entry {own} by \"wasmta directory apply\" (changetype: delete)"
    )]
    BaseShared {
        /// The domain.
        domain: Domain,
        /// The entry of the other domain.
        other: Dn,
        /// The entry that makes it a domain.
        own: Box<Dn>,
    },
    /// There are entries below the domain's base that mail knows nothing of.
    #[error(
        "below the base of {domain} there are entries that are not mail's, {example} for one, and would go with it: move \
         them elsewhere or delete them first"
    )]
    ForeignBelow {
        /// The domain.
        domain: Domain,
        /// One of them.
        example: Dn,
    },
    /// A new domain needs somebody behind its postmaster address (RFC 5321 §4.5.1).
    #[error("nobody would read postmaster@{0}: name an administrator's address")]
    NoAdministrator(Domain),
    /// The postmaster address must stay as long as the domain does (RFC 5321 §4.5.1).
    #[error("{who} is the only one behind {postmaster}, which a domain must have: appoint another one first")]
    Postmaster {
        /// Who was to be removed.
        who: String,
        /// The address that would be empty.
        postmaster: Address,
    },
    /// Nobody has that login or address.
    #[error("there is no user {0}")]
    NoUser(String),
    /// No group has that address.
    #[error("there is no group {0}")]
    NoGroup(Address),
    /// A change of values that cannot be made.
    #[error("{dn}: {what}")]
    Value {
        /// The entry.
        dn: Dn,
        /// What is wrong.
        what: String,
    },
    /// A profile that would not work.
    #[error("the profile would not work: {0}")]
    Profile(String),
    /// A password without a hash scheme: clear text is never stored.
    #[error("{0} carries a password in clear text, which is never stored: hash it first")]
    ClearPassword(Dn),
    /// The tree mirrors a source that we may not write to.
    #[error(
        "the directory is an LDAP server's, and the configuration lets us only read it: make the change there, or set directory.ldap.writable"
    )]
    ReadOnly,
    /// No source has a subtree that the entry would lie in.
    #[error(
        "{0} lies below no base of a source, so nobody can be asked to keep it: add its tree to `bases` of [directory.ldap] or of a tenant, or give the tenant the domain (directory.tenants.NAME.domains)"
    )]
    NoSource(Dn),
    /// The source refused the edit, or does not answer.
    #[error("the LDAP server did not make the change: {0}")]
    Source(String),
    /// The source has an entry of that name, which we had not seen before, and have taken over now.
    #[error("the LDAP server did not make the change: it has the entry {0} since the last sync: try again")]
    CameBetween(Dn),
    /// The source fell silent in the middle: nobody knows whether the edit was made.
    #[error("whether the LDAP server made the change is not known, look there: {0}")]
    SourceSilent(String),
    /// An entry would say what is not its source's to say: it would be written there, and refused when it comes back.
    #[error("{dn} cannot have that in {attribute}: {why}")]
    NotItsOwn {
        /// The entry.
        dn: Dn,
        /// Where it says so.
        attribute: &'static str,
        /// Whose that is.
        why: String,
    },
    /// The source has made the edit, and we have not seen what came of it, or cannot take it.
    #[error(
        "the LDAP server made the change, and mail goes on by what it knew before, until a sync takes it over or the entry is \
         mended there: {0}"
    )]
    NotTakenOver(String),
}

impl From<StorageError> for EditError {
    fn from(error: StorageError) -> Self {
        Self::Directory(error.into())
    }
}

/// Why an LDIF was not loaded. The directory is empty again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The text is not valid.
    #[error(transparent)]
    Ldif(#[from] LdifError),
    /// An entry cannot be taken.
    #[error("line {line}: {problem}")]
    Entry {
        /// Line of the entry, from 1.
        line: u64,
        /// What is wrong with it.
        problem: EditError,
    },
    /// A clear-text password could not be hashed.
    #[error("line {line}: the password of {dn} cannot be hashed: {why}")]
    Password {
        /// Line of the entry, from 1.
        line: u64,
        /// The entry.
        dn: Dn,
        /// What went wrong.
        why: String,
    },
    /// There are entries already.
    #[error("the directory has {0} entries already: an LDIF is loaded into an empty one only")]
    NotEmpty(u64),
    /// The directory does not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<StorageError> for LoadError {
    fn from(error: StorageError) -> Self {
        Self::Directory(error.into())
    }
}
