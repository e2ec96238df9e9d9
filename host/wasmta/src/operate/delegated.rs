//! What somebody may ask who administers single domains (R6, R99).
//!
//! A request that is not known to be harmless is refused. Names are resolved here, once, and the request goes on with the
//! primary address of what was found: so that a name which means one entry here cannot mean another one further on.

use std::ops::ControlFlow;

use directory::{DeliveryOption, Entry, Field, GroupEntry, UserEntry};
use events::Event;
use mail_types::{Address, Domain, Lookup};
use tokio::sync::mpsc;

use super::directory::{list_domains, parse_address, parse_domain};
use crate::config::{Config, Delegate};
use crate::control::{Answer, EntryKind, EntryRequest, Line, ProfileValue, Request, StoreRequest};
use crate::serve::Parts;

/// What of a profile is theirs to set: all that leads to no program, no file and no mailbox of others.
const PROFILE: [Field; 9] = [
    Field::MailDeliveryOption,
    Field::MailForwardingAddress,
    Field::MailAutoReplyMode,
    Field::MailAutoReplySubject,
    Field::MailAutoReplyText,
    Field::MailAutoReplyTextInternal,
    Field::MailAutoReplyTimeOut,
    Field::VacationStartDate,
    Field::VacationEndDate,
];
/// What else of an entry: names for people. The rest (quotas, plugins, where mail is) is the operator's.
const NAMES: [&str; 5] = ["cn", "sn", "givenName", "displayName", "preferredLanguage"];

/// What statuses they give.
const STATUSES: [&str; 3] = ["active", "inactive", "disabled"];

tokio::task_local! {
    /// On whose behalf a request is performed, where it is not the operator.
    static DELEGATE: Delegate;
}

/// Who performs what is performed now, for the log.
pub(super) fn actor() -> String {
    DELEGATE.try_with(|one| format!("the delegate {}", one.name)).unwrap_or_else(|_| "an operator".to_owned())
}

/// Whether a domain is another's than of the delegate who asks.
pub(super) fn is_foreign(domain: &Domain) -> bool {
    DELEGATE.try_with(|one| !one.has(domain)).unwrap_or(false)
}

/// Performs a request of a delegate, or refuses it and says so in the log.
pub(crate) async fn perform(
    parts: &Parts,
    config: &Config,
    delegate: &Delegate,
    request: Request,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    if matches!(request, Request::DomainList) {
        return list_domains(parts, |domain| delegate.has(domain));
    }
    let asked = request.word();
    let request = match (Asking { parts, delegate }).permitted(request) {
        Ok(request) => request,
        Err(cause) => {
            let delegate = delegate.name.as_str();
            parts.events.emit(&Event::DelegateRefused { delegate, asked: &asked, cause: &cause });
            return Err(cause);
        }
    };
    DELEGATE.scope(delegate.clone(), super::perform(parts, config, request, progress)).await
}

/// A delegate who asks.
struct Asking<'a> {
    parts: &'a Parts,
    delegate: &'a Delegate,
}

impl Asking<'_> {
    /// The request as it may go on.
    fn permitted(&self, request: Request) -> Result<Request, String> {
        match request {
            Request::DomainShow { domain } => Ok(Request::DomainShow { domain: self.domain(&domain)? }),
            Request::DomainRows { domain } => Ok(Request::DomainRows { domain: self.domain_apart(&domain)? }),
            Request::DomainCheck { domain } => Ok(Request::DomainCheck { domain: self.domain(&domain)? }),
            Request::DomainAdd { domain, administrator } => {
                Ok(Request::DomainAdd { domain: self.domain(&domain)?, administrator })
            }
            Request::DomainRemove { domain, with_users, mail } => {
                let domain = self.domain_apart(&domain)?;
                if !self.delegate.has_below(&parse_domain(&domain)?) {
                    return Err(format!("{domain} stays: ask the operator to remove it"));
                }
                Ok(Request::DomainRemove { domain, with_users, mail })
            }
            Request::UserAdd { address, name, password } => {
                let address = self.new_address(&address)?;
                self.domain_apart(parse_address(&address)?.domain.as_str())?;
                Ok(Request::UserAdd { address, name, password })
            }
            Request::UserShow { address } => Ok(Request::UserShow { address: self.user(&address)? }),
            Request::UserPasswd { address, password } => {
                Ok(Request::UserPasswd { address: self.user(&address)?, password })
            }
            // What is left of somebody who is gone has no entry any more.
            Request::UserRemove { address, mail: true } if self.is_gone(&address) => {
                Ok(Request::UserRemove { address: self.new_address(&address)?, mail: true })
            }
            Request::UserRemove { address, mail } => {
                Ok(Request::UserRemove { address: self.user(&address)?, mail })
            }
            Request::ProfileShow { user } => Ok(Request::ProfileShow { user: self.user(&user)? }),
            Request::ProfileSet { user, values } => {
                let user = self.user(&user)?;
                values.iter().try_for_each(of_profile)?;
                Ok(Request::ProfileSet { user, values })
            }
            Request::Store(StoreRequest::Quota { name }) => {
                let name = if name.contains('@') { self.user(&name)? } else { self.domain(&name)? };
                Ok(Request::Store(StoreRequest::Quota { name }))
            }
            Request::Entry(request) => self.entry(request).map(Request::Entry),
            other => Err(format!("{} is the operator's: a delegate may not ask for it", other.word())),
        }
    }

    fn entry(&self, request: EntryRequest) -> Result<EntryRequest, String> {
        Ok(match request {
            EntryRequest::List { kind, domain: Some(domain) } => {
                EntryRequest::List { kind, domain: Some(self.domain(&domain)?) }
            }
            EntryRequest::List { domain: None, .. } => return Err("say of which domain".to_owned()),
            EntryRequest::GroupShow { group } => EntryRequest::GroupShow { group: self.group(&group)? },
            EntryRequest::GroupAdd { address, members } => {
                EntryRequest::GroupAdd { address: self.new_address(&address)?, members }
            }
            EntryRequest::GroupRemove { group } => EntryRequest::GroupRemove { group: self.group(&group)? },
            EntryRequest::Members { group, add, remove } => {
                EntryRequest::Members { group: self.group(&group)?, add, remove }
            }
            EntryRequest::Addresses { name, add, remove } => {
                let name = self.named(&name)?.0;
                add.iter().try_for_each(|text| self.new_address(text).map(drop))?;
                EntryRequest::Addresses { name, add, remove }
            }
            EntryRequest::Set { kind: EntryKind::User, name, values, any: false } => {
                let status = self.parts.directory.schema().name(Field::MailUserStatus);
                let is_theirs = |attribute: &str| {
                    NAMES.iter().chain([&status]).any(|name| name.eq_ignore_ascii_case(attribute))
                };
                if let Some((other, _)) = values.iter().find(|(attribute, _)| !is_theirs(attribute)) {
                    let theirs = NAMES.join(", ");
                    return Err(format!(
                        "{other} is the operator's to set; a delegate sets {theirs} and {status}"
                    ));
                }
                // Not `hold`: what is parked takes the operator's room.
                let is_status = |value: &String| STATUSES.iter().any(|one| one.eq_ignore_ascii_case(value));
                let of_status = values.iter().filter(|(attribute, _)| attribute.eq_ignore_ascii_case(status));
                if let Some(other) = of_status.flat_map(|(_, values)| values).find(|value| !is_status(value))
                {
                    return Err(format!(
                        "{status} {other} is the operator's to set; a delegate sets {}",
                        STATUSES.join(", ")
                    ));
                }
                EntryRequest::Set { kind: EntryKind::User, name: self.user(&name)?, values, any: false }
            }
            EntryRequest::Set { .. } | EntryRequest::Export { .. } | EntryRequest::Apply { .. } => {
                return Err("that is the operator's: a delegate may not ask for it".to_owned());
            }
        })
    }

    /// Says the same of what is another's and of what is not there.
    fn not_theirs(&self, name: &str) -> String {
        format!("{name} is not of the domains that {} administers", self.delegate.name)
    }

    /// A domain of theirs, by its own name: one that is an alias of another's, or shares another's users, is not theirs.
    fn domain(&self, text: &str) -> Result<String, String> {
        let domain = parse_domain(text)?;
        let known = match self.parts.directory.domain(&domain) {
            Lookup::Found(known) => Some(known),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(why),
        };
        let names = known.iter().flat_map(|known| std::iter::once(&known.domain).chain(&known.canonical));
        if names.chain([&domain]).all(|name| self.delegate.has(name)) {
            return Ok(domain.to_string());
        }
        Err(self.not_theirs(text))
    }

    /// The same of a domain whose entries stand apart from those of others.
    fn domain_apart(&self, text: &str) -> Result<String, String> {
        let name = self.domain(text)?;
        let known = match self.parts.directory.domain(&parse_domain(&name)?) {
            Lookup::Found(known) => known,
            Lookup::NotFound => return Ok(name),
            Lookup::Unavailable(why) => return Err(why),
        };
        let mut is_apart = true;
        let looked = self.parts.directory.scan_domains(&mut |other| {
            let is_others = !self.delegate.has(&other.domain);
            let meet = other.base.is_within(&known.base) || known.base.is_within(&other.base);
            is_apart &= !(is_others && meet);
            if is_apart { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        looked.map_err(|e| e.to_string())?;
        if is_apart {
            Ok(name)
        } else {
            Err(format!("{text} has its entries among those of another domain: ask the operator"))
        }
    }

    /// An address that is to be: `local@domain`, or `@domain`, of a domain of theirs.
    fn new_address(&self, text: &str) -> Result<String, String> {
        let domain = match text.strip_prefix('@') {
            Some(domain) => parse_domain(domain)?,
            None => parse_address(text)?.domain,
        };
        self.domain(domain.as_str()).map_err(|_| self.not_theirs(text))?;
        Ok(text.to_owned())
    }

    fn is_gone(&self, name: &str) -> bool {
        matches!(self.parts.directory.named(name), Lookup::NotFound) && parse_address(name).is_ok()
    }

    fn user(&self, name: &str) -> Result<String, String> {
        let (address, entry) = self.named(name)?;
        match UserEntry::read(&entry, self.parts.directory.schema()) {
            Some(_) => Ok(address),
            None => Err(format!("{name} is no user")),
        }
    }

    fn group(&self, name: &str) -> Result<String, String> {
        let (address, entry) = self.named(name)?;
        match GroupEntry::read(&entry, self.parts.directory.schema()) {
            Some(_) => Ok(address),
            None => Err(format!("{name} is no group")),
        }
    }

    /// The primary address of an entry of theirs, and the entry.
    fn named(&self, name: &str) -> Result<(String, Entry), String> {
        let directory = &self.parts.directory;
        let entry = match directory.named(name) {
            Lookup::Found(entry) => entry,
            Lookup::NotFound => return Err(self.not_theirs(name)),
            Lookup::Unavailable(why) => return Err(why),
        };
        let schema = directory.schema();
        let primary = UserEntry::read(&entry, schema)
            .and_then(|user| user.address)
            .or_else(|| GroupEntry::read(&entry, schema).and_then(|group| group.address));
        let Some(primary) = primary else { return Err(self.not_theirs(name)) };
        if !self.is_theirs(&primary.domain)? || !self.stands_for(&primary, &entry) {
            return Err(self.not_theirs(name));
        }
        Ok((primary.to_string(), entry))
    }

    fn is_theirs(&self, domain: &Domain) -> Result<bool, String> {
        match self.parts.directory.domain(domain) {
            Lookup::Found(known) => Ok(self.delegate.has(&known.domain)),
            Lookup::NotFound => Ok(false),
            Lookup::Unavailable(why) => Err(why),
        }
    }

    /// Whether an address leads to this entry and no other one, however it is looked up.
    fn stands_for(&self, primary: &Address, entry: &Entry) -> bool {
        let directory = &self.parts.directory;
        let text = primary.to_string();
        let is_it = |found: Lookup<Entry>| matches!(found, Lookup::Found(found) if found.dn == entry.dn);
        let by_login = match directory.user_by_login(&text) {
            Lookup::Found(user) => user.dn == entry.dn,
            Lookup::NotFound => true,
            Lookup::Unavailable(_) => false,
        };
        by_login && is_it(directory.by_address(primary)) && is_it(directory.named(&text))
    }
}

/// Whether a delegate may set this of a profile.
fn of_profile(value: &ProfileValue) -> Result<(), String> {
    let field = PROFILE.iter().find(|field| field.name().eq_ignore_ascii_case(&value.attribute));
    let Some(field) = field else {
        return Err(format!("{} is the operator's to set", value.attribute));
    };
    if *field != Field::MailDeliveryOption {
        return Ok(());
    }
    let is_theirs = |text: &&String| {
        use DeliveryOption::{AutoReply, Forward, Mailbox};
        matches!(DeliveryOption::parse(text), AutoReply | Forward | Mailbox)
    };
    match value.values.iter().find(|text| !is_theirs(text)) {
        Some(other) => Err(format!("the delivery option {other} is the operator's to give")),
        None => Ok(()),
    }
}
