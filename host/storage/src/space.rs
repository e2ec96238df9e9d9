//! Named key spaces.

/// A key space of the engine. Every crate names its own as constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Space {
    name: &'static str,
    format: usize,
}

impl Space {
    /// Names a space.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, format: 1 }
    }

    /// A space that came with a later format: programs before it must not open a folder where it has records, so ask
    /// [`crate::Storage::admit`] before the first one.
    #[must_use]
    pub const fn added_in(self, format: usize) -> Self {
        Self { format, ..self }
    }

    pub(crate) const fn format(self) -> usize {
        self.format
    }

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

/// Content octets by id.
pub(crate) const CONTENT: Space = Space::new("content");
/// Names of content files by id.
pub(crate) const CONTENT_FILES: Space = Space::new("content_files");
/// Content octets by id, compressed: their length, u32 big-endian, then a zstd frame.
pub(crate) const CONTENT_PACKED: Space = Space::new("content_packed");
/// How many references a content has, where it is not one.
pub(crate) const CONTENT_REFERENCES: Space = Space::new("content_references");
/// The engine's own counters.
pub(crate) const COUNTERS: Space = Space::new("counters");

/// The spaces that this crate needs itself.
pub(crate) const OWN: [Space; 5] = [CONTENT, CONTENT_PACKED, CONTENT_FILES, CONTENT_REFERENCES, COUNTERS];
