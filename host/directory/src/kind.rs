//! What an entry is: domain, user, group, or scaffolding.

use crate::domain_entry::{DomainEntry, DomainNode};
use crate::domain_tables::DnsDomain;
use crate::entry::Entry;
use crate::group_entry::GroupEntry;
use crate::reading::Defect;
use crate::schema::{Class, Schema};
use crate::user_entry::UserEntry;

/// The kinds of entries that mail knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A domain, or another name of one.
    Domain,
    /// A user.
    User,
    /// A group.
    Group,
    /// A container, a root, or anything else.
    Other,
}

impl Kind {
    /// What the entry is, by its object classes.
    #[must_use]
    pub fn of(entry: &Entry, schema: &Schema) -> Self {
        if schema.is(entry, Class::InetMailGroup) {
            Self::Group
        } else if UserEntry::is(entry, schema) {
            Self::User
        } else if DomainNode::of(entry, schema).is_some() {
            Self::Domain
        } else {
            Self::Other
        }
    }
}

/// An entry under its typed view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A domain.
    Domain(Box<DomainEntry>),
    /// A user.
    User(Box<UserEntry>),
    /// A group.
    Group(Box<GroupEntry>),
    /// Anything else, pure domain aliases among them.
    Other(Entry),
    /// No entry: a domain that the DNS alone leads here.
    FromDns(Box<DnsDomain>),
}

impl Typed {
    /// Reads an entry as what it is.
    #[must_use]
    pub fn read(entry: Entry, schema: &Schema) -> Self {
        if let Some(group) = GroupEntry::read(&entry, schema) {
            return Self::Group(Box::new(group));
        }
        if let Some(user) = UserEntry::read(&entry, schema) {
            return Self::User(Box::new(user));
        }
        match DomainEntry::read(&entry, schema) {
            Some(domain) => Self::Domain(Box::new(domain)),
            None => Self::Other(entry),
        }
    }

    /// The values that mail cannot use.
    #[must_use]
    pub fn defects(&self) -> &[Defect] {
        match self {
            Self::Domain(domain) => &domain.defects,
            Self::User(user) => &user.defects,
            Self::Group(group) => &group.defects,
            Self::Other(_) | Self::FromDns(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests;
