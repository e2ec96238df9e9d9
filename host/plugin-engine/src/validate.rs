//! Answers, held against the contract and the tenant's rights. What does not hold is no answer: the call failed.

use hooks::{
    Action, AliasRow, EntryRows, Ownership, ReverseVerdict, RewriteVerdict, RouteRow, SenderVerdict, World,
};
use mail_types::{AccountName, Address, ChannelName, Domain, EnhancedStatus, LocalPart, Lookup};
use mail_types::{MAILBOX_DEPTH_MAX, Persistence, Reply};
use postcard::ser_flavors::Size;
use postcard::serialize_with_flavor;

use crate::bindings::exports::wasmta::policy::{
    authorize_sender, disposition, reverse, rewrite, route_table,
};
use crate::bindings::wasmta::policy::types;
use crate::settings::Settings;

/// Most actions of one answer, and forwards among them.
pub const ACTIONS_MAX: usize = 32;
/// Most forwards of one answer.
pub const FORWARDS_MAX: usize = 16;
/// Most labels of one copy.
const LABELS_MAX: usize = 16;
/// Longest reply text, in octets, as the contract says.
const REPLY_TEXT_MAX: usize = 400;
/// Longest reason, name, mailbox and label, in octets.
const WORD_MAX: usize = 255;
/// Longest text of an automatic answer, in octets.
const ANSWER_TEXT_MAX: usize = 64 << 10;
/// Longest header field value, in octets (RFC 5322 §2.1.1 bounds a line).
const FIELD_MAX: usize = 900;
/// Most rows of one entry, and values of one row.
const ROWS_MAX: usize = 1000;
/// Most octets of an entry's rows together: they are kept for many entries at a time, and in the tables.
const ROWS_OCTETS_MAX: usize = 128 << 10;
/// Fields that a plugin may not add: there is at most one of each (RFC 5322 §3.6), or they are the host's.
const FIELDS_KEPT: [&str; 20] = [
    "date",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
    "received",
    "return-path",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "dkim-signature",
    "authentication-results",
    "delivered-to",
];
/// Names below which mailboxes of others are shown (RFC 2342).
const OTHERS: [&str; 2] = ["user", "shared"];
const FLAGS: [&str; 5] = ["\\seen", "\\flagged", "\\answered", "\\draft", "\\deleted"];

/// Why an answer does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// It breaks the contract.
    Answer(String),
    /// What it has to be held against cannot be asked now.
    Unavailable(String),
}

impl Invalid {
    /// For this call alone, and no fault of the plugin: it says what somebody has chosen, or what a stranger wrote.
    fn in_passing(self) -> Self {
        match self {
            Self::Answer(why) | Self::Unavailable(why) => Self::Unavailable(why),
        }
    }

    fn new(what: impl Into<String>) -> Self {
        Self::Answer(what.into())
    }
}

type Checked<T> = Result<T, Invalid>;

/// Whose answers are judged, and by what.
pub(crate) struct Judge<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) tenant: Option<&'a Domain>,
    pub(crate) world: &'a dyn World,
}

impl Judge<'_> {
    /// A plugin that acts for single tenants may only lead to what is theirs, or to hosts elsewhere; never to another
    /// tenant. The server's own plugins may lead anywhere.
    fn leads(&self, address: &Address) -> Checked<()> {
        let Some(tenant) = self.bound_tenant() else { return Ok(()) };
        match self.world.ownership(tenant, &address.domain) {
            Lookup::Found(Ownership::Own | Ownership::Foreign) | Lookup::NotFound => Ok(()),
            Lookup::Found(Ownership::Other) => {
                Err(Invalid::new(format!("{address} is of another tenant than {tenant}")))
            }
            Lookup::Unavailable(why) => Err(Invalid::Unavailable(why)),
        }
    }

    /// An address that only its owner may put on: of the tenant itself.
    fn owns(&self, domain: &Domain) -> Checked<()> {
        let Some(tenant) = self.bound_tenant() else { return Ok(()) };
        match self.world.ownership(tenant, domain) {
            Lookup::Found(Ownership::Own) => Ok(()),
            Lookup::Unavailable(why) => Err(Invalid::Unavailable(why)),
            _ => Err(Invalid::new(format!("{domain} does not belong to {tenant}"))),
        }
    }

    fn bound_tenant(&self) -> Option<&Domain> {
        self.tenant.filter(|_| !self.settings.tenants.is_empty())
    }

    /// `asked` is the address that it is about: local part and domain.
    pub(crate) fn rewrite(&self, verdict: rewrite::Verdict, asked: (&str, &str)) -> Checked<RewriteVerdict> {
        use rewrite::Verdict;
        let lead = |given: types::Address| {
            let address = address(given)?;
            self.leads(&address).map(|()| address)
        };
        Ok(match verdict {
            Verdict::NoMatch => RewriteVerdict::NoMatch,
            Verdict::Again(given) if (given.local.as_str(), given.domain.as_str()) == asked => {
                return Err(Invalid::new("it answers `again` with the address that it was asked about"));
            }
            Verdict::Again(given) => RewriteVerdict::Again(lead(given)?),
            Verdict::Settled(given) => RewriteVerdict::Settled(lead(given)?),
            Verdict::Route(routed) => {
                let channel = ChannelName::new(&routed.channel);
                if !self.settings.channels.contains(&channel) {
                    return Err(Invalid::new(format!(
                        "it routes to channel {:?}, which plugins.{}.channels does not name",
                        routed.channel, self.settings.name
                    )));
                }
                if !self.world.has_channel(&channel) {
                    return Err(Invalid::new(format!(
                        "it routes to channel {:?}, which is not there",
                        routed.channel
                    )));
                }
                let host = match routed.host.as_str() {
                    "" => None,
                    host => Some(domain(host)?),
                };
                RewriteVerdict::Route { address: lead(routed.address)?, channel, host }
            }
            Verdict::Refuse(given) => RewriteVerdict::Refuse(reply(given)?),
            Verdict::Other(extra) => return Err(other(&extra)),
        })
    }

    pub(crate) fn reverse(&self, verdict: reverse::Verdict) -> Checked<ReverseVerdict> {
        match verdict {
            reverse::Verdict::Unchanged => Ok(ReverseVerdict::Unchanged),
            reverse::Verdict::Changed(given) => {
                let address = address(given)?;
                self.owns(&address.domain)?;
                Ok(ReverseVerdict::Changed(address))
            }
            reverse::Verdict::Other(extra) => Err(other(&extra)),
        }
    }

    pub(crate) fn authorize(
        &self,
        verdict: authorize_sender::Verdict,
        asked: &types::Address,
    ) -> Checked<SenderVerdict> {
        use authorize_sender::Verdict;
        match verdict {
            Verdict::NoOpinion => Ok(SenderVerdict::NoOpinion),
            Verdict::Allow => {
                // A tenant cannot hand out what is not its own.
                self.owns(&domain(&asked.domain)?)?;
                Ok(SenderVerdict::Allow)
            }
            Verdict::Deny(given) => reply(given).map(SenderVerdict::Deny),
            Verdict::Other(extra) => Err(other(&extra)),
        }
    }

    pub(crate) fn dispose(&self, actions: Vec<disposition::Action>) -> Checked<Vec<Action>> {
        if actions.len() > ACTIONS_MAX {
            return Err(Invalid::new(format!("it wants {} actions, more than {ACTIONS_MAX}", actions.len())));
        }
        let actions: Vec<Action> =
            actions.into_iter().map(|action| self.action(action)).collect::<Result<_, _>>()?;
        let forwards = actions.iter().filter(|action| matches!(action, Action::Forward(_))).count();
        if forwards > FORWARDS_MAX {
            return Err(Invalid::new(format!("it forwards {forwards} times, more than {FORWARDS_MAX}")));
        }
        let alone = actions.iter().any(|action| matches!(action, Action::Discard(_) | Action::Reject(_)));
        if alone && actions.len() > 1 {
            return Err(Invalid::new("discard and reject stand alone"));
        }
        Ok(actions)
    }

    /// Whether what the actions name is there for the account whose mail it is. Names are often the owner's choice, in the
    /// profile: so one that is not there fails this call, and is no fault by which the plugin would rest for others.
    pub(crate) fn targets(&self, actions: Vec<Action>, account: &AccountName) -> Checked<Vec<Action>> {
        for action in &actions {
            let (channel, name) = match action {
                Action::Program(name) => (ChannelName::PROGRAM, name),
                Action::File(name) => (ChannelName::FILE, name),
                Action::Shared(name) => (ChannelName::SHARED, name),
                _ => continue,
            };
            self.world.target(channel, name, account).map_err(Invalid::Unavailable)?;
        }
        Ok(actions)
    }

    fn action(&self, action: disposition::Action) -> Checked<Action> {
        use disposition::Action as Given;
        Ok(match action {
            Given::Keep(filing) => {
                if filing.labels.len() > LABELS_MAX {
                    return Err(Invalid::new(format!("a copy has at most {LABELS_MAX} labels")));
                }
                let labels = filing.labels.into_iter().map(label).collect::<Result<_, _>>()?;
                let mailbox = own_mailbox(filing.mailbox).map_err(Invalid::in_passing)?;
                Action::Keep { mailbox, labels }
            }
            Given::Forward(given) => {
                let address = address(given)?;
                self.leads(&address)?;
                Action::Forward(address)
            }
            Given::AutoReply(answer) => {
                if answer.text.len() > ANSWER_TEXT_MAX || answer.text.contains('\0') {
                    return Err(Invalid::new(format!(
                        "an answer has at most {ANSWER_TEXT_MAX} octets, and no NUL"
                    )));
                }
                let subject = line(answer.subject, FIELD_MAX, "a subject")?;
                Action::AutoReply { subject, text: answer.text, once_in_hours: answer.once_in_hours }
            }
            Given::Program(name) => Action::Program(registered(name).map_err(Invalid::in_passing)?),
            Given::File(name) => Action::File(registered(name).map_err(Invalid::in_passing)?),
            Given::Shared(name) => Action::Shared(mailbox(name).map_err(Invalid::in_passing)?),
            Given::Hold(reason) => Action::Hold(line(reason, WORD_MAX, "a reason")?),
            Given::Discard(reason) => Action::Discard(line(reason, WORD_MAX, "a reason")?),
            Given::Reject(given) => Action::Reject(reply(given)?),
            Given::AddHeader(given) => field(given)?,
            Given::Other(extra) => return Err(other(&extra)),
        })
    }

    /// Rows may only name what belongs to the domain that was asked about.
    pub(crate) fn rows(&self, rows: route_table::Rows, asked: &str) -> Checked<EntryRows> {
        if rows.aliases.len() + rows.routes.len() > ROWS_MAX {
            return Err(Invalid::new(format!("an entry has at most {ROWS_MAX} rows")));
        }
        if serialize_with_flavor(&rows, Size::default()).unwrap_or(usize::MAX) > ROWS_OCTETS_MAX {
            let max = ROWS_OCTETS_MAX >> 10;
            return Err(Invalid::new(format!("the rows of an entry have at most {max} KiB together")));
        }
        let asked = domain(asked)?;
        let aliases =
            rows.aliases.into_iter().map(|row| self.alias_row(row, &asked)).collect::<Result<_, _>>()?;
        let routes =
            rows.routes.into_iter().map(|row| self.route_row(row, &asked)).collect::<Result<_, _>>()?;
        Ok(EntryRows { aliases, routes })
    }

    /// Whether a domain is the one that was asked about, or another name of it.
    fn belongs(&self, name: &Domain, asked: &Domain) -> Checked<()> {
        if name == asked {
            return Ok(());
        }
        match self.world.ownership(asked, name) {
            Lookup::Found(Ownership::Own) => Ok(()),
            Lookup::Unavailable(why) => Err(Invalid::Unavailable(why)),
            _ => Err(Invalid::new(format!("a row names {name}, which is not {asked}"))),
        }
    }

    /// A plugin that acts for single tenants gives mailboxes to theirs alone, under names in their domains.
    fn has_mailbox(&self, primary: &Address, asked: &Domain) -> Checked<()> {
        if self.bound_tenant().is_none() {
            return Ok(());
        }
        for tenant in std::iter::once(asked).chain(&self.settings.tenants) {
            match self.world.ownership(tenant, &primary.domain) {
                Lookup::Found(Ownership::Own) => return Ok(()),
                Lookup::Found(_) | Lookup::NotFound => {}
                Lookup::Unavailable(why) => return Err(Invalid::Unavailable(why)),
            }
        }
        Err(Invalid::new(format!("the mailbox of {primary} would be in no domain of {asked}")))
    }

    fn alias_row(&self, row: route_table::AliasRow, asked: &Domain) -> Checked<AliasRow> {
        let of = match row.address.strip_prefix('@') {
            Some(whole) => domain(whole)?,
            None => parse(&row.address)?.domain,
        };
        self.belongs(&of, asked)?;
        one_of(&row.kind, &["user", "group"])?;
        one_of(&row.relation, &["primary", "alternate", "equivalent"])?;
        one_of(&row.status, &STATUSES)?;
        if row.options.len() + row.targets.len() > ROWS_MAX {
            return Err(Invalid::new(format!("a row has at most {ROWS_MAX} values")));
        }
        for target in &row.targets {
            self.leads(&parse(target)?)?;
        }
        if !row.primary.is_empty() {
            let primary = parse(&row.primary)?;
            let is_mailbox = |option: &String| ["mailbox", "native", "unix"].contains(&option.as_str());
            let has_mailbox = row.options.is_empty() || row.options.iter().any(is_mailbox);
            if row.kind == "user" && has_mailbox {
                self.has_mailbox(&primary, asked)?;
            } else {
                self.leads(&primary)?;
            }
        }
        let options = row.options.into_iter().map(registered).collect::<Result<_, _>>()?;
        let (address, primary, kind) = (row.address, row.primary, row.kind);
        let (relation, status, targets) = (row.relation, row.status, row.targets);
        Ok(AliasRow { address, primary, kind, relation, status, options, targets })
    }

    fn route_row(&self, row: route_table::RouteRow, asked: &Domain) -> Checked<RouteRow> {
        self.belongs(&domain(&row.domain)?, asked)?;
        one_of(&row.status, &STATUSES)?;
        if row.hosts.len() > ROWS_MAX {
            return Err(Invalid::new(format!("a row has at most {ROWS_MAX} values")));
        }
        for host in row.hosts.iter().chain(Some(&row.smart_host).filter(|host| !host.is_empty())) {
            domain(host)?;
        }
        Ok(RouteRow { domain: row.domain, status: row.status, hosts: row.hosts, smart_host: row.smart_host })
    }
}

const STATUSES: [&str; 6] = ["active", "inactive", "disabled", "deleted", "hold", "overquota"];

fn one_of(word: &str, words: &[&str]) -> Checked<()> {
    if words.contains(&word) {
        Ok(())
    } else {
        Err(Invalid::new(format!("{word:?} is not one of {}", words.join(", "))))
    }
}

fn other(extra: &types::Extra) -> Invalid {
    let code: String = extra.code.chars().take(WORD_MAX).filter(|c| !c.is_control()).collect();
    Invalid::new(format!("it answers other({code:?}), which this host does not know"))
}

fn domain(text: &str) -> Checked<Domain> {
    Domain::parse(text).map_err(|error| Invalid::new(format!("{:?} is no domain: {error}", shown(text))))
}

fn parse(text: &str) -> Checked<Address> {
    Address::parse(text).map_err(|error| Invalid::new(format!("{:?} is no address: {error}", shown(text))))
}

/// A text as far as a message wants it.
fn shown(text: &str) -> String {
    text.chars().take(WORD_MAX).collect()
}

pub(crate) fn address(given: types::Address) -> Checked<Address> {
    let (local, part) = (LocalPart::new(given.local.as_str()), domain(&given.domain)?);
    if given.local.is_empty() {
        return Err(Invalid::new("an address has a local part"));
    }
    let local = local
        .map_err(|error| Invalid::new(format!("{:?} is no local part: {error}", shown(&given.local))))?;
    Ok(Address::new(local, part))
}

/// What a server says that closes the connection (RFC 5321 §3.8): a client may leave then, with the recipients of others.
const CLOSING: u16 = 421;
/// What is said in its place: the connection is not a plugin's to close.
const REFUSED_NOW: u16 = 450;

/// A reply that cannot smuggle a second one, and whose status agrees with its code.
fn reply(given: types::Reply) -> Checked<Reply> {
    let persistence = match given.code {
        400..=499 => Persistence::Transient,
        500..=599 => Persistence::Permanent,
        code => return Err(Invalid::new(format!("{code} is no code of a refusal: 400 to 599"))),
    };
    let status = match given.enhanced.as_str() {
        "" => EnhancedStatus { persistence, subject: 7, detail: 1 },
        text => match EnhancedStatus::parse(text) {
            Some(status) if status.persistence == persistence => status,
            _ => return Err(Invalid::new(format!("{:?} is no status of a {}", shown(text), given.code))),
        },
    };
    let printable = given.text.bytes().all(|c| (b' '..=b'~').contains(&c));
    if !printable || given.text.len() > REPLY_TEXT_MAX {
        let what = "a reply's text is one line of printable ASCII";
        return Err(Invalid::new(format!(
            "{what}, at most {REPLY_TEXT_MAX} octets; it is {:?}",
            shown(&given.text)
        )));
    }
    let text = if given.text.is_empty() { "Refused by policy".to_owned() } else { given.text };
    let code = if given.code == CLOSING { REFUSED_NOW } else { given.code };
    Ok(Reply::new(code, status, text))
}

fn line(text: String, max: usize, what: &str) -> Checked<String> {
    if text.len() > max || text.chars().any(char::is_control) {
        return Err(Invalid::new(format!(
            "{what} is one line of at most {max} octets; it is {:?}",
            shown(&text)
        )));
    }
    Ok(text)
}

/// The name of something that the operator registered.
fn registered(name: String) -> Checked<String> {
    let good = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if good && name.len() <= WORD_MAX && !name.starts_with('.') {
        return Ok(name);
    }
    Err(Invalid::new(format!("{:?} is no registered name: letters, digits, - _ .", shown(&name))))
}

fn mailbox(name: String) -> Checked<String> {
    let name = line(name, WORD_MAX, "a mailbox")?;
    let bad =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['*', '%', '\\', '"']);
    if !name.is_empty() && name.split('/').any(bad) {
        return Err(Invalid::new(format!("{name:?} is no mailbox: names joined by \"/\"")));
    }
    Ok(name)
}

/// A mailbox of the recipient's own: what begins as those of others do, nobody can make for himself either.
fn own_mailbox(name: String) -> Checked<String> {
    let name = mailbox(name)?;
    if name.split('/').next().is_some_and(|first| OTHERS.contains(&first)) {
        return Err(Invalid::new(format!("{name:?} is where mailboxes of others are shown")));
    }
    let levels = name.split('/').count();
    if levels > MAILBOX_DEPTH_MAX {
        let name = shown(&name);
        return Err(Invalid::new(format!(
            "{name:?} is no mailbox: it has {levels} levels, and {MAILBOX_DEPTH_MAX} at most"
        )));
    }
    Ok(name)
}

/// A flag, or a keyword (RFC 9051 §9: an atom).
fn label(label: String) -> Checked<String> {
    if label.starts_with('\\') {
        let known = FLAGS.contains(&label.to_ascii_lowercase().as_str());
        return if known { Ok(label) } else { Err(Invalid::new(format!("{:?} is no flag", shown(&label)))) };
    }
    let atom = |c: u8| c.is_ascii_graphic() && !b"(){%*\"\\]".contains(&c);
    if label.is_empty() || label.len() > WORD_MAX || !label.bytes().all(atom) {
        return Err(Invalid::new(format!("{:?} is no keyword", shown(&label))));
    }
    Ok(label)
}

/// A header field that adds one line of its own and nothing else (RFC 5322 §2.2).
fn field(given: disposition::Field) -> Checked<Action> {
    let named = !given.name.is_empty() && given.name.len() <= 76;
    if !named || !given.name.bytes().all(|c| c.is_ascii_graphic() && c != b':') {
        return Err(Invalid::new(format!("{:?} is no name of a header field", shown(&given.name))));
    }
    let lower = given.name.to_ascii_lowercase();
    if FIELDS_KEPT.contains(&lower.as_str()) || lower.starts_with("resent-") || lower.starts_with("arc-") {
        return Err(Invalid::new(format!("the field {} is not a plugin's to add", given.name)));
    }
    let value = line(given.value, FIELD_MAX, "a header field's value")?;
    if !value.is_ascii() {
        return Err(Invalid::new(format!(
            "a header field's value is ASCII (RFC 2047 for the rest); it is {:?}",
            shown(&value)
        )));
    }
    Ok(Action::AddHeader { name: given.name, value })
}

#[cfg(test)]
mod tests;
