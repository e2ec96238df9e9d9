//! A declarative batch: what must hold, and what shall change, as a whole.

use smallvec::SmallVec;

use crate::content::{Content, ContentId, StagedFile};
use crate::space::{CONTENT_FILES, Space};

/// Keys are short: most fit without an allocation.
pub(crate) type Key = SmallVec<[u8; 32]>;

/// A value that is known only when the batch takes effect: the next number of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn(pub(crate) usize);

/// Which of the two a patch goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// Writes a drawn number, big-endian, into a key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Key or value.
    pub into: Into,
    /// First octet that is overwritten.
    pub at: usize,
    /// Octets that are overwritten: 4 or 8. A number that does not fit fails the batch.
    pub width: usize,
    /// The number.
    pub drawn: Drawn,
}

#[derive(Debug)]
pub(crate) enum Assertion {
    Absent(Space, Key),
    Present(Space, Key),
    Equals(Space, Key, Vec<u8>),
}

/// There may be tens of thousands in a batch, most of them puts: what others have to say more stands elsewhere.
#[derive(Debug)]
pub(crate) enum Operation {
    Put { space: Space, key: Key, value: Vec<u8> },
    PutDrawn { space: Space, key: Key, value: Vec<u8>, patches: Box<[Patch]> },
    Delete { space: Space, key: Key },
    Clear { space: Space },
    Add { space: Space, key: Key, changes: Box<[(u8, i64)]> },
    Draw { space: Space, key: Key, field: u8, drawn: Drawn },
    StoreContent { content: Content, references: u32, drawn: Drawn },
    RetainContent { id: ContentId, references: u32 },
    ReleaseContent { id: ContentId, references: u32 },
    PackContent { id: ContentId, packed: Vec<u8> },
    PackFile { id: ContentId, file: StagedFile },
}

/// Assertions and changes that take effect together or not at all. Assertions are looked at first,
/// against what earlier batches left; so a batch never fails half-way.
#[derive(Debug, Default)]
#[must_use]
pub struct Batch {
    pub(crate) assertions: Vec<Assertion>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) draws: usize,
}

/// How far a batch had come.
#[derive(Debug, Clone, Copy)]
pub struct BatchMark {
    assertions: usize,
    operations: usize,
    draws: usize,
}

impl Batch {
    /// How far it has come.
    #[must_use]
    pub fn mark(&self) -> BatchMark {
        let (assertions, operations) = (self.assertions.len(), self.operations.len());
        BatchMark { assertions, operations, draws: self.draws }
    }

    /// Forgets what came since a mark of this batch.
    pub fn go_back(&mut self, mark: BatchMark) {
        self.assertions.truncate(mark.assertions);
        self.operations.truncate(mark.operations);
        self.draws = mark.draws;
    }

    /// Whether more content, or more references to it, come than go: what a full disk does not take.
    pub(crate) fn brings_content(&self) -> bool {
        let sum: i64 =
            self.operations
                .iter()
                .map(|operation| match operation {
                    Operation::StoreContent { references, .. }
                    | Operation::RetainContent { references, .. } => i64::from(*references),
                    Operation::ReleaseContent { references, .. } => -i64::from(*references),
                    _ => 0,
                })
                .sum();
        sum > 0
    }

    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that it sets in a space.
    pub fn keys_set(&self, space: Space) -> impl Iterator<Item = &[u8]> {
        self.operations.iter().filter_map(move |operation| match operation {
            Operation::Put { space: own, key, .. } if *own == space => Some(key.as_slice()),
            _ => None,
        })
    }

    /// Sets room aside for so many changes.
    pub fn reserve(&mut self, changes: usize) {
        self.operations.reserve(changes);
    }

    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.assertions.is_empty() && self.operations.is_empty()
    }

    /// The key must not exist.
    pub fn assert_absent(&mut self, space: Space, key: &[u8]) {
        self.assertions.push(Assertion::Absent(space, key.into()));
    }

    /// The key must exist.
    pub fn assert_present(&mut self, space: Space, key: &[u8]) {
        self.assertions.push(Assertion::Present(space, key.into()));
    }

    /// The key must have this value.
    pub fn assert_equals(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.assertions.push(Assertion::Equals(space, key.into(), value.to_vec()));
    }

    /// Sets a key.
    pub fn put(&mut self, space: Space, key: &[u8], value: impl std::convert::Into<Vec<u8>>) {
        self.operations.push(Operation::Put { space, key: key.into(), value: value.into() });
    }

    /// Sets a key after drawn numbers were written into key and value.
    pub fn put_drawn(
        &mut self,
        space: Space,
        key: &[u8],
        value: impl std::convert::Into<Vec<u8>>,
        patches: &[Patch],
    ) {
        let (key, value) = (key.into(), value.into());
        self.operations.push(Operation::PutDrawn { space, key, value, patches: patches.into() });
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, space: Space, key: &[u8]) {
        self.operations.push(Operation::Delete { space, key: key.into() });
    }

    /// Removes all keys of a space: one step, however many there are.
    pub fn clear(&mut self, space: Space) {
        self.operations.push(Operation::Clear { space });
    }

    /// Adds to fields of a counter record (created when absent; u64 little-endian each). A field
    /// never goes below zero. Such records are changed by `add`, `draw` and `delete` only.
    pub fn add(&mut self, space: Space, key: &[u8], changes: &[(u8, i64)]) {
        self.operations.push(Operation::Add { space, key: key.into(), changes: changes.into() });
    }

    /// Raises a field of a counter record by one, and gives the new value.
    pub fn draw(&mut self, space: Space, key: &[u8], field: u8) -> Drawn {
        let drawn = self.next();
        self.operations.push(Operation::Draw { space, key: key.into(), field, drawn });
        drawn
    }

    /// Stores content with so many references; gives its id, a u64.
    pub fn store_content(&mut self, content: Content, references: u32) -> Drawn {
        let drawn = self.next();
        self.operations.push(Operation::StoreContent { content, references, drawn });
        drawn
    }

    /// Adds references to content.
    pub fn retain_content(&mut self, id: ContentId, references: u32) {
        self.operations.push(Operation::RetainContent { id, references });
    }

    /// Takes references from content; the last one taken deletes it.
    pub fn release_content(&mut self, id: ContentId, references: u32) {
        self.operations.push(Operation::ReleaseContent { id, references });
    }

    /// Keeps inline content in another form, where it is still there.
    pub(crate) fn pack_content(&mut self, id: ContentId, packed: Vec<u8>) {
        self.operations.push(Operation::PackContent { id, packed });
    }

    /// Puts a packed file in the place of the content's file of this name; fails as a conflict where that is gone.
    pub(crate) fn pack_file(&mut self, id: ContentId, name: &str, file: StagedFile) {
        self.assertions.push(Assertion::Equals(
            CONTENT_FILES,
            Key::from_slice(&id.to_key()),
            name.as_bytes().to_vec(),
        ));
        self.operations.push(Operation::PackFile { id, file });
    }

    fn next(&mut self) -> Drawn {
        self.draws += 1;
        Drawn(self.draws - 1)
    }
}
