//! What is asked about entries of the directory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A domain.
    Domain,
}

/// A request about entries. Not printable as a whole: an LDIF may have passwords in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryRequest {
    /// Lists users or groups.
    List {
        /// Which of the two.
        kind: EntryKind,
        /// Only those of this domain.
        domain: Option<String>,
    },
    /// Shows a group's entry.
    GroupShow {
        /// An address of it.
        group: String,
    },
    /// Sets attributes.
    Set {
        /// What is to have them.
        kind: EntryKind,
        /// Address, login or domain.
        name: String,
        /// Attributes with their new values; none removes one.
        values: Vec<(String, Vec<String>)>,
        /// Attributes that mean nothing for mail, too.
        any: bool,
    },
    /// Lists, adds and removes further addresses.
    Addresses {
        /// Address or login.
        name: String,
        /// New ones.
        add: Vec<String>,
        /// Those that go.
        remove: Vec<String>,
    },
    /// Adds a group.
    GroupAdd {
        /// Its address.
        address: String,
        /// Addresses of its members.
        members: Vec<String>,
    },
    /// Removes a group.
    GroupRemove {
        /// An address of it.
        group: String,
    },
    /// Lists, adds and removes members.
    Members {
        /// An address of the group.
        group: String,
        /// Addresses of new ones.
        add: Vec<String>,
        /// Addresses of those that go.
        remove: Vec<String>,
    },
    /// Writes an LDIF.
    Export {
        /// To this file, which is made.
        file: PathBuf,
        /// Only what is below this domain.
        domain: Option<String>,
        /// Without values of passwords.
        without_passwords: bool,
    },
    /// Makes the changes of an LDIF.
    Apply {
        /// The text.
        ldif: String,
        /// Only says what would be.
        dry_run: bool,
    },
}
