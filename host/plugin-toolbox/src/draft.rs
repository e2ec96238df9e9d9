//! A question as an author writes it: in a table of cases, or on the command line.

use std::sync::Arc;

use hooks::{Attributes, Content, Role};
use mail_types::{Domain, LocalPart};
use plugin_engine::Question;
use plugin_engine::contract::{
    Address, Context, authorize_sender, disposition, reverse, rewrite, route_table,
};

use crate::letter::Letter;

/// Who sent a message where nobody says.
const STRANGER: &str = "bob@remote.example";

/// What may be said of a question, whatever its role; what is not said has a sensible value. Addresses need not be
/// ones that a server would ask about: a plugin is to bear others too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The address that is asked about.
    pub address: String,
    /// `envelope` or `header`; none: `envelope`.
    pub position: Option<String>,
    /// `to` or `from`; none: `to`.
    pub direction: Option<String>,
    /// From the rule.
    pub function: String,
    /// From the rule.
    pub argument: String,
    /// The channel by which the mail leaves.
    pub destination: String,
    /// Whether it is handed on.
    pub forwarded: bool,
    /// Who has logged in, or owns the mailbox; none: the address without its detail.
    pub account: Option<String>,
    /// The address that the client named; none: the address.
    pub original: Option<String>,
    /// The subaddress.
    pub detail: String,
    /// The envelope sender; none: a stranger, `bob@remote.example`. Empty or `<>`: the null sender.
    pub sender: Option<String>,
    /// Attributes of the account, the recipient or the entry.
    pub attributes: Attributes,
    /// The domain whose entries are built.
    pub domain: String,
    /// The entry's name.
    pub dn: String,
    /// For whom; none: the address's domain.
    pub tenant: Option<String>,
    /// By which channel the mail came; none: `smtp`.
    pub channel: Option<String>,
    /// As whom the client logged in.
    pub authenticated: Option<String>,
    /// The message, with CRLF.
    pub message: Vec<u8>,
}

/// A question with all that belongs to it.
#[derive(Clone)]
pub(crate) struct Drafted {
    pub(crate) question: Question,
    pub(crate) tenant: Option<Domain>,
    pub(crate) content: Option<Content>,
}

/// Whether a text is a tenant; an empty one is the server itself.
pub(crate) fn tenant(text: &str) -> Result<(), String> {
    if text.is_empty() || Domain::parse(text).is_ok() {
        return Ok(());
    }
    Err(format!("{text:?} is no domain; an empty one is the server itself"))
}

impl Draft {
    /// What no server would ask, whatever strangers bring: a slip of who typed it.
    ///
    /// # Errors
    /// What it is.
    pub(crate) fn check(&self, role: Role) -> Result<(), String> {
        let word = |option: &str, given: &Option<String>, words: [&str; 2]| match given {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(format!("--{option}: {text:?} is not one of {}", words.join(", ")))
            }
            _ => Ok(()),
        };
        word("position", &self.position, ["envelope", "header"])?;
        word("direction", &self.direction, ["to", "from"])?;
        tenant(self.tenant.as_deref().unwrap_or_default()).map_err(|why| format!("--tenant: {why}"))?;
        if role == Role::RouteTable {
            return Domain::parse(&self.domain).map(drop).map_err(|why| {
                format!("--domain: {:?} is no domain: {why}; give the one whose rows are built", self.domain)
            });
        }
        let domain = self.address.rsplit_once('@').map(|(_, domain)| domain);
        match domain.map(Domain::parse) {
            Some(Ok(_)) => Ok(()),
            _ => Err(format!("--address: {:?} is no address; give one with a domain", self.address)),
        }
    }

    /// The question to a role.
    pub(crate) fn question(&self, role: Role) -> Drafted {
        let address = address(&self.address);
        let tenant = match (&self.tenant, role) {
            (Some(tenant), _) => tenant.clone(),
            (None, Role::RouteTable) => self.domain.clone(),
            (None, _) => address.domain.clone(),
        };
        let tenant = Domain::parse(&tenant).ok();
        let content: Option<Content> =
            (role == Role::Disposition).then(|| Arc::new(Letter::new(self.message.clone())) as Content);
        let about = Context {
            tenant: tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            channel: self.channel.clone().unwrap_or_else(|| "smtp".to_owned()),
            authenticated: self.authenticated.clone().filter(|name| !name.is_empty()),
            id: "trial".to_owned(),
            attrs: Vec::new(),
        };
        let position = self.position.clone().unwrap_or_else(|| "envelope".to_owned());
        let question = match role {
            Role::Rewrite => Question::Rewrite(about, vec![self.rewrite(address, position)]),
            Role::Reverse => {
                let (destination, forwarded) = (self.destination.clone(), self.forwarded);
                let request =
                    reverse::Request { address, position, destination, forwarded, attrs: Vec::new() };
                Question::Reverse(about, vec![request])
            }
            Role::AuthorizeSender => {
                let account = self.account(&address);
                let attrs = self.attributes.clone();
                Question::AuthorizeSender(about, authorize_sender::Request { account, address, attrs })
            }
            Role::Disposition => Question::Disposition(about, vec![self.recipient(address)]),
            Role::RouteTable => {
                let entry = route_table::Entry { dn: self.dn.clone(), attrs: self.attributes.clone() };
                Question::RouteTable(self.domain.clone(), vec![entry])
            }
        };
        Drafted { question, tenant, content }
    }

    fn rewrite(&self, address: Address, position: String) -> rewrite::Request {
        rewrite::Request {
            address,
            position,
            direction: self.direction.clone().unwrap_or_else(|| "to".to_owned()),
            function: self.function.clone(),
            argument: self.argument.clone(),
            attrs: Vec::new(),
        }
    }

    fn recipient(&self, to: Address) -> disposition::Recipient {
        let sender = match self.sender.as_deref() {
            Some("" | "<>") => None,
            Some(sender) => Some(address(sender)),
            None => Some(address(STRANGER)),
        };
        disposition::Recipient {
            original: self.original.as_deref().map_or_else(|| to.clone(), address),
            detail: self.detail.clone(),
            account: self.account(&to),
            sender,
            profile: self.attributes.clone(),
            attrs: Vec::new(),
            address: to,
        }
    }

    fn account(&self, address: &Address) -> String {
        if let Some(account) = &self.account {
            return account.to_lowercase();
        }
        let ending = format!("+{}", self.detail);
        let local = address.local.strip_suffix(&ending).filter(|_| !self.detail.is_empty());
        format!("{}@{}", local.unwrap_or(&address.local), address.domain).to_lowercase()
    }
}

/// An address taken apart at its last `@`: the local part unquoted, the domain as the host would give it.
fn address(text: &str) -> Address {
    let (local, domain) = text.rsplit_once('@').unwrap_or((text, ""));
    let local = match local.starts_with('"') {
        true => LocalPart::parse(local).map_or_else(|_| local.to_owned(), |part| part.as_str().to_owned()),
        false => local.to_owned(),
    };
    let domain = Domain::parse(domain).map_or_else(|_| domain.to_lowercase(), |name| name.to_string());
    Address { local, domain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, local, domain) in [
            ("Anna@Example.ORG", "Anna", "example.org"),
            ("a@b@example.org", "a@b", "example.org"),
            ("\"a b\"@bücher.example", "a b", "xn--bcher-kva.example"),
            ("@example.org", "", "example.org"),
            ("x@[IPv6:2001:DB8::1]", "x", "[ipv6:2001:db8::1]"),
            ("", "", ""),
        ] {
            assert_eq!(address(text), Address { local: local.into(), domain: domain.into() }, "{text}");
        }
    }

    #[test]
    fn what_is_not_said_follows_from_the_rest() {
        let draft = Draft { address: "anna+x@example.org".into(), detail: "x".into(), ..Draft::default() };
        let drafted = draft.question(Role::Disposition);
        let Question::Disposition(about, to) = drafted.question else { panic!("another role") };
        assert_eq!((about.tenant.as_str(), about.channel.as_str()), ("example.org", "smtp"));
        assert_eq!(to[0].account, "anna@example.org");
        assert_eq!(to[0].original, to[0].address);
        assert_eq!(to[0].sender, Some(address("bob@remote.example")));
        let null = Draft { sender: Some("<>".into()), ..draft }.question(Role::Disposition);
        let Question::Disposition(_, to) = null.question else { panic!("another role") };
        assert_eq!(to[0].sender, None);
    }
}
