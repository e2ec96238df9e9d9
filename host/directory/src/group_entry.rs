//! A group, as mail sees it (requirements §2.3).

use mail_types::{Address, Domain};

use crate::broadcaster::Broadcaster;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::reading::{Defect, Reading};
use crate::schema::{Class, Field, Schema};
use crate::search::Search;
use crate::status::{DeliveryOption, Status};

/// A group (distribution list).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEntry {
    /// The entry it comes from.
    pub dn: Dn,
    /// `mail`: the primary address.
    pub address: Option<Address>,
    /// `mailAlternateAddress`.
    pub alternates: Vec<Address>,
    /// `mailAlternateAddress` without a local part: every address in that domain.
    pub alternate_domains: Vec<Domain>,
    /// `mailEquivalentAddress`, and further values of `mail`.
    pub equivalents: Vec<Address>,
    /// `cn`.
    pub name: Option<String>,
    /// `inetMailGroupStatus`.
    pub status: Status,
    /// `mailHost`: the host that expands it.
    pub mail_host: Option<String>,
    /// `mailRoutingAddress`.
    pub routing_address: Option<Address>,
    /// `mailDeliveryOption`; `members` where absent.
    pub delivery_options: Vec<DeliveryOption>,
    /// `uniqueMember` and `member`: entries.
    pub members: Vec<Dn>,
    /// `mgrpRFC822MailMember`: addresses, of anywhere.
    pub member_addresses: Vec<Address>,
    /// `mgrpDeliverTo` and `memberURL`: LDAP URLs. One that cannot be read is a defect, and is kept: mail waits.
    pub member_urls: Vec<String>,
    /// `mailForwardingAddress`.
    pub forwarding: Vec<Address>,
    /// `mailProgramDeliveryInfo`.
    pub programs: Vec<String>,
    /// `mailDeliveryFileURL`.
    pub files: Vec<String>,
    /// `wasmtaSharedMailbox`: mailboxes of the option `shared` (R68).
    pub shared: Vec<String>,
    /// Who may post, and what becomes of refused postings.
    pub policy: PostingPolicy,
    /// `mgrpErrorsTo`: reverse path of what the group sends.
    pub errors_to: Option<Address>,
    /// `mgrpAddHeader`.
    pub header_add: Vec<String>,
    /// `mgrpRemoveHeader`.
    pub header_remove: Vec<String>,
    /// `mgrpMsgPrefixText`.
    pub prefix_text: Option<String>,
    /// `mgrpMsgSuffixText`.
    pub suffix_text: Option<String>,
    /// `mgrpNoDuplicateChecks` is `yes`: a member reached twice gets two copies.
    pub duplicates_allowed: bool,
    /// Values that could not be used.
    pub defects: Vec<Defect>,
}

/// Who may post to a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostingPolicy {
    /// `mgrpAllowedBroadcaster`, each for [`Broadcaster::parse`]. One that cannot be read is a defect, and is kept: mail
    /// that it matters for waits.
    pub allowed_broadcasters: Vec<String>,
    /// `mgrpDisallowedBroadcaster`, likewise.
    pub disallowed_broadcasters: Vec<String>,
    /// `mgrpAllowedDomain`.
    pub allowed_domains: Vec<String>,
    /// `mgrpDisallowedDomain`.
    pub disallowed_domains: Vec<String>,
    /// `mgrpBroadcasterPolicy`, words.
    pub broadcaster_policy: Vec<String>,
    /// `mgrpModerator`: `mailto:` URLs or addresses.
    pub moderators: Vec<Address>,
    /// `mgrpMsgRejectAction`: `reply`, `toModerator`.
    pub reject_actions: Vec<String>,
    /// `mgrpMsgRejectText`.
    pub reject_text: Option<String>,
    /// `mgrpMsgMaxSize`, octets.
    pub size_max: Option<u64>,
}

impl GroupEntry {
    /// Reads an entry that is a group; `None` where it is none.
    #[must_use]
    pub fn read(entry: &Entry, schema: &Schema) -> Option<Self> {
        if !schema.is(entry, Class::InetMailGroup) {
            return None;
        }
        let mut read = Reading::new(entry, schema);
        let (address, equivalents) = read.primary_and_equivalents();
        let is_domain = |text: &&str| text.starts_with('@');
        let alternate_domains = read
            .texts(Field::MailAlternateAddress)
            .filter_map(|text| Domain::parse(text.strip_prefix('@')?).ok())
            .collect();
        let mut alternates = Vec::new();
        for text in read.texts(Field::MailAlternateAddress).filter(|text| !is_domain(text)) {
            match Address::parse(text) {
                Ok(address) => alternates.push(address),
                Err(why) => read.defect(Field::MailAlternateAddress, text, why),
            }
        }
        let mut delivery_options: Vec<_> =
            read.texts(Field::MailDeliveryOption).map(DeliveryOption::parse).collect();
        if delivery_options.is_empty() {
            delivery_options.push(DeliveryOption::Members);
        }
        let mut members = read.dns(Field::UniqueMember);
        members.extend(read.dns(Field::Member));
        let mut member_urls = read.readable(Field::MgrpDeliverTo, Search::parse);
        for url in read.readable(Field::MemberUrl, Search::parse) {
            if !member_urls.contains(&url) {
                member_urls.push(url);
            }
        }
        for text in read.texts(Field::WasmtaPlugin) {
            let why = "no plugin is asked by the entry of a group: write it to the entry of its domain";
            read.defect(Field::WasmtaPlugin, text, why);
        }
        Some(Self {
            dn: entry.dn.clone(),
            address,
            alternates,
            alternate_domains,
            equivalents,
            name: read.string(Field::CommonName),
            status: read.status(Field::InetMailGroupStatus),
            mail_host: read.host(Field::MailHost),
            routing_address: read.address(Field::MailRoutingAddress),
            delivery_options,
            members,
            member_addresses: read.addresses(Field::MgrpRfc822MailMember),
            member_urls,
            forwarding: read.addresses(Field::MailForwardingAddress),
            programs: read.strings(Field::MailProgramDeliveryInfo),
            files: read.strings(Field::MailDeliveryFileUrl),
            shared: read.strings(Field::WasmtaSharedMailbox),
            policy: posting_policy(&mut read),
            errors_to: read.address(Field::MgrpErrorsTo),
            header_add: read.strings(Field::MgrpAddHeader),
            header_remove: read.strings(Field::MgrpRemoveHeader),
            prefix_text: read.string(Field::MgrpMsgPrefixText),
            suffix_text: read.string(Field::MgrpMsgSuffixText),
            duplicates_allowed: read
                .texts(Field::MgrpNoDuplicateChecks)
                .any(|text| ["yes", "true", "1"].iter().any(|yes| yes.eq_ignore_ascii_case(text))),
            defects: read.defects,
        })
    }

    /// Every address that leads to it: primary, alternates, equivalents.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.address.iter().chain(&self.alternates).chain(&self.equivalents)
    }
}

fn posting_policy(read: &mut Reading<'_>) -> PostingPolicy {
    PostingPolicy {
        allowed_broadcasters: read.readable(Field::MgrpAllowedBroadcaster, Broadcaster::parse),
        disallowed_broadcasters: read.readable(Field::MgrpDisallowedBroadcaster, Broadcaster::parse),
        allowed_domains: read.strings(Field::MgrpAllowedDomain),
        disallowed_domains: read.strings(Field::MgrpDisallowedDomain),
        broadcaster_policy: read.strings(Field::MgrpBroadcasterPolicy),
        moderators: read.addresses(Field::MgrpModerator),
        reject_actions: read.strings(Field::MgrpMsgRejectAction),
        reject_text: read.string(Field::MgrpMsgRejectText),
        size_max: read.number(Field::MgrpMsgMaxSize),
    }
}
