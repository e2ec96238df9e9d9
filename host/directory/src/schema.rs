//! The schema: which names the directory gives to what mail needs to know.
//!
//! The product's names (requirements §2.1-2.3) are the defaults; every one is remappable, so
//! that a directory which calls the primary address `rfc822Mailbox` needs configuration, not code. `wasmtaPlugin` is
//! ours: the product has nothing that it could be called after.

use crate::entry::Entry;
use crate::status::Tagged;

/// Why a name cannot be remapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The product knows no such name.
    #[error("{name:?} is no attribute or object class of the schema{}", near(.nearest))]
    Unknown {
        /// The name as given.
        name: String,
        /// A known one that looks like it.
        nearest: Option<&'static str>,
    },
    /// The local name is no attribute description.
    #[error("{0:?} is no attribute type: letters, digits and hyphens, or a dotted number")]
    Name(String),
}

fn near(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind { $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)* }

        impl $kind {
            /// Every one, in the order of the table.
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            /// The product's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// An attribute with a meaning for mail.
    Field {
        ObjectClass "objectClass" "the kinds of an entry",
        AliasedObjectName "aliasedObjectName" "the entry that an alias entry stands for",
        InetDomainBaseDn "inetDomainBaseDN" "top of the subtree that holds a domain's users and groups",
        InetDomainStatus "inetDomainStatus" "status of a domain for all services",
        InetCanonicalDomainName "inetCanonicalDomainName" "the domain whose users this one shares",
        SunPreferredDomain "sunPreferredDomain" "canonical domain of an organisation",
        AssociatedDomain "associatedDomain" "further domains of an organisation",
        DomainUidSeparator "domainUidSeparator" "what stands between uid and domain in a login",
        MailDomainStatus "mailDomainStatus" "status of a domain for mail",
        MailRoutingHosts "mailRoutingHosts" "hosts that may handle the domain's users",
        MailRoutingSmartHost "mailRoutingSmartHost" "host for addresses not found in the directory",
        PreferredMailHost "preferredMailHost" "mail host of new users",
        PreferredMailMessageStore "preferredMailMessageStore" "store partition of new users",
        MailDomainCatchallAddress "mailDomainCatchallAddress" "who gets mail for unknown addresses",
        MailDomainCatchallMapping "mailDomainCatchallMapping" "table that decides on unknown addresses",
        MailDomainDiskQuota "mailDomainDiskQuota" "octets for all users of a domain together",
        MailDomainMsgQuota "mailDomainMsgQuota" "messages for all users of a domain together",
        MailDomainAllowedServiceAccess "mailDomainAllowedServiceAccess" "services open to the domain's users",
        MailDomainSieveRuleSource "mailDomainSieveRuleSource" "Sieve script of a domain",
        MailDomainSenderSieve "mailDomainSenderSieve" "Sieve script for mail from a domain",
        MailDomainConversionTag "mailDomainConversionTag" "conversion tags of a domain",
        MailDomainUplevel "mailDomainUplevel" "whether subdomains belong to the domain",
        MailDomainAutoReplyTimeOut "mailDomainAutoReplyTimeOut" "hours between replies to one sender",
        MailDomainCaptureAddress "mailDomainCaptureAddress" "who gets a copy of the domain's mail",
        MailDomainMaxMsgRecipients "mailDomainMaxMsgRecipients" "recipients of one message at most",
        MailDomainSourceChannel "mailDomainSourceChannel" "channel for mail from the domain",
        MailDomainMsgMaxBlocks "mailDomainMsgMaxBlocks" "largest message, in blocks of 1024 octets",
        MailDomainReportAddress "mailDomainReportAddress" "sender of reports about the domain's mail",
        Uid "uid" "login name within the domain",
        CommonName "cn" "full name",
        Surname "sn" "family name",
        UserPassword "userPassword" "password hashes",
        Mail "mail" "primary address",
        MailAlternateAddress "mailAlternateAddress" "addresses rewritten to the primary one",
        MailEquivalentAddress "mailEquivalentAddress" "addresses delivered alike, not rewritten in headers",
        MailHost "mailHost" "host that holds the mailbox",
        MailRoutingAddress "mailRoutingAddress" "where to route instead",
        MailUserStatus "mailUserStatus" "status of a user for mail",
        InetUserStatus "inetUserStatus" "status of a user for all services",
        MailDeliveryOption "mailDeliveryOption" "what happens to mail of a user or group",
        MailForwardingAddress "mailForwardingAddress" "targets of the option forward",
        MailProgramDeliveryInfo "mailProgramDeliveryInfo" "registered program of the option program",
        MailDeliveryFileUrl "mailDeliveryFileURL" "file of the option file",
        MailAutoReplyMode "mailAutoReplyMode" "kind of automatic reply",
        MailAutoReplyText "mailAutoReplyText" "text of the reply",
        MailAutoReplyTextInternal "mailAutoReplyTextInternal" "text for senders in the same domain",
        MailAutoReplySubject "mailAutoReplySubject" "subject of the reply",
        MailAutoReplyTimeOut "mailAutoReplyTimeOut" "hours between replies to one sender",
        VacationStartDate "vacationStartDate" "first moment of an absence",
        VacationEndDate "vacationEndDate" "last moment of an absence",
        MailQuota "mailQuota" "octets a user may store",
        MailMsgQuota "mailMsgQuota" "messages a user may store",
        MailMessageStore "mailMessageStore" "store partition",
        MailAllowedServiceAccess "mailAllowedServiceAccess" "services open to a user",
        MailMsgMaxBlocks "mailMsgMaxBlocks" "largest message, in blocks of 1024 octets",
        MailSieveRuleSource "mailSieveRuleSource" "Sieve script",
        MailConversionTag "mailConversionTag" "conversion tags",
        MailDeferProcessing "mailDeferProcessing" "whether expansion waits for the reprocess channel",
        MailSmtpSubmitChannel "mailSMTPSubmitChannel" "channel for what the user submits",
        WasmtaAutoReplyFrom "wasmtaAutoReplyFrom" "From of the reply: ADDRESS, or a name and an address in angle brackets",
        WasmtaSharedMailbox "wasmtaSharedMailbox" "mailbox of the option shared: NAME below shared/, or user/OWNER/NAME",
        WasmtaPlugin "wasmtaPlugin" "plugins of a user or of a domain: NAME, or ROLE NAME",
        InetMailGroupStatus "inetMailGroupStatus" "status of a group",
        UniqueMember "uniqueMember" "members by name",
        Member "member" "members by name",
        MgrpRfc822MailMember "mgrpRFC822MailMember" "members by address",
        MgrpDeliverTo "mgrpDeliverTo" "members by search (LDAP URL)",
        MemberUrl "memberURL" "members by search (LDAP URL)",
        MgrpAllowedBroadcaster "mgrpAllowedBroadcaster" "who may post",
        MgrpDisallowedBroadcaster "mgrpDisallowedBroadcaster" "who may not post",
        MgrpAllowedDomain "mgrpAllowedDomain" "domains from which one may post",
        MgrpDisallowedDomain "mgrpDisallowedDomain" "domains from which one may not post",
        MgrpBroadcasterPolicy "mgrpBroadcasterPolicy" "what a poster must show",
        MgrpApprovePassword "mgrpApprovePassword" "password that approves a posting",
        MgrpAuthPassword "mgrpAuthPassword" "password that allows posting",
        MgrpMsgMaxSize "mgrpMsgMaxSize" "largest posting, in octets",
        MgrpMsgRejectAction "mgrpMsgRejectAction" "what happens to a refused posting",
        MgrpMsgRejectText "mgrpMsgRejectText" "text of the refusal",
        MgrpModerator "mgrpModerator" "who decides on refused postings",
        MgrpErrorsTo "mgrpErrorsTo" "reverse path of what the group sends",
        MgrpAddHeader "mgrpAddHeader" "header fields to add",
        MgrpRemoveHeader "mgrpRemoveHeader" "header fields to remove",
        MgrpMsgPrefixText "mgrpMsgPrefixText" "text put before a posting",
        MgrpMsgSuffixText "mgrpMsgSuffixText" "text put after a posting",
        MgrpNoDuplicateChecks "mgrpNoDuplicateChecks" "whether members reached twice get two copies",
    }
}

names! {
    /// An object class that tells what an entry is.
    Class {
        InetDomain "inetDomain" "a node of the DC tree that is a domain",
        MailDomain "mailDomain" "a domain that gets mail",
        InetDomainAlias "inetDomainAlias" "another name of a domain",
        SunManagedOrganization "sunManagedOrganization" "an organisation with domains of its own",
        Alias "alias" "an entry that stands for another",
        InetMailUser "inetMailUser" "a user with mail",
        InetOrgPerson "inetOrgPerson" "a person; a user where it has an address",
        PosixAccount "posixAccount" "an account; a user where it has an address",
        InetMailGroup "inetMailGroup" "a group with an address",
    }
}

/// The local names of every [`Field`] and [`Class`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Vec<String>>,
    classes: Vec<Vec<String>>,
}

impl Default for Schema {
    fn default() -> Self {
        Self::product()
    }
}

impl Schema {
    /// The product's names. `sn` and `cn` also under their long names, and addresses also under
    /// the name of the product's first generation.
    #[must_use]
    pub fn product() -> Self {
        let mut schema = Self {
            fields: Field::ALL.iter().map(|field| vec![field.name().to_owned()]).collect(),
            classes: Class::ALL.iter().map(|class| vec![class.name().to_owned()]).collect(),
        };
        for (field, further) in [
            (Field::CommonName, "commonName"),
            (Field::Surname, "surname"),
            (Field::Uid, "userid"),
            (Field::Mail, "rfc822Mailbox"),
            (Field::MailAlternateAddress, "rfc822MailAlias"),
        ] {
            schema.fields[field as usize].push(further.to_owned());
        }
        schema
    }

    /// Gives an attribute or object class, named as the product names it, other local names.
    /// The first is the one that is written.
    pub fn remap(&mut self, name: &str, local: Vec<String>) -> Result<(), SchemaError> {
        if let Some(bad) = local.iter().find(|local| !crate::dn::is_type(local)) {
            return Err(SchemaError::Name(bad.clone()));
        }
        if local.is_empty() {
            return Err(SchemaError::Name(String::new()));
        }
        let field = Field::ALL.iter().find(|field| field.name().eq_ignore_ascii_case(name));
        let class = Class::ALL.iter().find(|class| class.name().eq_ignore_ascii_case(name));
        match (field, class) {
            (Some(field), _) => self.fields[*field as usize] = local,
            (None, Some(class)) => self.classes[*class as usize] = local,
            (None, None) => {
                return Err(SchemaError::Unknown { name: name.to_owned(), nearest: nearest(name) });
            }
        }
        Ok(())
    }

    /// All names in use, for people and to tell whether two are the same.
    #[must_use]
    pub fn mark(&self) -> String {
        let fields = Field::ALL.iter().map(|field| (field.name(), self.names(*field)));
        let classes = Class::ALL.iter().map(|class| (class.name(), &self.classes[*class as usize][..]));
        fields.chain(classes).map(|(name, local)| format!("{name}={}\n", local.join(","))).collect()
    }

    /// The local names of an attribute; the first is the one that is written.
    #[must_use]
    pub fn names(&self, field: Field) -> &[String] {
        &self.fields[field as usize]
    }

    /// The name that is written.
    #[must_use]
    pub fn name(&self, field: Field) -> &str {
        &self.fields[field as usize][0]
    }

    /// The object class name that is written.
    #[must_use]
    pub fn class(&self, class: Class) -> &str {
        &self.classes[class as usize][0]
    }

    /// The local names of an object class; the first is the one that is written.
    #[must_use]
    pub fn class_names(&self, class: Class) -> &[String] {
        &self.classes[class as usize]
    }

    /// Which attribute a description names, by any of its local names; options (`;lang-de`) change nothing of that
    /// (RFC 4512 §2.5).
    #[must_use]
    pub fn field(&self, description: &str) -> Option<Field> {
        let of = |name: &str| {
            let is = |field: &Field| self.names(*field).iter().any(|known| known.eq_ignore_ascii_case(name));
            Field::ALL.iter().find(|field| is(field)).copied()
        };
        of(description).or_else(|| of(description.split(';').next()?))
    }

    /// Whether a description names this attribute, in the same way; of one that two attributes share, both are named.
    #[must_use]
    pub fn is_named(&self, description: &str, field: Field) -> bool {
        let is = |name: &str| self.names(field).iter().any(|known| known.eq_ignore_ascii_case(name));
        is(description) || description.split_once(';').is_some_and(|(name, _)| is(name))
    }

    /// Whether an attribute's values are nobody's to see.
    #[must_use]
    pub fn is_secret(&self, description: &str) -> bool {
        let secrets = [Field::UserPassword, Field::MgrpAuthPassword, Field::MgrpApprovePassword];
        secrets.into_iter().any(|field| self.is_named(description, field))
    }

    /// The values of an attribute under any of its local names.
    pub fn texts<'a>(&'a self, entry: &'a Entry, field: Field) -> impl Iterator<Item = &'a str> {
        self.names(field).iter().flat_map(|name| entry.texts(name))
    }

    /// The values of an attribute without a language and with one (RFC 3866), in the order of the entry.
    pub fn tagged<'a>(&'a self, entry: &'a Entry, field: Field) -> impl Iterator<Item = Tagged> + 'a {
        let names = self.names(field);
        let language = move |name: &str| {
            let (name, options) = name.split_once(';').unwrap_or((name, ""));
            let known = names.iter().any(|known| known.eq_ignore_ascii_case(name));
            let options = options.to_ascii_lowercase();
            match options.strip_prefix("lang-") {
                Some(language) => known.then(|| language.to_owned()),
                None => (known && options.is_empty()).then(String::new),
            }
        };
        let may_be = move |name: &[u8]| {
            let starts = |known: &String| {
                name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
            };
            names.iter().any(starts)
        };
        let named = entry.octet_attributes().filter(move |(name, _)| may_be(name));
        named
            .filter_map(move |(name, values)| Some((language(std::str::from_utf8(name).ok()?)?, values)))
            .flat_map(|(language, values)| {
                let texts = values.filter_map(|value| std::str::from_utf8(value).ok());
                texts.map(move |text| Tagged { language: language.clone(), text: text.trim().to_owned() })
            })
    }

    /// The first value of an attribute.
    #[must_use]
    pub fn text<'a>(&'a self, entry: &'a Entry, field: Field) -> Option<&'a str> {
        self.texts(entry, field).next()
    }

    /// Whether an entry is of an object class.
    #[must_use]
    pub fn is(&self, entry: &Entry, class: Class) -> bool {
        let names = &self.classes[class as usize];
        self.texts(entry, Field::ObjectClass)
            .any(|text| names.iter().any(|name| name.eq_ignore_ascii_case(text)))
    }
}

/// A known name that differs in case, or by what an editor would call a slip: the longest
/// common beginning of at least five letters.
fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let common = |known: &str| {
        known.bytes().zip(lower.bytes()).take_while(|(a, b)| a.to_ascii_lowercase() == *b).count()
    };
    let known = Field::ALL.iter().map(|f| f.name()).chain(Class::ALL.iter().map(|c| c.name()));
    known.filter(|known| common(known) >= 5).max_by_key(|known| common(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dn::Dn;

    #[test]
    fn names_are_remapped_and_unknown_ones_refused() {
        let mut schema = Schema::product();
        schema.remap("MAIL", vec!["email".to_owned(), "e-mail".to_owned()]).unwrap();
        schema.remap("inetMailUser", vec!["mailPerson".to_owned()]).unwrap();
        let entry = Entry::new(Dn::root())
            .with("objectClass", "MailPerson")
            .with("e-mail", "a@b.c")
            .with("mail", "x@y.z");
        assert_eq!(schema.texts(&entry, Field::Mail).collect::<Vec<_>>(), ["a@b.c"]);
        assert!(schema.is(&entry, Class::InetMailUser) && !schema.is(&entry, Class::InetMailGroup));
        let error = schema.remap("mailAlternateAdress", vec!["x".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("\"mailAlternateAddress\""), "{error}");
        assert!(matches!(schema.remap("mail", vec!["a b".to_owned()]), Err(SchemaError::Name(_))));
        assert_eq!(schema.field("E-Mail;lang-de"), Some(Field::Mail));
        assert!(
            schema.is_named("E-Mail;lang-de", Field::Mail) && !schema.is_named("E-Mail", Field::CommonName)
        );
        assert!(schema.is_secret("userpassword;lang-en") && !schema.is_secret("email"));
    }
}
