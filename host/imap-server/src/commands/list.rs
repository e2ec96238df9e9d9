//! LIST and LSUB (RFC 3501 §6.3.8, §6.3.9, RFC 5258, RFC 6154, RFC 8440).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use imap_wire::{ListCommand, ListReturn, ListSelection, Listed, MailboxName, Response};
use store::{Granted, MailboxInfo, Rights, SpecialUse, shared_name};

use super::{Context, acl, refusal, status};
use crate::answer::Answer;
use crate::io::{End, Io};
use crate::pattern::{DELIMITER, Pattern, parents};

/// Steps in which names are held against patterns, before others get their turn; what is listed meanwhile counts as so many.
const STEPS_A_TURN: usize = 1_000_000;
const STEPS_OF_A_LINE: usize = 1_000;

/// What is known of one name in the hierarchy.
#[derive(Debug, Default, Clone)]
pub(super) struct Node {
    /// There is a mailbox of the name, which holds messages.
    exists: bool,
    /// There is something of the name that this person may know of; else it is only above such.
    known: bool,
    /// What this person may do with it.
    rights: Rights,
    special_use: Option<SpecialUse>,
    subscribed: bool,
    has_children: bool,
    /// A name below is subscribed.
    has_subscribed_below: bool,
}

/// All names that somebody sees: mailboxes, those of others, subscriptions, and what is above them.
fn hierarchy(
    mailboxes: &[MailboxInfo],
    granted: &[Granted],
    subscriptions: &[String],
) -> BTreeMap<String, Node> {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for mailbox in mailboxes {
        let node = nodes.entry(mailbox.name.as_str().to_owned()).or_default();
        (node.exists, node.known, node.rights) = (mailbox.selectable, true, Rights::ALL);
        node.special_use = mailbox.special_use;
        for parent in parents(mailbox.name.as_str()) {
            nodes.entry(parent.to_owned()).or_default().has_children = true;
        }
    }
    for Granted { owner, info, rights } in granted {
        let name = shared_name(owner, &info.name);
        for parent in parents(&name) {
            nodes.entry(parent.to_owned()).or_default().has_children = true;
        }
        let node = nodes.entry(name).or_default();
        // One's own that is called so goes first.
        if !node.known {
            (node.exists, node.known, node.rights) = (info.selectable, true, *rights);
        }
    }
    for name in subscriptions {
        nodes.entry(name.clone()).or_default().subscribed = true;
        for parent in parents(name) {
            nodes.entry(parent.to_owned()).or_default().has_subscribed_below = true;
        }
    }
    nodes
}

/// What LIST is to tell.
struct Wish<'a> {
    /// Whether it is asked for by the extended syntax (RFC 5258 §3).
    is_extended: bool,
    subscribed_only: bool,
    recursive: bool,
    special_only: bool,
    tell_subscribed: bool,
    tell_rights: bool,
    status: Option<&'a [imap_wire::StatusItem]>,
}

impl<'a> Wish<'a> {
    fn of(command: &'a ListCommand) -> Self {
        let selects = |option| command.selection.contains(&option);
        let returns = command.returns.as_deref().unwrap_or_default();
        let status = returns.iter().find_map(|option| match option {
            ListReturn::Status(items) => Some(items.as_slice()),
            _ => None,
        });
        Self {
            is_extended: !command.selection.is_empty()
                || command.returns.is_some()
                || command.patterns.len() > 1,
            subscribed_only: selects(ListSelection::Subscribed),
            recursive: selects(ListSelection::RecursiveMatch),
            special_only: selects(ListSelection::SpecialUse),
            // RFC 5258 §3.1: SUBSCRIBED as selection implies it as return option.
            tell_subscribed: selects(ListSelection::Subscribed) || returns.contains(&ListReturn::Subscribed),
            tell_rights: returns.contains(&ListReturn::MyRights),
            status,
        }
    }

    /// Whether a name that matches the pattern is listed.
    fn takes(&self, node: &Node) -> bool {
        let chosen =
            (!self.subscribed_only || node.subscribed) && (!self.special_only || node.special_use.is_some());
        let above_chosen = self.recursive && self.subscribed_only && node.has_subscribed_below;
        // Without selection only what is there is listed, and what stands above it.
        let there = node.known || node.has_children || self.subscribed_only;
        there && (chosen || above_chosen)
    }
}

pub(crate) async fn list(context: &mut Context<'_>, command: &ListCommand) -> Result<Answer, End> {
    if command.selection.contains(&ListSelection::RecursiveMatch)
        && !command.selection.contains(&ListSelection::Subscribed)
    {
        // RFC 5258 §3.1: it modifies another option.
        return Ok(Answer::bad("RECURSIVEMATCH needs SUBSCRIBED"));
    }
    if command.patterns.iter().all(String::is_empty) && command.selection.is_empty() {
        // RFC 3501 §6.3.8: the empty name asks for the delimiter and the root of the reference.
        let root = Listed {
            attributes: vec!["\\Noselect"],
            delimiter: DELIMITER,
            name: String::new(),
            old_name: None,
        };
        context.io.say(&Response::List(root));
        return Ok(Answer::ok("LIST done"));
    }
    let nodes = match names(context) {
        Ok(nodes) => nodes,
        Err(answer) => return Ok(answer),
    };
    let wish = Wish::of(command);
    let patterns: Vec<Pattern> =
        command.patterns.iter().map(|pattern| Pattern::new(&command.reference, pattern)).collect();
    let names: Vec<&str> = nodes.keys().map(String::as_str).collect();
    let matching = matching(&names, &patterns).await;
    let matches = |name: &str| matching.contains(name);
    let mut steps = 0;
    for (name, node) in &nodes {
        if !matches(name) || !wish.takes(node) {
            continue;
        }
        give_way(&mut steps, STEPS_OF_A_LINE).await;
        if !(node.known || node.subscribed || wish.subscribed_only) && is_shown_below(&nodes, name, &matches)
        {
            continue;
        }
        // RFC 5258 §3.5: CHILDINFO alone is a reason only where what is below is not told itself.
        if wish.subscribed_only && !node.subscribed && !has_untold_below(&nodes, name, &matches) {
            continue;
        }
        write_node(context.io, name, node, &wish);
        if let Some(items) = wish.status.filter(|_| node.exists) {
            // RFC 5819 §2: a mailbox that is gone meanwhile has no STATUS.
            let _ = status::status(context, &MailboxName::new(name), items);
            // That may have gone through all messages.
            give_way(&mut steps, STEPS_A_TURN).await;
        }
        if wish.tell_rights && node.exists {
            context.io.say(&acl::my_rights(name, node.rights));
        }
        context.io.flush_if_full().await?;
    }
    Ok(Answer::ok("LIST done"))
}

/// The names that match a pattern.
async fn matching<'n>(names: &[&'n str], patterns: &[Pattern]) -> HashSet<&'n str> {
    let (mut matching, mut steps) = (HashSet::new(), 0);
    for name in names {
        if patterns.iter().any(|pattern| pattern.matches(name)) {
            matching.insert(*name);
        }
        let more = patterns.iter().map(|pattern| pattern.steps(name.len())).sum();
        give_way(&mut steps, more).await;
    }
    matching
}

/// Lets others have their turn after so many steps.
async fn give_way(steps: &mut usize, more: usize) {
    *steps += more;
    if *steps > STEPS_A_TURN {
        *steps = 0;
        tokio::task::yield_now().await;
    }
}

/// Whether a name below is listed. What this person may not know of, or what is no mailbox, is told
/// only where nothing else says that there is something below (RFC 4314 §4, RFC 5258 §3).
fn is_shown_below(nodes: &BTreeMap<String, Node>, name: &str, matches: &dyn Fn(&str) -> bool) -> bool {
    below(nodes, name).any(|(name, node)| node.known && matches(name))
}

/// Whether a subscribed name below is not listed.
fn has_untold_below(nodes: &BTreeMap<String, Node>, name: &str, matches: &dyn Fn(&str) -> bool) -> bool {
    below(nodes, name).any(|(name, node)| node.subscribed && !matches(name))
}

/// The names below a name.
fn below<'n>(nodes: &'n BTreeMap<String, Node>, name: &str) -> impl Iterator<Item = (&'n String, &'n Node)> {
    let (from, until) = (format!("{name}{DELIMITER}"), format!("{name}0")); // `0` follows `/`
    nodes.range(from..until)
}

pub(super) fn names(context: &Context<'_>) -> Result<BTreeMap<String, Node>, Answer> {
    let store = &context.shared.parts.store;
    let mailboxes = store.mailboxes(context.login.account).map_err(|error| refusal(&error))?;
    let subscriptions = store.subscriptions(context.login.account).map_err(|error| refusal(&error))?;
    let granted = store.granted().map_err(|error| refusal(&error))?;
    Ok(hierarchy(&mailboxes, &granted, &subscriptions))
}

fn write_node(io: &mut Io, name: &str, node: &Node, wish: &Wish<'_>) {
    let attributes = attributes(node, wish.tell_subscribed, wish.is_extended);
    let listed = Listed { attributes, delimiter: DELIMITER, name: name.to_owned(), old_name: None };
    io.say(&Response::List(listed));
    let out = io.out();
    if wish.recursive && node.has_subscribed_below {
        // RFC 5258 §6: childinfo-extended-item, after the name.
        out.truncate(out.len() - 2);
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
    }
}

fn attributes(node: &Node, tell_subscribed: bool, is_extended: bool) -> Vec<&'static str> {
    let mut attributes = Vec::new();
    if !node.exists {
        // A name that is no mailbox. One such word a response (RFC 5258 §6); clients that ask in the old way know only
        // the first one.
        attributes.push(if node.known || !is_extended { "\\Noselect" } else { "\\NonExistent" });
    }
    attributes.push(if node.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    if tell_subscribed && node.subscribed {
        attributes.push("\\Subscribed");
    }
    attributes.extend(node.special_use.map(attribute));
    attributes
}

/// Whether a name is a mailbox that this person may know of.
pub(super) fn is_known(nodes: &BTreeMap<String, Node>, name: &str) -> bool {
    nodes.get(name).is_some_and(|node| node.known)
}

/// Tells what a name is now (RFC 5465 §5.4), and what it was called.
pub(super) fn tell_name(
    io: &mut Io,
    nodes: &BTreeMap<String, Node>,
    name: &str,
    old_name: Option<&str>,
    more: &[&'static str],
) {
    let mut attributes = attributes(nodes.get(name).unwrap_or(&Node::default()), true, true);
    attributes.extend_from_slice(more);
    let (name, old_name) = (name.to_owned(), old_name.map(str::to_owned));
    io.say(&Response::List(Listed { attributes, delimiter: DELIMITER, name, old_name }));
}

/// Tells the one name that was selected (RFC 9051 §6.3.2).
pub(super) fn tell_selected(io: &mut Io, name: &MailboxName) {
    let listed = Listed {
        attributes: Vec::new(),
        delimiter: DELIMITER,
        name: name.as_str().to_owned(),
        old_name: None,
    };
    io.say(&Response::List(listed));
}

/// RFC 6154 §2.
const ATTRIBUTES: [(SpecialUse, &str); 7] = [
    (SpecialUse::Drafts, "\\Drafts"),
    (SpecialUse::Sent, "\\Sent"),
    (SpecialUse::Trash, "\\Trash"),
    (SpecialUse::Junk, "\\Junk"),
    (SpecialUse::Archive, "\\Archive"),
    (SpecialUse::All, "\\All"),
    (SpecialUse::Flagged, "\\Flagged"),
];

fn attribute(special_use: SpecialUse) -> &'static str {
    ATTRIBUTES.iter().find(|(known, _)| *known == special_use).map_or("", |(_, attribute)| attribute)
}

/// What an attribute says that a mailbox is for.
pub(super) fn special_use(attribute: &str) -> Option<SpecialUse> {
    ATTRIBUTES
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(attribute))
        .map(|(special_use, _)| *special_use)
}

/// RFC 3501 §6.3.9: subscribed names, also of mailboxes that are gone; with `%` a name above a
/// subscribed one that does not match is listed as `\Noselect`.
pub(crate) async fn lsub(
    context: &mut Context<'_>,
    reference: &MailboxName,
    pattern: &str,
) -> Result<Answer, End> {
    let store = &context.shared.parts.store;
    let subscriptions = match store.subscriptions(context.login.account) {
        Ok(subscriptions) => subscriptions,
        Err(error) => return Ok(refusal(&error)),
    };
    let patterns = [Pattern::new(reference, pattern)];
    let names: Vec<&str> =
        subscriptions.iter().flat_map(|name| parents(name).chain([name.as_str()])).collect();
    let matching = matching(&names, &patterns).await;
    for (name, attributes) in lsub_names(&subscriptions, &matching) {
        context.io.say(&Response::Lsub(Listed { attributes, delimiter: DELIMITER, name, old_name: None }));
        context.io.flush_if_full().await?;
    }
    Ok(Answer::ok("LSUB done"))
}

fn lsub_names(subscriptions: &[String], matching: &HashSet<&str>) -> Vec<(String, Vec<&'static str>)> {
    let matches = |name: &str| matching.contains(name);
    let subscribed: BTreeSet<&str> = subscriptions.iter().map(String::as_str).collect();
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for name in subscribed.iter().filter(|name| !matches(name)) {
        above.extend(parents(name).filter(|parent| matches(parent) && !subscribed.contains(parent)));
    }
    let matching = subscribed.iter().filter(|name| matches(name));
    let mut names: Vec<(String, Vec<&'static str>)> =
        matching.map(|name| ((*name).to_owned(), vec![])).collect();
    names.extend(above.into_iter().map(|name| (name.to_owned(), vec!["\\Noselect"])));
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lsub_shows_what_is_above_with_percent() {
        let subscriptions = ["INBOX", "foo/bar", "foo/baz/x"].map(str::to_owned);
        let all = ["INBOX", "foo", "foo/bar", "foo/baz", "foo/baz/x"];
        let names = async |pattern: &str| {
            let patterns = [Pattern::new(&MailboxName::new(""), pattern)];
            lsub_names(&subscriptions, &matching(&all, &patterns).await)
        };
        assert_eq!(names("%").await, [("INBOX".to_owned(), vec![]), ("foo".to_owned(), vec!["\\Noselect"])]);
        assert_eq!(names("*").await.len(), 3);
        assert_eq!(
            names("foo/%").await,
            [("foo/bar".to_owned(), vec![]), ("foo/baz".to_owned(), vec!["\\Noselect"])]
        );
    }
}
