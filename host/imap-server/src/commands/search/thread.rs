//! The threads of THREAD (RFC 5256 §3).

use std::collections::HashMap;

use imap_wire::ThreadAlgorithm;
use message::{Fields, collation_key};
use store::StoreError;

use super::gathered::Gathered;
use super::judge::{Found, read_headers};
use super::sort::{base_subject, sent_date};
use crate::commands::Context;
use crate::selected::Selected;
use crate::view::Member;

/// Most references of one message that are followed: the last ones, which stand closest to it.
const REFERENCES_MAX: usize = 100;

/// Steps up a thread in search of a loop; where that ends earlier, no link is made.
const DEPTH_SEARCHED_MAX: usize = 10_000;
/// All such steps of one command: messages can be made so that each of their references climbs
/// as far as may be.
const CLIMBED_MAX: usize = 10_000_000;

/// A message, or a dummy for one that is not there.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) member: Option<Member>,
    pub(super) children: Vec<usize>,
    pub(super) parent: Option<usize>,
    /// Something was put below it, once.
    pub(super) is_parent: bool,
    /// When it was sent, and where it stands in the mailbox.
    pub(super) sent: (u64, u32),
    /// Its base subject as it is compared.
    pub(super) subject: String,
    pub(super) is_reply: bool,
}

/// Trees of messages.
#[derive(Debug, Default)]
pub(super) struct Threads {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<usize>,
    /// Steps up that were made in search of loops.
    pub(super) climbed: usize,
}

/// A message, with what threads are made from.
struct Threaded {
    node: Node,
    id: Option<String>,
    references: Vec<String>,
}

impl Threaded {
    /// Octets that it holds in memory.
    fn octets(&self) -> usize {
        let texts = self.references.iter().chain(&self.id).map(|id| size_of::<String>() + id.len());
        size_of::<Self>() + self.node.subject.len() + texts.sum::<usize>()
    }
}

pub(super) async fn threads(
    context: &Context<'_>,
    selected: &Selected,
    found: &[Found],
    algorithm: ThreadAlgorithm,
) -> Result<Threads, StoreError> {
    let (mut messages, mut gathered) = (Vec::new(), Gathered::new(context.shared));
    read_headers(context, selected, found, (true, &mut gathered), |found, info, header| {
        let subject = base_subject(header);
        let node = Node {
            member: Some(found.member),
            sent: (sent_date(info, header), found.member.sequence),
            subject: collation_key(&subject.text),
            is_reply: subject.is_reply,
            ..Node::default()
        };
        let (id, references) = match algorithm {
            ThreadAlgorithm::OrderedSubject => (None, Vec::new()),
            ThreadAlgorithm::References => (first_id(header, "Message-ID"), references(header)),
        };
        let threaded = Threaded { node, id, references };
        let octets = threaded.octets();
        messages.push(threaded);
        octets
    })
    .await?;
    Ok(match algorithm {
        ThreadAlgorithm::OrderedSubject => by_subject(messages),
        ThreadAlgorithm::References => by_references(messages),
    })
}

/// ORDEREDSUBJECT: messages of one subject, the first of them with the others as its children.
fn by_subject(messages: Vec<Threaded>) -> Threads {
    let mut threads =
        Threads { nodes: messages.into_iter().map(|message| message.node).collect(), ..Threads::default() };
    let mut order: Vec<usize> = (0..threads.nodes.len()).collect();
    order.sort_by_key(|node| threads.nodes[*node].sent);
    let mut first_of: HashMap<String, usize> = HashMap::new();
    for node in order {
        match first_of.entry(threads.nodes[node].subject.clone()) {
            std::collections::hash_map::Entry::Occupied(first) => {
                threads.nodes[*first.get()].children.push(node);
            }
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert(node);
                threads.roots.push(node);
            }
        }
    }
    threads
}

/// REFERENCES, in the steps of the standard.
fn by_references(messages: Vec<Threaded>) -> Threads {
    let mut threads = linked(messages);
    threads.prune();
    threads.sort_roots();
    threads.merge_subjects();
    threads.sort_all();
    threads
}

/// Step (1): links messages by their references; step (2): gathers what has no parent.
fn linked(messages: Vec<Threaded>) -> Threads {
    let mut nodes: Vec<Node> = Vec::with_capacity(messages.len());
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let mut all_references = Vec::with_capacity(messages.len());
    for (place, message) in messages.into_iter().enumerate() {
        if let Some(id) = message.id {
            // Of several with one identifier, it is the first one's.
            by_id.entry(id).or_insert(place);
        }
        nodes.push(message.node);
        all_references.push(message.references);
    }
    let mut threads = Threads { nodes, ..Threads::default() };
    for (place, references) in all_references.into_iter().enumerate() {
        let mut above: Option<usize> = None;
        for reference in references {
            let node = *by_id.entry(reference).or_insert_with(|| {
                threads.nodes.push(Node::default());
                threads.nodes.len() - 1
            });
            if let Some(parent) = above
                && threads.nodes[node].parent.is_none()
            {
                threads.link(parent, node);
            }
            above = Some(node);
        }
        threads.unlink(place);
        if let Some(parent) = above {
            threads.link(parent, place);
        }
    }
    threads.roots = (0..threads.nodes.len()).filter(|node| threads.nodes[*node].parent.is_none()).collect();
    for node in 0..threads.nodes.len() {
        if let Some(parent) = threads.nodes[node].parent {
            threads.nodes[parent].children.push(node);
        }
    }
    threads
}

impl Threads {
    /// Makes one the parent of the other, unless that would be a loop. Children are gathered later.
    fn link(&mut self, parent: usize, child: usize) {
        if parent == child {
            return;
        }
        // What has nothing below it is above nobody: a thread as deep as the mailbox is made in one pass.
        if self.nodes[child].is_parent {
            let (mut above, mut steps) = (self.nodes[parent].parent, 0);
            while let Some(node) = above {
                (steps, self.climbed) = (steps + 1, self.climbed + 1);
                if node == child || steps > DEPTH_SEARCHED_MAX || self.climbed > CLIMBED_MAX {
                    return;
                }
                above = self.nodes[node].parent;
            }
        }
        self.nodes[parent].is_parent = true;
        self.nodes[child].parent = Some(parent);
    }

    fn unlink(&mut self, node: usize) {
        self.nodes[node].parent = None;
    }

    /// Step (3): takes dummies out, but those at the top that hold several together. Each message is put once below what is
    /// to hold it: dummies that stand below each other would hand all below them on, one to the next.
    fn prune(&mut self) {
        let order = self.children_first();
        let mut holders: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for node in order.iter().rev() {
            let children = std::mem::take(&mut self.nodes[*node].children);
            let is_message = self.nodes[*node].member.is_some();
            let holder = if is_message { *node } else { holders[*node].unwrap_or(*node) };
            for child in children {
                holders[child] = Some(holder);
            }
        }
        for node in order {
            if let Some(holder) = holders[node]
                && self.nodes[node].member.is_some()
            {
                self.nodes[holder].children.push(node);
            }
        }
        let mut roots = std::mem::take(&mut self.roots);
        for root in &mut roots {
            if self.nodes[*root].member.is_none()
                && let [only] = self.nodes[*root].children[..]
            {
                *root = only;
            }
        }
        roots.retain(|root| self.nodes[*root].member.is_some() || !self.nodes[*root].children.is_empty());
        self.roots = roots;
    }

    /// All nodes below the roots, each after all that are below it.
    fn children_first(&self) -> Vec<usize> {
        let (mut order, mut rest) = (Vec::with_capacity(self.nodes.len()), self.roots.clone());
        while let Some(node) = rest.pop() {
            order.push(node);
            rest.extend(&self.nodes[node].children);
        }
        order.reverse();
        order
    }

    /// When a thread began: a dummy has the date of its first child.
    fn sent(&self, node: usize) -> (u64, u32) {
        let found = &self.nodes[node];
        if found.member.is_some() {
            return found.sent;
        }
        found.children.iter().map(|child| self.nodes[*child].sent).min().unwrap_or_default()
    }

    /// Step (4).
    fn sort_roots(&mut self) {
        let mut roots = std::mem::take(&mut self.roots);
        for root in &roots {
            if self.nodes[*root].member.is_none() {
                self.sort_children(*root);
            }
        }
        roots.sort_by_key(|root| self.sent(*root));
        self.roots = roots;
    }

    fn sort_children(&mut self, node: usize) {
        let mut children = std::mem::take(&mut self.nodes[node].children);
        children.sort_by_key(|child| self.sent(*child));
        self.nodes[node].children = children;
    }

    /// The node whose subject is a thread's: the root, or a dummy's first child.
    fn speaker(&self, root: usize) -> usize {
        let found = &self.nodes[root];
        if found.member.is_some() { root } else { found.children.first().copied().unwrap_or(root) }
    }

    /// Step (5): joins threads of one subject.
    fn merge_subjects(&mut self) {
        let mut table: HashMap<String, usize> = HashMap::new();
        for &root in &self.roots {
            let subject = &self.nodes[self.speaker(root)].subject;
            if subject.is_empty() {
                continue;
            }
            let replaces = table.get(subject).is_none_or(|known| {
                let is_dummy = |node: usize| self.nodes[node].member.is_none();
                !is_dummy(*known)
                    && (is_dummy(root) || (self.nodes[*known].is_reply && !self.nodes[root].is_reply))
            });
            if replaces {
                table.insert(subject.clone(), root);
            }
        }
        let roots = std::mem::take(&mut self.roots);
        // Where a new dummy took a thread's place among the roots.
        let mut stands_for: HashMap<usize, usize> = HashMap::new();
        let mut merged = vec![false; self.nodes.len()];
        for &root in &roots {
            let subject = self.nodes[self.speaker(root)].subject.clone();
            let Some(&known) = table.get(&subject) else { continue };
            if known == root {
                continue;
            }
            merged[root] = true;
            if let Some(dummy) = self.merge(root, known) {
                stands_for.insert(known, dummy);
                table.insert(subject, dummy);
            }
        }
        let rest = roots.into_iter().filter(|root| !merged[*root]);
        self.roots = rest.map(|root| stands_for.get(&root).copied().unwrap_or(root)).collect();
    }

    /// Step (5.C): a thread into another one; a dummy that holds both, where one had to be made.
    fn merge(&mut self, root: usize, known: usize) -> Option<usize> {
        let is_dummy = |node: &Node| node.member.is_none();
        if is_dummy(&self.nodes[known]) {
            if is_dummy(&self.nodes[root]) {
                let children = std::mem::take(&mut self.nodes[root].children);
                self.nodes[known].children.extend(children);
            } else {
                self.nodes[known].children.push(root);
            }
            return None;
        }
        if self.nodes[root].is_reply && !self.nodes[known].is_reply {
            self.nodes[known].children.push(root);
            return None;
        }
        self.nodes.push(Node { children: vec![known, root], ..Node::default() });
        Some(self.nodes.len() - 1)
    }

    /// Step (6).
    fn sort_all(&mut self) {
        for node in self.children_first() {
            self.sort_children(node);
        }
        self.sort_roots();
    }
}

/// The references of a message: of References, else the first of In-Reply-To.
fn references(header: &[u8]) -> Vec<String> {
    let mut references =
        Fields::of(header).first("References").map(|field| ids(&field.unfolded())).unwrap_or_default();
    if references.is_empty() {
        references.extend(first_id(header, "In-Reply-To"));
    }
    let first = references.len().saturating_sub(REFERENCES_MAX);
    references.split_off(first)
}

fn first_id(header: &[u8], name: &str) -> Option<String> {
    let field = Fields::of(header).first(name)?;
    ids(&field.unfolded()).into_iter().next()
}

/// The message identifiers in a text, their quoting undone: `"a"@b` is `a@b` (RFC 5256 §3).
fn ids(text: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.iter().position(|octet| *octet == b'<') {
        rest = &rest[start + 1..];
        let Some(end) = rest.iter().position(|octet| *octet == b'>') else { break };
        let id: Vec<u8> =
            rest[..end].iter().copied().filter(|octet| !b"\"\\ \t\r\n".contains(octet)).collect();
        if id.contains(&b'@') {
            ids.push(String::from_utf8_lossy(&id).into_owned());
        }
        rest = &rest[end + 1..];
    }
    ids
}

#[cfg(test)]
mod tests;
