//! The threads of THREAD (RFC 5256 §3).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use imap_wire::{By, ThreadAlgorithm};
use message::{Fields, collation_key};
use store::StoreError;

use super::answer::thread_list;
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

/// Octets that a node takes beside itself: its place below another, and by its identifier.
const NODE_OCTETS_MORE: usize = 64;

/// What stands for an identifier or a subject, which may have a MiB: equal where they are. Who does not know the keys cannot
/// make two that are equal and should not be.
pub(super) type Digest = [u64; 2];

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
    /// Its base subject; `None` where it is empty.
    pub(super) subject: Option<Digest>,
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
    subject: String,
    id: Option<String>,
    references: VecDeque<String>,
}

/// The answer's list of threads: it is made at once, since the threads take more room.
pub(super) async fn threads(
    context: &Context<'_>,
    selected: &Selected,
    found: &[Found],
    (algorithm, by): (ThreadAlgorithm, By),
) -> Result<Vec<u8>, StoreError> {
    let (mut linking, mut gathered) = (Linking::default(), Gathered::new(context.shared));
    read_headers(context, selected, found, (true, &mut gathered), |found, info, header| {
        let subject = base_subject(header);
        let node = Node {
            member: Some(found.member),
            sent: (sent_date(info, header), found.member.sequence),
            is_reply: subject.is_reply,
            ..Node::default()
        };
        let (id, references) = match algorithm {
            ThreadAlgorithm::OrderedSubject => (None, VecDeque::new()),
            ThreadAlgorithm::References => (first_id(header, "Message-ID"), references(header)),
        };
        linking.add(Threaded { node, subject: collation_key(&subject.text), id, references })
    })
    .await?;
    let list = move || {
        let threads = match algorithm {
            ThreadAlgorithm::OrderedSubject => by_subject(linking),
            ThreadAlgorithm::References => by_references(linking),
        };
        thread_list(&threads, by)
    };
    gathered.told(list).await
}

/// Messages as they are read, linked by their references.
#[derive(Default)]
struct Linking {
    threads: Threads,
    by_id: HashMap<Digest, usize>,
    keys: [RandomState; 2],
}

impl Linking {
    fn digest(&self, text: &str) -> Digest {
        [self.keys[0].hash_one(text), self.keys[1].hash_one(text)]
    }

    /// Step (1): links a message by its references; how many octets that takes.
    fn add(&mut self, message: Threaded) -> usize {
        let before = self.threads.nodes.len();
        let subject = Some(&message.subject).filter(|subject| !subject.is_empty());
        let subject = subject.map(|subject| self.digest(subject));
        let place = self.place(message.id.as_deref());
        let Node { parent, is_parent, .. } = self.threads.nodes[place];
        self.threads.nodes[place] = Node { subject, parent, is_parent, ..message.node };
        let mut above: Option<usize> = None;
        for reference in &message.references {
            let node = self.node(reference);
            if let Some(parent) = above
                && self.threads.nodes[node].parent.is_none()
            {
                self.threads.link(parent, node);
            }
            above = Some(node);
        }
        self.threads.unlink(place);
        if let Some(parent) = above {
            self.threads.link(parent, place);
        }
        (self.threads.nodes.len() - before) * (size_of::<Node>() + NODE_OCTETS_MORE)
    }

    /// Where a message goes: where others refer to it. Of several with one identifier, it is the first one's.
    fn place(&mut self, id: Option<&str>) -> usize {
        match id.map(|id| self.node(id)) {
            Some(node) if self.threads.nodes[node].member.is_none() => node,
            _ => self.threads.new_node(),
        }
    }

    fn node(&mut self, id: &str) -> usize {
        let digest = self.digest(id);
        *self.by_id.entry(digest).or_insert_with(|| self.threads.new_node())
    }

    /// Step (2): gathers what has no parent.
    fn gathered(self) -> Threads {
        let mut threads = self.threads;
        threads.roots =
            (0..threads.nodes.len()).filter(|node| threads.nodes[*node].parent.is_none()).collect();
        for node in 0..threads.nodes.len() {
            if let Some(parent) = threads.nodes[node].parent {
                threads.nodes[parent].children.push(node);
            }
        }
        threads
    }
}

/// ORDEREDSUBJECT: messages of one subject, the first of them with the others as its children.
fn by_subject(linking: Linking) -> Threads {
    let mut threads = linking.threads;
    let mut order: Vec<usize> = (0..threads.nodes.len()).collect();
    order.sort_by_key(|node| threads.nodes[*node].sent);
    let mut first_of: HashMap<Option<Digest>, usize> = HashMap::new();
    for node in order {
        match first_of.entry(threads.nodes[node].subject) {
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
fn by_references(linking: Linking) -> Threads {
    let mut threads = linking.gathered();
    threads.prune();
    threads.sort_roots();
    threads.merge_subjects();
    threads.sort_all();
    threads
}

impl Threads {
    fn new_node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

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
        let mut table: HashMap<Digest, usize> = HashMap::new();
        for &root in &self.roots {
            let Some(subject) = self.nodes[self.speaker(root)].subject else { continue };
            let replaces = table.get(&subject).is_none_or(|known| {
                let is_dummy = |node: usize| self.nodes[node].member.is_none();
                !is_dummy(*known)
                    && (is_dummy(root) || (self.nodes[*known].is_reply && !self.nodes[root].is_reply))
            });
            if replaces {
                table.insert(subject, root);
            }
        }
        let roots = std::mem::take(&mut self.roots);
        // Where a new dummy took a thread's place among the roots.
        let mut stands_for: HashMap<usize, usize> = HashMap::new();
        let mut merged = vec![false; self.nodes.len()];
        for &root in &roots {
            let Some(subject) = self.nodes[self.speaker(root)].subject else { continue };
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
fn references(header: &[u8]) -> VecDeque<String> {
    let mut references = VecDeque::new();
    if let Some(field) = Fields::of(header).first("References") {
        for id in ids(&field.unfolded()) {
            if references.len() == REFERENCES_MAX {
                references.pop_front();
            }
            references.push_back(id);
        }
    }
    if references.is_empty() {
        references.extend(first_id(header, "In-Reply-To"));
    }
    references
}

fn first_id(header: &[u8], name: &str) -> Option<String> {
    let field = Fields::of(header).first(name)?;
    ids(&field.unfolded()).next()
}

/// The message identifiers in a text, their quoting undone: `"a"@b` is `a@b` (RFC 5256 §3).
fn ids(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    let pieces = std::iter::from_fn(move || {
        let start = rest.iter().position(|octet| *octet == b'<')? + 1;
        let end = start + rest[start..].iter().position(|octet| *octet == b'>')?;
        let piece = &rest[start..end];
        rest = &rest[end + 1..];
        Some(piece)
    });
    pieces.filter(|piece| piece.contains(&b'@')).map(|piece| {
        let id: Vec<u8> = piece.iter().copied().filter(|octet| !b"\"\\ \t\r\n".contains(octet)).collect();
        String::from_utf8_lossy(&id).into_owned()
    })
}

#[cfg(test)]
mod tests;
