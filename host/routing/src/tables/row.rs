//! The rows, and how they are laid out.

use std::borrow::Cow;

use directory::{DeliveryOption, Status};
use hooks::Binding;
use serde::{Deserialize, Serialize};

/// How an address leads to its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// `mail`.
    Primary,
    /// `mailAlternateAddress`: headers are rewritten to the primary address.
    Alternate,
    /// `mailEquivalentAddress`: headers are left alone.
    Equivalent,
    /// `mailAlternateAddress: @domain`: every address of a domain.
    Domain,
}

impl Relation {
    const ALL: [Self; 4] = [Self::Primary, Self::Alternate, Self::Equivalent, Self::Domain];

    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary address",
            Self::Alternate => "alternate address",
            Self::Equivalent => "equivalent address",
            Self::Domain => "address of a whole domain",
        }
    }
}

/// What kind of entry a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A user.
    User,
    /// A group.
    Group,
}

impl RowKind {
    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// One row of the alias table. The ordinary user (mailbox here, active or not) has no [`Detail`]: kind, status and
/// name are all there is, and reading it allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRow<'a> {
    /// How the address leads to the entry.
    pub relation: Relation,
    /// User or group.
    pub kind: RowKind,
    /// The status that rules.
    pub status: Status,
    /// The entry (RFC 4514 string).
    pub dn: Cow<'a, str>,
    /// What an ordinary user lacks.
    pub detail: Option<Box<Detail>>,
}

/// What is out of the ordinary in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// The account, where it is not the row's key.
    pub account: Option<String>,
    /// The primary address, where it is not the row's key letter by letter.
    pub primary: Option<String>,
    /// `mailHost`.
    pub mail_host: Option<String>,
    /// `mailRoutingAddress`.
    pub routing_address: Option<String>,
    /// `mailDeliveryOption`, where it is more or other than the kind's default.
    pub options: Vec<String>,
    /// `mailForwardingAddress`.
    pub forwarding: Vec<String>,
    /// A group's members by name.
    pub members: Vec<String>,
    /// A group's members by address.
    pub member_addresses: Vec<String>,
    /// A group's members by search: LDAP URLs.
    pub searches: Vec<String>,
    /// `mailProgramDeliveryInfo`: names of registered programs.
    pub programs: Vec<String>,
    /// `mailDeliveryFileURL`: files.
    pub files: Vec<String>,
    /// `wasmtaSharedMailbox`: mailboxes that others share.
    pub shared: Vec<String>,
    /// What a group changes of the messages that it sends on.
    pub list: Option<Box<ListSettings>>,
    /// Who may post to a group.
    pub policy: Option<Box<Policy>>,
    /// `wasmtaPlugin` of a user.
    pub plugins: Vec<Binding>,
    /// `mailSMTPSubmitChannel`.
    pub submit_channel: Option<String>,
}

/// What a group changes of the messages that it sends on (requirements §2.3): what makes a group a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListSettings {
    /// `cn`: its name, for people.
    pub name: Option<String>,
    /// `mgrpErrorsTo`: where reports go.
    pub errors_to: Option<String>,
    /// `mgrpAddHeader`: whole fields.
    pub header_add: Vec<String>,
    /// `mgrpRemoveHeader`: names of fields.
    pub header_remove: Vec<String>,
    /// `mgrpMsgPrefixText`.
    pub prefix_text: Option<String>,
    /// `mgrpMsgSuffixText`.
    pub suffix_text: Option<String>,
    /// `mgrpMsgMaxSize`, octets.
    pub size_max: Option<u64>,
}

/// Who may post to a group, and what becomes of refused postings (requirements §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// `mgrpAllowedBroadcaster`.
    pub allowed: Vec<String>,
    /// `mgrpDisallowedBroadcaster`.
    pub disallowed: Vec<String>,
    /// `mgrpAllowedDomain`.
    pub allowed_domains: Vec<String>,
    /// `mgrpDisallowedDomain`.
    pub disallowed_domains: Vec<String>,
    /// `mgrpBroadcasterPolicy`.
    pub words: Vec<String>,
    /// `mgrpModerator`.
    pub moderators: Vec<String>,
    /// `mgrpMsgRejectAction` has `toModerator`.
    pub to_moderator: bool,
    /// `mgrpMsgRejectText`.
    pub reject_text: Option<String>,
}

impl AliasRow<'_> {
    /// The delivery options.
    #[must_use]
    pub fn options(&self) -> Vec<DeliveryOption> {
        match (&self.detail, self.kind) {
            (Some(detail), _) if !detail.options.is_empty() => {
                detail.options.iter().map(|word| DeliveryOption::parse(word)).collect()
            }
            (_, RowKind::User) => vec![DeliveryOption::Mailbox],
            (_, RowKind::Group) => vec![DeliveryOption::Members],
        }
    }

    /// Whether it is an ordinary user: mailbox here, under the row's own key.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind == RowKind::User && self.detail.is_none()
    }

    /// Appends the row to a value.
    pub(crate) fn write(&self, value: &mut Vec<u8>) {
        let start = value.len();
        value.extend_from_slice(&[0; 4]);
        let kind = match self.kind {
            RowKind::User => 0,
            RowKind::Group => 0x10,
        };
        value.push(self.relation as u8 | kind);
        value.push(status_octet(self.status) | if self.detail.is_some() { 0x80 } else { 0 });
        match &self.detail {
            None => value.extend_from_slice(self.dn.as_bytes()),
            Some(detail) => {
                let length = u32::try_from(self.dn.len()).unwrap_or(u32::MAX);
                value.extend_from_slice(&length.to_le_bytes());
                value.extend_from_slice(self.dn.as_bytes());
                // A Vec takes every octet: writing to it cannot fail.
                value.extend_from_slice(&postcard::to_stdvec(detail).unwrap_or_default());
            }
        }
        let length = u32::try_from(value.len() - start - 4).unwrap_or(u32::MAX);
        value[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn read(octets: &[u8]) -> Option<AliasRow<'_>> {
        let (&[head, status], rest) = octets.split_first_chunk()?;
        let relation = *Relation::ALL.get(usize::from(head & 0x0f))?;
        let kind = if head & 0x10 == 0 { RowKind::User } else { RowKind::Group };
        let (dn, detail) = if status & 0x80 == 0 {
            (rest, None)
        } else {
            let (length, rest) = rest.split_first_chunk()?;
            let (dn, detail) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            (dn, Some(Box::new(postcard::from_bytes(detail).ok()?)))
        };
        let dn = Cow::Borrowed(std::str::from_utf8(dn).ok()?);
        Some(AliasRow { relation, kind, status: status_of(status & 0x7f)?, dn, detail })
    }

    /// The rows of a value; `None` where it is no sequence of rows.
    #[must_use]
    pub fn read_all(value: &[u8]) -> Option<Vec<AliasRow<'_>>> {
        split(value)?.into_iter().map(AliasRow::read).collect()
    }

    /// The only row of a value, without a list: the common case.
    pub(crate) fn read_only(value: &[u8]) -> Option<AliasRow<'_>> {
        AliasRow::read(only(value)?)
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> AliasRow<'static> {
        AliasRow { dn: Cow::Owned(self.dn.into_owned()), ..self }
    }
}

/// One row of the routing table: what an entry says about a domain, or that it is another name of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DomainRow {
    /// The entry (RFC 4514 string).
    pub dn: String,
    /// The canonical name, where the row's key is another one.
    pub canonical: Option<String>,
    /// Only another name: the entry where the domain itself is described.
    pub target: Option<String>,
    /// Domain whose users it shares (`inetCanonicalDomainName`).
    pub shares: Option<String>,
    /// The status that rules, as its octet.
    pub status: u8,
    /// The entry that says so, where another one of those that are joined here does. Never stored.
    #[serde(skip)]
    pub(crate) status_dn: Option<String>,
    /// `mailRoutingHosts`.
    pub routing_hosts: Vec<String>,
    /// `mailRoutingSmartHost`.
    pub smart_host: Option<String>,
    /// `mailDomainCatchallAddress`.
    pub catch_all: Option<String>,
    /// `preferredMailHost`.
    pub preferred_mail_host: Option<String>,
    /// `mailDomainSourceChannel`.
    pub source_channel: Option<String>,
    /// `mailDomainUplevel`, bit 0.
    pub uplevel: bool,
    /// `wasmtaPlugin`: the tenant's own chain.
    pub plugins: Vec<Binding>,
    /// What the DNS says, where the row comes from there and from no entry.
    pub dns: Option<Box<FromDns>>,
}

/// What is out of the ordinary in a row that comes from the DNS (R25).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FromDns {
    /// Whether others are better hosts of the domain: its mail goes on to them (RFC 5321 §5.1).
    pub relay: bool,
    /// Whether an address that the directory does not know is refused for good, not for now.
    pub refuse_unknown: bool,
    /// The records, and where and when they were found, in words.
    pub origin: String,
}

impl DomainRow {
    /// The status that rules.
    #[must_use]
    pub fn status(&self) -> Status {
        status_of(self.status).unwrap_or(Status::Inactive)
    }

    /// Where it comes from: the entry, or the records of the DNS.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.dns.as_ref().map_or(&self.dn, |dns| &dns.origin)
    }

    /// Where its status comes from: the entry that says it.
    #[must_use]
    pub fn status_origin(&self) -> &str {
        self.status_dn.as_deref().unwrap_or_else(|| self.origin())
    }

    /// Takes from another description of the same domain what this one lacks; the more restrictive status rules.
    pub(crate) fn join(&mut self, other: Self) {
        if other.status > self.status {
            self.status = other.status;
            self.status_dn = other.status_dn.or(Some(other.dn));
        }
        self.uplevel |= other.uplevel;
        if self.plugins.is_empty() {
            self.plugins = other.plugins;
        }
        if self.routing_hosts.is_empty() {
            self.routing_hosts = other.routing_hosts;
        }
        for (mine, theirs) in [
            (&mut self.canonical, other.canonical),
            (&mut self.target, other.target),
            (&mut self.shares, other.shares),
            (&mut self.smart_host, other.smart_host),
            (&mut self.catch_all, other.catch_all),
            (&mut self.preferred_mail_host, other.preferred_mail_host),
            (&mut self.source_channel, other.source_channel),
        ] {
            *mine = mine.take().or(theirs);
        }
    }

    pub(crate) fn write(&self, value: &mut Vec<u8>) {
        // A Vec takes every octet: writing to it cannot fail.
        let octets = postcard::to_stdvec(self).unwrap_or_default();
        value.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend_from_slice(&octets);
    }

    /// What the rows of a value say together: entries win over the DNS. `None` where it is no sequence of rows, or an empty one.
    pub(crate) fn read_joined(value: &[u8]) -> Option<Self> {
        if let Some(row) = only(value) {
            return postcard::from_bytes(row).ok();
        }
        let mut rows = Self::read_all(value)?;
        if rows.iter().any(|row| row.dns.is_none()) {
            rows.retain(|row| row.dns.is_none());
        }
        let mut rows = rows.into_iter();
        let mut first = rows.next()?;
        rows.for_each(|row| first.join(row));
        Some(first)
    }

    /// The rows of a value; `None` where it is no sequence of rows.
    #[must_use]
    pub fn read_all(value: &[u8]) -> Option<Vec<Self>> {
        split(value)?.into_iter().map(|octets| postcard::from_bytes(octets).ok()).collect()
    }
}

/// The octets of the only row of a value.
fn only(value: &[u8]) -> Option<&[u8]> {
    let (length, row) = value.split_first_chunk()?;
    (u32::from_le_bytes(*length) as usize == row.len()).then_some(row)
}

/// The octets of each row of a value.
pub(crate) fn split(mut value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rows = Vec::with_capacity(1);
    while !value.is_empty() {
        let (length, rest) = value.split_first_chunk()?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rows.push(row);
        value = rest;
    }
    Some(rows)
}

const STATUSES: [Status; 7] = [
    Status::Active,
    Status::OverQuota,
    Status::Hold,
    Status::Inactive,
    Status::Disabled,
    Status::Deleted,
    Status::Removed,
];

/// A status as stored: its rank, so that the greater octet is the more restrictive status.
pub(crate) fn status_octet(status: Status) -> u8 {
    STATUSES.iter().position(|other| *other == status).and_then(|at| u8::try_from(at).ok()).unwrap_or(3)
}

fn status_of(octet: u8) -> Option<Status> {
    STATUSES.get(usize::from(octet)).copied()
}
