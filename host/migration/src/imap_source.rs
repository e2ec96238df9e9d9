//! Messages of another IMAP server, which stays as it is: mailboxes are opened read only (EXAMINE, RFC 3501 §6.3.2).
//!
//! A mailbox's mark is its UIDVALIDITY and the highest UID that came; messages come in batches of rising UIDs. A mailbox
//! whose UIDVALIDITY has changed is left alone: which of its messages came already can no longer be told.

use std::collections::BTreeMap;
use std::time::Duration;

use imap_wire::decode_utf7;
use mail_types::Timestamp;
use storage::Content;
use store::{ImportMark, MailboxName};

use crate::calendar;
use crate::error::MigrationError;
use crate::filing::{Arrival, Filing, Imported, Key, Target, again, key, too_large};
use crate::imap_client::{ImapClient, ImapServer, Part, Refusal, Whole};
use crate::imap_response::{Fetched, Value};
use crate::import::Names;
use crate::tell::{Tell, Told};

/// Messages asked for at a time; those that are small are held in memory until all are there.
const FETCH_MAX: usize = 50;
/// Most messages of one mailbox: their UIDs are held in memory.
const UIDS_MAX: usize = 20_000_000;
/// Tries of a connection before the import gives up, where none of them brought anything.
const TRIES_MAX: u32 = 6;
/// Before the second try; each later wait is twice as long.
const WAIT_FIRST: Duration = Duration::from_secs(1);

/// A mailbox of the other server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// As the server calls it, octet for octet.
    raw: Vec<u8>,
    /// In UTF-8, levels divided by `/`.
    name: String,
    selectable: bool,
}

/// Imports all mailboxes of an account there.
pub(crate) async fn import(
    target: &Target,
    names: &Names,
    server: &ImapServer,
    tell: Tell<'_>,
) -> Result<Imported, MigrationError> {
    let mut session = Session { server, client: None, tries: 0 };
    let (found, subscribed) = loop {
        match session.mailboxes().await {
            Ok(found) => break found,
            Err(refusal) => session.again(refusal).await?,
        }
    };
    let mut report = Imported::default();
    let (mut taken, mut called) = (Vec::new(), Vec::new());
    for mailbox in found.iter().filter(|mailbox| mailbox.selectable) {
        match names.of(&mailbox.name) {
            Ok(name) => {
                taken.push(mailbox);
                called.push(name);
            }
            Err(why) => report.fault(why),
        }
    }
    let begins = target.beginning_anew(&called)?;
    let anew = taken.iter().zip(&called).zip(begins).filter(|(_, begins)| *begins);
    let keys: Vec<Key> = anew.map(|((mailbox, name), _)| mark_key(server, mailbox, name.as_str())).collect();
    target.forget(&keys).await?;
    for (mailbox, name) in taken.into_iter().zip(called) {
        let mut filing = target.open(&name).await?;
        filing.done.source.clone_from(&mailbox.name);
        filing.done.target = name.to_string();
        let mut work = Work { target, filing: &mut filing, mailbox, report: &mut report, tell };
        let outcome = session.fill(&mut work).await;
        report.mailboxes.push(filing.done);
        outcome?;
    }
    if !target.dry_run {
        for name in subscribed {
            match names.of(&name) {
                Ok(name) => subscribe(target, &name).await?,
                Err(why) => report.fault(format!("a subscription: {why}")),
            }
        }
    }
    if let Some(client) = session.client.take() {
        client.leave().await;
    }
    Ok(report)
}

/// By what the mark of a mailbox there is known.
fn mark_key(server: &ImapServer, mailbox: &Found, called: &str) -> Key {
    let raw = String::from_utf8_lossy(&mailbox.raw);
    key("imap", &[called, &server.host.to_ascii_lowercase(), &server.user, &raw])
}

async fn subscribe(target: &Target, name: &MailboxName) -> Result<(), MigrationError> {
    let done = target.store.subscribe(target.account, name).await;
    done.map_err(|e| MigrationError::store(name, e))
}

/// One mailbox that is being taken over.
struct Work<'w, 't> {
    target: &'t Target,
    filing: &'w mut Filing<'t>,
    mailbox: &'w Found,
    report: &'w mut Imported,
    tell: Tell<'w>,
}

/// Why a mailbox is not done.
enum Stop {
    Refused(Refusal),
    Failed(MigrationError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<MigrationError> for Stop {
    fn from(error: MigrationError) -> Self {
        Self::Failed(error)
    }
}

/// The connection, made anew where it is lost.
struct Session<'s> {
    server: &'s ImapServer,
    client: Option<ImapClient>,
    /// Tries since anything came.
    tries: u32,
}

impl Session<'_> {
    async fn client(&mut self) -> Result<&mut ImapClient, Refusal> {
        if self.client.is_none() {
            self.client = Some(ImapClient::enter(self.server).await?);
        }
        self.client.as_mut().ok_or_else(|| Refusal::Gone("is not there".to_owned()))
    }

    /// Waits before another try, where another one may do.
    async fn again(&mut self, refusal: Refusal) -> Result<(), MigrationError> {
        let server = self.server.name();
        self.client = None;
        match refusal {
            Refusal::Gone(why) => {
                self.tries += 1;
                if self.tries >= TRIES_MAX {
                    let why = format!("{why} ({TRIES_MAX} tries brought nothing)");
                    return Err(MigrationError::Server { server, why });
                }
                tokio::time::sleep(WAIT_FIRST * 2_u32.pow(self.tries - 1)).await;
                Ok(())
            }
            Refusal::No(why) | Refusal::Never(why) => Err(MigrationError::Server { server, why }),
            Refusal::Storage(error) => Err(MigrationError::store("a message", error)),
        }
    }

    /// The mailboxes of the account, the INBOX first; and the names that it subscribes to.
    async fn mailboxes(&mut self) -> Result<(Vec<Found>, Vec<String>), Refusal> {
        let client = self.client().await?;
        let mut spaces = Namespaces::default();
        if client.can("NAMESPACE") {
            let mut take = |whole: Whole| {
                if let Some(values) = whole.response.data("NAMESPACE") {
                    spaces = Namespaces::of(values);
                }
            };
            client.command(&[Part::Word("NAMESPACE")], &mut || None, &mut take).await?;
        }
        let mut lists = Vec::new();
        for word in ["LIST", "LSUB"] {
            let mut found: Vec<Found> = Vec::new();
            let mut take = |whole: Whole| {
                let listed = whole.response.data(word).and_then(|values| spaces.found(values));
                if let Some(listed) = listed.filter(|_| found.len() < store::MAILBOXES_MAX) {
                    found.push(listed);
                }
            };
            client.command(&[Part::Word(word), Part::Word(" \"\" \"*\"")], &mut || None, &mut take).await?;
            lists.push(found);
        }
        let subscribed = lists.pop().unwrap_or_default().into_iter().map(|mailbox| mailbox.name).collect();
        let mut found = lists.pop().unwrap_or_default();
        found.sort_by(|a, b| (a.name != store::INBOX, &a.name).cmp(&(b.name != store::INBOX, &b.name)));
        found.dedup_by(|a, b| a.raw == b.raw);
        Ok((found, subscribed))
    }

    /// Takes over one mailbox, over as many connections as it needs.
    async fn fill(&mut self, work: &mut Work<'_, '_>) -> Result<(), MigrationError> {
        loop {
            let came = work.filing.done.messages;
            let outcome = self.fill_once(work).await;
            if work.filing.done.messages > came {
                self.tries = 0;
            }
            match outcome {
                Ok(()) => return Ok(()),
                // That mailbox alone.
                Err(Stop::Refused(Refusal::No(why))) => {
                    work.report.fault(format!("{}: the other server says: {why}", work.mailbox.name));
                    return Ok(());
                }
                Err(Stop::Refused(refusal)) => self.again(refusal).await?,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    async fn fill_once(&mut self, work: &mut Work<'_, '_>) -> Result<(), Stop> {
        let key = mark_key(self.server, work.mailbox, &work.filing.done.target);
        let before = work.filing.mark(&key)?;
        // What an attempt before left behind is behind that mark, and comes again.
        work.filing.forget_waiting();
        let client = self.client().await?;
        let mut validity = 0;
        let mut take = |whole: Whole| {
            validity = whole.response.code_number("UIDVALIDITY").unwrap_or(validity);
        };
        // Names were listed before, in modified UTF-7; so marks say the same of them in every import.
        let raw = String::from_utf8_lossy(&work.mailbox.raw);
        let utf8 = if client.enable_utf8().await? { decode_utf7(&raw).ok() } else { None };
        let name = utf8.as_ref().map_or(&work.mailbox.raw[..], |name| name.as_bytes());
        let parts = [Part::Word("EXAMINE "), Part::Text(name)];
        client.command(&parts, &mut || None, &mut take).await?;
        let (known, last) = before.as_deref().map_or((validity, 0), numbers);
        if known != validity {
            work.report.fault(format!(
                "{}: its UIDVALIDITY there is {validity} now and was {known}, so that what came already cannot be told \
                 from what did not; {}",
                work.mailbox.name,
                again(&work.filing.done.target)
            ));
            return Ok(());
        }
        let uids = uids(client, last).await?;
        let total = uids.len() as u64;
        if work.target.dry_run {
            work.filing.done.messages = total;
            return Ok(());
        }
        for (chunk, at) in uids.chunks(FETCH_MAX).zip((0..).step_by(FETCH_MAX)) {
            if (work.tell)(at, total, &work.mailbox.name) == Told::Stop {
                return Err(MigrationError::Stopped.into());
            }
            let mark = |uid: u32| {
                let after = [validity.to_be_bytes(), uid.to_be_bytes()].concat();
                ImportMark { key, before: before.clone(), after }
            };
            take_over(client, work, chunk, &mark).await?;
        }
        Ok(())
    }
}

/// The UIDVALIDITY and UID of a mark.
fn numbers(mark: &[u8]) -> (u32, u32) {
    let number = |at: usize| {
        let octets = mark.get(at..at + 4).and_then(|octets| octets.try_into().ok());
        octets.map_or(0, u32::from_be_bytes)
    };
    (number(0), number(4))
}

/// The UIDs above one, rising.
async fn uids(client: &mut ImapClient, last: u32) -> Result<Vec<u32>, Stop> {
    let Some(first) = last.checked_add(1) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut take = |whole: Whole| {
        let uid = whole.response.fetched().and_then(|fetched| fetched.uid);
        // Of an empty range, `*` gives the last message all the same (RFC 3501 §6.4.8).
        found.extend(uid.filter(|uid| *uid > last && found.len() <= UIDS_MAX));
    };
    let command = format!("UID FETCH {first}:* (UID)");
    client.command(&[Part::Word(&command)], &mut || None, &mut take).await?;
    if found.len() > UIDS_MAX {
        let why = format!("a mailbox of the other server has more than {UIDS_MAX} messages");
        return Err(MigrationError::Refused(why).into());
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What a message came as.
type Came = (Fetched, Result<Content, storage::StorageError>);

/// Takes over some messages, and commits them with their mark.
async fn take_over(
    client: &mut ImapClient,
    work: &mut Work<'_, '_>,
    uids: &[u32],
    mark: &(dyn Fn(u32) -> ImportMark + Sync),
) -> Result<(), Stop> {
    let mut came = BTreeMap::new();
    let mut refused = BTreeMap::new();
    if let Err(refusal) = fetch(client, work.target, uids, &mut came).await {
        let Refusal::No(_) = refusal else { return Err(refusal.into()) };
        // One that the server cannot read must not hold up the others.
        for uid in uids.iter().filter(|uid| !came.contains_key(*uid)).copied().collect::<Vec<_>>() {
            match fetch(client, work.target, &[uid], &mut came).await {
                Err(Refusal::No(why)) => drop(refused.insert(uid, why)),
                other => other?,
            }
        }
    }
    // Before anything waits: whoever is told no, or loses the connection, has nothing half done.
    for uid in uids.iter().filter(|uid| !came.contains_key(*uid)) {
        if refused.contains_key(uid) {
            continue;
        }
        match is_there(client, *uid).await {
            Ok(true) => drop(refused.insert(*uid, "it gives no content".to_owned())),
            // It was expunged since it was listed.
            Ok(false) => {}
            Err(Refusal::No(why)) => drop(refused.insert(*uid, why)),
            Err(other) => return Err(other.into()),
        }
    }
    for uid in uids {
        let place = format!("{}: UID {uid} of the other server", work.mailbox.name);
        match came.remove(uid) {
            Some((fetched, Ok(content))) => {
                let arrival = Arrival {
                    content,
                    flags: fetched.flags,
                    keywords: fetched.keywords,
                    date: fetched.date.as_deref().and_then(internal_date),
                };
                work.filing.add(arrival, mark(*uid), work.report).await?;
            }
            Some((_, Err(error))) => {
                let why = too_large(error, &place, &again(&work.filing.done.target))?;
                work.report.fault(why);
                work.filing.move_mark(mark(*uid));
            }
            None => {
                if let Some(why) = refused.remove(uid) {
                    work.report.fault(format!("{place} was left out: {why}"));
                }
                work.filing.move_mark(mark(*uid));
            }
        }
    }
    Ok(work.filing.commit().await?)
}

async fn fetch(
    client: &mut ImapClient,
    target: &Target,
    uids: &[u32],
    came: &mut BTreeMap<u32, Came>,
) -> Result<(), Refusal> {
    let set: Vec<String> = uids.iter().map(u32::to_string).collect();
    let command = format!("UID FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])", set.join(","));
    let mut take = |whole: Whole| {
        let Some(mut fetched) = whole.response.fetched() else { return };
        // Without a body it is news of flags, which nobody asked for.
        let (Some(uid), Some(body)) = (fetched.uid, fetched.body.take()) else { return };
        let content = whole.message.unwrap_or_else(|| Ok(Content::from(body)));
        if uids.contains(&uid) {
            came.insert(uid, (fetched, content));
        }
    };
    client.command(&[Part::Word(&command)], &mut || Some(target.content()), &mut take).await
}

async fn is_there(client: &mut ImapClient, uid: u32) -> Result<bool, Refusal> {
    let mut there = false;
    let mut take = |whole: Whole| {
        there |= whole.response.fetched().is_some_and(|fetched| fetched.uid == Some(uid));
    };
    client.command(&[Part::Word(&format!("UID FETCH {uid} (UID)"))], &mut || None, &mut take).await?;
    Ok(there)
}

/// `17-Jul-1996 02:44:25 -0700` (RFC 3501 §9, date-time).
fn internal_date(text: &str) -> Option<Timestamp> {
    let (day, rest) = text.trim().split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (year, rest) = rest.split_once(' ')?;
    let (clock, zone) = rest.split_once(' ')?;
    calendar::parse(&format!("{month} {day} {clock} {year} {zone}"))
}

/// The prefixes of the account's own mailboxes, and of others' (RFC 2342 §5).
#[derive(Debug, Default, PartialEq, Eq)]
struct Namespaces {
    own: Vec<String>,
    others: Vec<String>,
}

impl Namespaces {
    fn of(values: &[Value]) -> Self {
        let prefixes = |value: Option<&Value>| match value {
            Some(Value::List(spaces)) => spaces
                .iter()
                .filter_map(|space| match space {
                    Value::List(parts) => parts.first().and_then(Value::text),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let mut others: Vec<String> = prefixes(values.get(1));
        others.extend(prefixes(values.get(2)));
        others.retain(|prefix| !prefix.is_empty());
        Self { own: prefixes(values.first()), others }
    }

    /// A mailbox of a LIST or LSUB response; `None` where it is somebody else's.
    fn found(&self, values: &[Value]) -> Option<Found> {
        let [Value::List(attributes), delimiter, name] = values else { return None };
        let has = |word: &str| {
            attributes.iter().filter_map(Value::text).any(|attribute| attribute.eq_ignore_ascii_case(word))
        };
        let raw = name.octets()?.to_vec();
        let text = String::from_utf8_lossy(&raw).into_owned();
        if self.others.iter().any(|prefix| text.starts_with(prefix)) {
            return None;
        }
        let prefix = self.own.iter().find(|prefix| !prefix.is_empty() && text.starts_with(prefix.as_str()));
        let bare = prefix.map_or(text.as_str(), |prefix| &text[prefix.len()..]);
        let delimiter = delimiter.text().filter(|delimiter| !delimiter.is_empty());
        let levels = match &delimiter {
            Some(delimiter) => bare.split(delimiter.as_str()).collect(),
            None => vec![bare],
        };
        let levels: Vec<String> = levels
            .into_iter()
            .map(|level| {
                let level = decode_utf7(level).unwrap_or_else(|_| level.to_owned());
                // A slash divides levels here; there it may be part of one.
                level.replace('/', "\u{2215}")
            })
            .collect();
        let mut name = levels.join("/");
        if name.eq_ignore_ascii_case(store::INBOX) {
            store::INBOX.clone_into(&mut name);
        }
        if name.is_empty() {
            return None;
        }
        Some(Found { raw, name, selectable: !has("\\Noselect") && !has("\\NonExistent") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap_response::Response;

    fn listed(spaces: &Namespaces, line: &str) -> Option<(String, bool)> {
        let response = Response::parse(line.as_bytes()).unwrap();
        spaces.found(response.data("LIST").unwrap()).map(|found| (found.name, found.selectable))
    }

    #[test]
    fn names_lose_their_prefix_and_get_our_levels() {
        let line = b"* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\")(\"shared.\" \".\"))";
        let response = Response::parse(line).unwrap();
        let spaces = Namespaces::of(response.data("NAMESPACE").unwrap());
        let some = |name: &str, selectable| Some((name.to_owned(), selectable));
        for (line, expected) in [
            ("* LIST () \".\" inbox", some("INBOX", true)),
            ("* LIST (\\Noselect) \".\" INBOX.Archive", some("Archive", false)),
            ("* LIST () \".\" \"INBOX.Archive.a/b\"", some("Archive/a\u{2215}b", true)),
            ("* LIST () \".\" \"INBOX.Gr&APYA3w-e\"", some("Größe", true)),
            ("* LIST () \".\" user.bob", None),
            ("* LIST () NIL flat.name", some("flat.name", true)),
        ] {
            assert_eq!(listed(&spaces, line), expected, "{line}");
        }
    }

    #[test]
    fn dates_are_read() {
        for (text, seconds) in
            [("17-Jul-1996 02:44:25 -0700", 837_596_665), (" 1-Jan-1970 00:00:00 +0000", 0)]
        {
            assert_eq!(internal_date(text), Some(Timestamp(seconds * 1000)), "{text}");
        }
        assert_eq!(internal_date("yesterday"), None);
    }
}
