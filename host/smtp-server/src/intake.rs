//! Content on its way into storage. After a refusal it only counts what still comes.

use std::fmt;

use mail_types::{QueueId, Refusal, Reply};
use message::header_len;
use queue::SubmitError;
use smtp_wire::LineFault;
use storage::{Content, ContentWriter, StorageError};

use crate::answer::reply;

/// What the header says, kept after its octets have gone to storage.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeaderFacts {
    /// The Message-ID that is there, or that we add.
    pub(crate) message_id: Option<String>,
    /// Fields that we add above it.
    pub(crate) added: Vec<u8>,
}

/// Content of one transaction.
pub(crate) struct Intake {
    id: QueueId,
    writer: Option<ContentWriter>,
    refusal: Option<Refusal>,
    facts: Option<HeaderFacts>,
    /// Octets of content that came, refused ones too.
    octets: u64,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("octets", &self.octets)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl Intake {
    pub(crate) fn new(id: QueueId, writer: ContentWriter) -> Self {
        Self { id, writer: Some(writer), refusal: None, facts: None, octets: 0 }
    }

    /// The id that the message will have.
    pub(crate) fn id(&self) -> QueueId {
        self.id
    }

    /// How many octets came.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether the content will not be accepted, whatever follows.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Refuses the content; the first reason stays. What was written is dropped.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.writer = None;
        self.refusal.get_or_insert(refusal);
    }

    /// Refuses the content for its line endings (RFC 5321 §2.3.8).
    pub(crate) fn refuse_lines(&mut self, fault: LineFault) {
        let text = format!("The content holds {fault}; lines end with CRLF and with nothing else");
        self.refuse(Refusal::public(reply(550, 5, 2, text)));
    }

    /// Takes octets into memory. [`Intake::must_spill`] is to be asked afterwards.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.push(octets) {
            self.refuse(storage_refusal(&error));
        }
    }

    /// Whether memory holds as much as it may. The header stays in memory until it is whole, as long as
    /// it is not larger than its own maximum.
    pub(crate) fn must_spill(&self, header_size_max: usize) -> bool {
        let Some(writer) = self.writer.as_ref().filter(|writer| writer.must_spill()) else { return false };
        let held = writer.in_memory();
        self.facts.is_some() || held.len() > header_size_max || header_len(held) < held.len()
    }

    /// The content in memory, while its header was not looked at yet.
    pub(crate) fn unseen(&self) -> Option<&[u8]> {
        if self.facts.is_some() { None } else { self.writer.as_ref().map(ContentWriter::in_memory) }
    }

    /// The header was looked at.
    pub(crate) fn seen(&mut self, facts: HeaderFacts) {
        self.facts = Some(facts);
    }

    /// Puts another header in place of the first `replaced` octets, before anything went to disk.
    pub(crate) fn replace_header(&mut self, header: &[u8], replaced: usize, mut writer: ContentWriter) {
        let Some(old) = self.writer.take() else { return };
        let body = old.in_memory().get(replaced..).unwrap_or_default();
        match writer.push(header).and_then(|()| writer.push(body)) {
            Ok(()) => self.writer = Some(writer),
            Err(error) => self.refuse(storage_refusal(&error)),
        }
    }

    /// Moves octets from memory to the disk.
    pub(crate) async fn spill(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.spill().await {
            self.refuse(storage_refusal(&error));
        }
    }

    /// Ends the content: written, and synced where it is in a file; or refused.
    pub(crate) async fn finish(self) -> Result<(Content, HeaderFacts), Refusal> {
        match (self.refusal, self.writer) {
            (None, Some(writer)) => {
                let content = writer.finish().await.map_err(|error| storage_refusal(&error))?;
                Ok((content, self.facts.unwrap_or_default()))
            }
            (refusal, _) => Err(refusal.unwrap_or_else(|| storage_refusal(&StorageError::Closed))),
        }
    }
}

/// What the client hears of a storage error: the message is its own still.
fn storage_refusal(error: &StorageError) -> Refusal {
    match error {
        StorageError::TooLarge(max) => too_large(*max),
        _ => Refusal::new(SubmitError::from(error.clone()).reply(), error.to_string()),
    }
}

/// The message is larger than the maximum (RFC 1870 §6).
pub(crate) fn too_large(max: u64) -> Refusal {
    Refusal::public(too_large_reply(max))
}

fn too_large_reply(max: u64) -> Reply {
    reply(552, 3, 4, format!("The message is larger than {max} octets"))
}
