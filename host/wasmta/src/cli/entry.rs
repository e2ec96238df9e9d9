//! `wasmta alias`, `wasmta group` and `wasmta directory`; what users and domains have of entries.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::arguments::Format;
use crate::control::{EntryKind, EntryRequest, Request};

/// Longest LDIF of changes, in octets.
const LDIF_OCTETS_MAX: u64 = 16 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// List the addresses of a user or group.
    List {
        /// One of its addresses, or the login.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Add addresses: mail for them goes the same way.
    #[command(after_help = "\
Examples:
  wasmta alias add anna@example.org a.ahl@example.org ahl@example.net
  wasmta alias add anna@example.org @old.example     every address there that nobody else has")]
    Add(Addresses),
    /// Remove addresses. The primary one stays.
    Remove(Addresses),
}

#[derive(Debug, Args)]
pub(crate) struct Addresses {
    /// The user or group: one of its addresses, or the login.
    name: String,
    /// The addresses.
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List groups.
    List {
        /// Only those of this domain.
        domain: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show a group's entry.
    Show {
        /// Its address.
        group: String,
        #[command(flatten)]
        format: Format,
    },
    /// Add a group: mail for its address goes to its members.
    #[command(after_help = "\
Examples:
  wasmta group add team@example.org anna@example.org ben@example.org carla@elsewhere.example
  wasmta group set team@example.org mgrpErrorsTo=anna@example.org mgrpAllowedDomain=example.org")]
    Add {
        /// Its address.
        group: String,
        /// Its members.
        #[arg(value_name = "MEMBER")]
        members: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Set attributes, as ATTRIBUTE=VALUE; an empty value removes one.
    Set(Set),
    /// Remove a group. Its members stay.
    Remove {
        /// Its address.
        group: String,
    },
    /// Members: who has an entry here is one by entry, others by address.
    #[command(subcommand)]
    Member(MemberCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List members.
    List {
        /// The group's address.
        group: String,
        #[command(flatten)]
        format: Format,
    },
    /// Add members.
    Add(Members),
    /// Remove members.
    Remove(Members),
}

#[derive(Debug, Args)]
pub(crate) struct Members {
    /// The group's address.
    group: String,
    /// Addresses of members.
    #[arg(required = true, value_name = "MEMBER")]
    members: Vec<String>,
    #[command(flatten)]
    format: Format,
}

/// Attributes with new values.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Whose: an address, a login, or a domain's name.
    name: String,
    /// ATTRIBUTE=VALUE; one given several times has all these values, an empty value removes it.
    #[arg(required = true, value_name = "ATTRIBUTE=VALUE")]
    values: Vec<String>,
    /// Attributes that mean nothing for mail, too.
    #[arg(long)]
    any: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Write the directory as LDIF to a new file, password hashes included: keep it like them.
    #[command(after_help = "\
Examples:
  wasmta directory export /var/backups/directory.ldif
  wasmta directory export club.ldif --domain club.example --without-passwords")]
    Export {
        /// The file; where the server runs, it writes it.
        file: PathBuf,
        /// Only this domain's entries.
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        /// Leave the values of passwords out.
        #[arg(long)]
        without_passwords: bool,
    },
    /// Make the changes of an LDIF (RFC 2849): all of them or, where one is refused, none.
    ///
    /// LDAP servers that have the directory take them entry by entry: those before one that a server refuses stay, and the
    /// answer says how many, and from which line on the file is to be applied then.
    ///
    /// changetype: add, modify and delete; an entry without changetype is added. Clear-text passwords are hashed. What is
    /// deleted stays in the groups that name it; `wasmta user remove` takes it out of them.
    #[command(after_help = "\
Examples:
  wasmta directory apply changes.ldif --dry-run
  ldapmodify-like-tool | wasmta directory apply -")]
    Apply {
        /// The file; - is standard input.
        file: PathBuf,
        /// Only check, and say what would be.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        format: Format,
    },
}

fn request(request: EntryRequest, format: Format) -> (Request, bool) {
    (Request::Entry(request), format.json)
}

/// Users or groups, of a domain or all.
pub(super) fn list(kind: EntryKind, domain: Option<String>, format: Format) -> (Request, bool) {
    request(EntryRequest::List { kind, domain }, format)
}

/// New values of attributes.
pub(super) fn set(kind: EntryKind, set: Set) -> Result<(Request, bool), String> {
    let Set { name, values, any, format } = set;
    let mut gathered: Vec<(String, Vec<String>)> = Vec::new();
    for text in values {
        let (attribute, value) = text
            .split_once('=')
            .filter(|(attribute, _)| !attribute.is_empty())
            .ok_or_else(|| format!("{text:?}: write ATTRIBUTE=VALUE, as mailUserStatus=inactive"))?;
        let known = gathered.iter().position(|(known, _)| known.eq_ignore_ascii_case(attribute));
        let at = known.unwrap_or_else(|| {
            gathered.push((attribute.to_owned(), Vec::new()));
            gathered.len() - 1
        });
        if !value.is_empty() {
            gathered[at].1.push(value.to_owned());
        }
    }
    Ok(request(EntryRequest::Set { kind, name, values: gathered, any }, format))
}

pub(super) fn alias(command: AliasCommand) -> (Request, bool) {
    let (name, add, remove, format) = match command {
        AliasCommand::List { name, format } => (name, Vec::new(), Vec::new(), format),
        AliasCommand::Add(Addresses { name, addresses, format }) => (name, addresses, Vec::new(), format),
        AliasCommand::Remove(Addresses { name, addresses, format }) => (name, Vec::new(), addresses, format),
    };
    request(EntryRequest::Addresses { name, add, remove }, format)
}

pub(super) fn group(command: GroupCommand) -> Result<(Request, bool), String> {
    Ok(match command {
        GroupCommand::List { domain, format } => list(EntryKind::Group, domain, format),
        GroupCommand::Show { group, format } => request(EntryRequest::GroupShow { group }, format),
        GroupCommand::Add { group, members, format } => {
            request(EntryRequest::GroupAdd { address: group, members }, format)
        }
        GroupCommand::Set(values) => return set(EntryKind::Group, values),
        GroupCommand::Remove { group } => {
            request(EntryRequest::GroupRemove { group }, Format { json: false })
        }
        GroupCommand::Member(command) => {
            let (group, add, remove, format) = match command {
                MemberCommand::List { group, format } => (group, Vec::new(), Vec::new(), format),
                MemberCommand::Add(Members { group, members, format }) => {
                    (group, members, Vec::new(), format)
                }
                MemberCommand::Remove(Members { group, members, format }) => {
                    (group, Vec::new(), members, format)
                }
            };
            request(EntryRequest::Members { group, add, remove }, format)
        }
    })
}

pub(super) fn directory(command: DirectoryCommand) -> Result<(Request, bool), String> {
    Ok(match command {
        DirectoryCommand::Export { file, domain, without_passwords } => {
            if file.as_os_str() == "-" {
                return Err("the server writes the export, and to a file: name one".to_owned());
            }
            let file = super::absolute(&file);
            request(EntryRequest::Export { file, domain, without_passwords }, Format { json: false })
        }
        DirectoryCommand::Apply { file, dry_run, format } => {
            request(EntryRequest::Apply { ldif: read(&file)?, dry_run }, format)
        }
    })
}

/// The text of an LDIF.
fn read(file: &Path) -> Result<String, String> {
    let octets = super::input::octets(file, LDIF_OCTETS_MAX, "give it in parts")?;
    String::from_utf8(octets).map_err(|_| format!("{}: it is not UTF-8", file.display()))
}
