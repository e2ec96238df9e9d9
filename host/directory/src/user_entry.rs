//! A user, as mail sees it (requirements §2.2).

use std::fmt;

use hooks::{Binding, Role};
use mail_types::{AccountName, Address, Domain};

use crate::dn::Dn;
use crate::entry::Entry;
use crate::reading::{Defect, Reading};
use crate::schema::{Class, Field, Schema};
use crate::status::{AutoReply, AutoReplyMode, DeliveryOption, Quota, Status};

/// A stored password value, `{SCHEME}…`. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a value of `userPassword`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value, scheme included.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The scheme in upper case; `None` where there is none: then the value is a clear text.
    #[must_use]
    pub fn scheme(&self) -> Option<String> {
        let (scheme, _) = self.0.strip_prefix('{')?.split_once('}')?;
        let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"-/._".contains(&b);
        (!scheme.is_empty() && scheme.bytes().all(is_scheme)).then(|| scheme.to_ascii_uppercase())
    }
}

impl PasswordHash {
    /// Whether it is a clear text: without a scheme, or under one that means no hash.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.clear_text().is_some()
    }

    /// The clear text, where it is one.
    #[must_use]
    pub fn clear_text(&self) -> Option<&str> {
        match self.scheme().as_deref() {
            None => Some(&self.0),
            Some("CLEAR" | "CLEARTEXT" | "PLAIN") => self.0.split_once('}').map(|(_, text)| text),
            Some(_) => None,
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}[hidden]", self.scheme().as_deref().unwrap_or("?"))
    }
}

/// A user: owner of an account and of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// The entry it comes from.
    pub dn: Dn,
    /// `uid`; the local part of the address where it is absent.
    pub login: String,
    /// `mail`: the primary address; of several the first.
    pub address: Option<Address>,
    /// `mailAlternateAddress`: rewritten to the primary address.
    pub alternates: Vec<Address>,
    /// `mailAlternateAddress` without a local part (`@sub.example.org`): every address there.
    pub alternate_domains: Vec<Domain>,
    /// `mailEquivalentAddress`, and further values of `mail`: delivered alike, headers left alone.
    pub equivalents: Vec<Address>,
    /// `cn`.
    pub name: Option<String>,
    /// `inetUserStatus`, for all services.
    pub status: Status,
    /// `mailUserStatus`, for mail. See [`UserEntry::effective_status`].
    pub mail_status: Status,
    /// `mailHost`: the host that holds the mailbox; absent: the domain's preferred one, or here.
    pub mail_host: Option<String>,
    /// `mailRoutingAddress`.
    pub routing_address: Option<Address>,
    /// `mailDeliveryOption`; `mailbox` where absent.
    pub delivery_options: Vec<DeliveryOption>,
    /// `mailForwardingAddress`.
    pub forwarding: Vec<Address>,
    /// `mailProgramDeliveryInfo`: names of registered programs.
    pub programs: Vec<String>,
    /// `mailDeliveryFileURL`.
    pub files: Vec<String>,
    /// `wasmtaSharedMailbox`: mailboxes of the option `shared` (R68).
    pub shared: Vec<String>,
    /// `mailAutoReply…` and `vacation…`.
    pub auto_reply: AutoReply,
    /// `userPassword`.
    pub password_hashes: Vec<PasswordHash>,
    /// `mailQuota`, octets.
    pub quota: Quota,
    /// `mailMsgQuota`, messages.
    pub message_quota: Quota,
    /// `mailAllowedServiceAccess`, filters as written.
    pub allowed_services: Vec<String>,
    /// `mailMessageStore`.
    pub message_store: Option<String>,
    /// `mailMsgMaxBlocks`, blocks of 1024 octets.
    pub message_blocks_max: Option<u64>,
    /// `mailSieveRuleSource`.
    pub sieve: Vec<String>,
    /// `mailConversionTag`.
    pub conversion_tags: Vec<String>,
    /// `mailDeferProcessing` is `yes`.
    pub defer_processing: bool,
    /// `mailSMTPSubmitChannel`.
    pub submit_channel: Option<String>,
    /// `wasmtaPlugin`: the user's own chain of plugins, in order.
    pub plugins: Vec<Binding>,
    /// Values that could not be used.
    pub defects: Vec<Defect>,
}

impl UserEntry {
    /// Whether an entry is a user: of `inetMailUser`, or a person or account with an address.
    #[must_use]
    pub fn is(entry: &Entry, schema: &Schema) -> bool {
        let is = |class| schema.is(entry, class);
        let addressed = || schema.text(entry, Field::Mail).is_some();
        !is(Class::InetMailGroup)
            && (is(Class::InetMailUser)
                || (is(Class::InetOrgPerson) || is(Class::PosixAccount)) && addressed())
    }

    /// Reads an entry that is a user; `None` where it is none.
    #[must_use]
    pub fn read(entry: &Entry, schema: &Schema) -> Option<Self> {
        if !Self::is(entry, schema) {
            return None;
        }
        let mut read = Reading::new(entry, schema);
        let (address, equivalents) = read.primary_and_equivalents();
        let login = read.string(Field::Uid).or_else(|| address.as_ref().map(|a| a.local.as_str().to_owned()));
        let alternate_domains = read
            .texts(Field::MailAlternateAddress)
            .filter_map(|text| Domain::parse(text.strip_prefix('@')?).ok())
            .collect();
        let alternates = read.parsed(Field::MailAlternateAddress, alternate).into_iter().flatten().collect();
        let mut delivery_options: Vec<_> =
            read.texts(Field::MailDeliveryOption).map(DeliveryOption::parse).collect();
        if delivery_options.is_empty() {
            delivery_options.push(DeliveryOption::Mailbox);
        }
        Some(Self {
            dn: entry.dn.clone(),
            login: login.unwrap_or_default(),
            address,
            alternates,
            alternate_domains,
            equivalents,
            name: read.string(Field::CommonName),
            status: read.status(Field::InetUserStatus),
            mail_status: read.status(Field::MailUserStatus),
            mail_host: read.host(Field::MailHost),
            routing_address: read.address(Field::MailRoutingAddress),
            delivery_options,
            forwarding: read.addresses(Field::MailForwardingAddress),
            programs: read.strings(Field::MailProgramDeliveryInfo),
            files: read.strings(Field::MailDeliveryFileUrl),
            shared: read.strings(Field::WasmtaSharedMailbox),
            auto_reply: auto_reply(&mut read),
            password_hashes: read.texts(Field::UserPassword).map(PasswordHash::new).collect(),
            quota: read.quota(Field::MailQuota),
            message_quota: read.quota(Field::MailMsgQuota),
            allowed_services: read.strings(Field::MailAllowedServiceAccess),
            message_store: read.string(Field::MailMessageStore),
            message_blocks_max: read.number(Field::MailMsgMaxBlocks),
            sieve: read.strings(Field::MailSieveRuleSource),
            conversion_tags: read.strings(Field::MailConversionTag),
            defer_processing: read
                .texts(Field::MailDeferProcessing)
                .any(|text| ["yes", "true", "1"].iter().any(|yes| yes.eq_ignore_ascii_case(text))),
            submit_channel: read.string(Field::MailSmtpSubmitChannel),
            plugins: read.parsed(Field::WasmtaPlugin, own_plugin),
            defects: read.defects,
        })
    }

    /// The name of its account: the primary address in lower case; else the first alternate.
    #[must_use]
    pub fn account(&self) -> Option<AccountName> {
        let address = self.address.as_ref().or(self.alternates.first())?;
        AccountName::new(&address.to_key())
    }

    /// The status that rules: the more restrictive of the two.
    #[must_use]
    pub fn effective_status(&self) -> Status {
        self.status.max(self.mail_status)
    }

    /// Every address that leads to it: primary, alternates, equivalents.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.address.iter().chain(&self.alternates).chain(&self.equivalents)
    }
}

/// A plugin of a user's own entry, which is asked what becomes of the user's mail, and nothing else.
fn own_plugin(text: &str) -> Result<Binding, String> {
    let binding: Binding = text.parse()?;
    match binding.role {
        None | Some(Role::Disposition) => Ok(binding),
        Some(role) => Err(format!(
            "a user's entry binds for \"disposition\" alone: write \"{role} {}\" to the entry of the user's domain, or \
             \"disposition {}\" here",
            binding.plugin, binding.plugin
        )),
    }
}

/// An alternate address; `None` for the form without local part, which is read apart.
fn alternate(text: &str) -> Result<Option<Address>, mail_types::AddressError> {
    match text.strip_prefix('@') {
        Some(domain) => Domain::parse(domain).map(|_| None),
        None => Address::parse(text).map(Some),
    }
}

/// `ADDRESS`, or `NAME <ADDRESS>`, the name with or without quotes.
fn named_address(text: &str) -> Result<(Option<String>, Address), &'static str> {
    let wrong = "expected an address, or a name and an address in <>";
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"').trim(), address),
        None => ("", text.trim()),
    };
    if name.chars().any(char::is_control) {
        return Err(wrong);
    }
    let address = Address::parse(address).map_err(|_| wrong)?;
    Ok(((!name.is_empty()).then(|| name.to_owned()), address))
}

fn auto_reply(read: &mut Reading<'_>) -> AutoReply {
    let mode = |text: &str| AutoReplyMode::parse(text).ok_or("expected vacation, reply or echo");
    AutoReply {
        mode: read.parsed(Field::MailAutoReplyMode, mode).into_iter().next().unwrap_or_default(),
        from: read.parsed(Field::WasmtaAutoReplyFrom, named_address).into_iter().next(),
        texts: read.tagged(Field::MailAutoReplyText),
        texts_internal: read.tagged(Field::MailAutoReplyTextInternal),
        subjects: read.tagged(Field::MailAutoReplySubject),
        timeout_hours: read.number(Field::MailAutoReplyTimeOut),
        start: read.moment(Field::VacationStartDate),
        end: read.moment(Field::VacationEndDate),
    }
}
