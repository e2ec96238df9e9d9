//! What a value of `mailDeliveryOption` does: a template, from which an address is made that goes on (requirements §2.4).
//! So an operator may add values, and change what those that are built in do, for all domains or for one (R70).
//!
//! ```text
//! template = [flags] action
//! flags    = *( "*" / "&" / "#" / "@" )    ; users only / groups only / needs no mailbox here / by reprocessing
//! action   = "off"                         ; the value does nothing here
//!          / "**"                          ; as forward: mailForwardingAddress
//!          / "members"                     ; as members, of groups
//!          / local "@" domain              ; this address, looked at from the start: rules, directory
//!          / local "%" domain "@" tag      ; this address by that channel; "local": as local "@" domain
//!          / "@" tag                       ; the channel, on behalf of the account; "@local": its mailbox
//!          / name "@" tag                  ; the same, with the name of something registered: a program, a file
//! ```
//! In local, domain and name: `$U` the address's local part, `$0U` without its +tag, `$1U` the +tag, `$D` its domain, `$M` and `$I` local
//! part and domain of the account, `$P`, `$F`, `$S` each value of `mailProgramDeliveryInfo`, `mailDeliveryFileURL`,
//! `wasmtaSharedMailbox`: one copy for each; `$$`, `$%`, `$@`, `$*` these signs. The address is the entry's own, after
//! rewriting and with its subaddress.

mod parts;

use std::collections::HashMap;
use std::fmt;

use directory::DeliveryOption;
use mail_types::{ChannelName, Domain};

pub(crate) use self::parts::{Action, Each, Filling};
use crate::rewrite::tags::ChannelTags;
use crate::rewrite::template::TemplateError;
use crate::tables::row::RowKind;

/// Most templates of one configuration, over all domains.
pub const DELIVERY_OPTIONS_MAX: usize = 10_000;
/// Longest template, in octets.
const TEMPLATE_MAX: usize = 512;
/// Longest value of an option, in octets.
const OPTION_MAX: usize = 64;

/// The templates: those of a domain before those of all.
#[derive(Debug, Clone, Default)]
pub struct DeliveryOptions {
    general: HashMap<Box<str>, OptionTemplate>,
    of_domains: HashMap<Box<str>, HashMap<Box<str>, OptionTemplate>>,
    count: usize,
}

/// What one value does.
#[derive(Debug, Clone)]
pub struct OptionTemplate {
    text: Box<str>,
    origin: Box<str>,
    only: Option<RowKind>,
    /// `#`: whether it is carried out wherever the entry is looked up, `mailHost` or not.
    pub(crate) is_independent: bool,
    /// `@`: whether the entry is expanded later, by the channel `reprocess`.
    pub(crate) is_deferred: bool,
    pub(crate) action: Action,
}

/// The channels that a template may name.
#[derive(Clone, Copy)]
pub struct Ways<'a> {
    /// By their names.
    pub tags: &'a ChannelTags,
    /// Whether a channel leads to other hosts, and so needs an address.
    pub is_remote: &'a dyn Fn(&ChannelName) -> bool,
}

impl DeliveryOptions {
    /// Adds what a value does, in one domain (by its canonical name) or in all. The origin is told by explanations.
    pub fn add(
        &mut self,
        domain: Option<&Domain>,
        option: &str,
        template: &str,
        origin: &str,
        ways: Ways<'_>,
    ) -> Result<(), TemplateError> {
        if self.count >= DELIVERY_OPTIONS_MAX {
            return error(format!("there are more than {DELIVERY_OPTIONS_MAX}"), "take some out");
        }
        let word = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if option.is_empty() || option.len() > OPTION_MAX || !option.bytes().all(word) {
            return error(
                format!("{option:?} is no delivery option"),
                "write a word of letters, digits, - _ .",
            );
        }
        let template = OptionTemplate::parse(template, origin, ways)?;
        let key = DeliveryOption::parse(option).as_str().into();
        let table = match domain {
            Some(domain) => self.of_domains.entry(domain.as_str().into()).or_default(),
            None => &mut self.general,
        };
        if table.insert(key, template).is_some() {
            return error(
                format!("{option:?} stands there twice"),
                "letters in capitals are the same letters",
            );
        }
        self.count += 1;
        Ok(())
    }

    /// What a value does in a domain; `None` where it does what is built in.
    pub(crate) fn find(&self, domain: &str, option: &DeliveryOption) -> Option<&OptionTemplate> {
        if self.count == 0 {
            return None;
        }
        let own = self.of_domains.get(domain).and_then(|table| table.get(option.as_str()));
        own.or_else(|| self.general.get(option.as_str()))
    }
}

impl OptionTemplate {
    fn parse(text: &str, origin: &str, ways: Ways<'_>) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_MAX {
            return error(format!("the template is longer than {TEMPLATE_MAX} octets"), "make it shorter");
        }
        let mut template = Self {
            text: text.into(),
            origin: origin.into(),
            only: None,
            is_independent: false,
            is_deferred: false,
            action: Action::Off,
        };
        let mut rest = text.trim();
        while rest != "**" {
            match rest.chars().next() {
                Some('*') => template.only = Some(RowKind::User),
                Some('&') => template.only = Some(RowKind::Group),
                Some('#') => template.is_independent = true,
                // "@tag" alone is an action: the flag stands before a second "@" or a word.
                Some('@') if rest[1..].contains('@') || matches!(&rest[1..], "**" | "members") => {
                    template.is_deferred = true;
                }
                Some(sign @ ('^' | '!' | '/')) => {
                    let mend = match sign {
                        '/' => "write \"@hold\"",
                        _ => "write \"@autoreply\": that channel looks at the dates of the absence",
                    };
                    return error(format!("the flag {sign:?} is not known here"), mend);
                }
                _ => break,
            }
            rest = &rest[1..];
        }
        template.action = Action::parse(rest, ways)?;
        if matches!(template.action, Action::Members) && template.only == Some(RowKind::User) {
            return error("users have no members", "take \"*\" out");
        }
        Ok(template)
    }

    /// Whether it is for entries of this kind.
    pub(crate) fn is_for(&self, kind: RowKind) -> bool {
        let only = match self.action {
            Action::Members => Some(RowKind::Group),
            Action::Mailbox => Some(RowKind::User),
            _ => self.only,
        };
        only.or(self.only).is_none_or(|only| only == kind)
    }

    /// Where it stands.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for OptionTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn error<T>(problem: impl Into<String>, mend: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError { problem: problem.into(), mend: mend.into() })
}
