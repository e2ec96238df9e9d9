//! What a FETCH could not tell, or not as it is, and the answer that says so.

use imap_wire::{By, Code, SequenceSet};

use crate::answer::Answer;

/// Messages that an answer names because their surrogates were told; a text of so many numbers is a line still.
const DOWNGRADED_MAX: usize = 1_000;
/// Messages that an answer names because they are damaged, or because too much was asked for of them.
const TOLD_MAX: usize = 20;

/// What could not be told, or not as it is.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    /// Messages that have been expunged.
    pub(super) messages: bool,
    /// Parts whose encoding is not known (RFC 3516 §4.3).
    pub(super) decoding: bool,
    /// UIDs of messages that cannot be read, rising.
    damaged: Vec<u32>,
    /// UIDs of messages of which more was asked for than is held, rising.
    too_large: Vec<u32>,
    /// UIDs of messages whose surrogates were told, rising.
    downgraded: Vec<u32>,
    /// Why `\Seen` could not be kept.
    unkept: Option<Answer>,
}

impl Lacks {
    /// A message cannot be read.
    pub(super) fn note_damaged(&mut self, uid: u32) {
        note(&mut self.damaged, uid, TOLD_MAX);
    }

    /// More was asked for of a message than is held.
    pub(super) fn note_too_large(&mut self, uid: u32) {
        note(&mut self.too_large, uid, TOLD_MAX);
    }

    /// The surrogate of a message was told.
    pub(super) fn note_downgraded(&mut self, uid: u32) {
        note(&mut self.downgraded, uid, DOWNGRADED_MAX);
    }

    /// `\Seen` could not be kept.
    pub(super) fn note_unkept(&mut self, why: Answer) {
        self.unkept = Some(why);
    }

    /// Whether that was so once: it is not tried again for the rest.
    pub(super) fn has_unkept(&self) -> bool {
        self.unkept.is_some()
    }

    /// How the command ended that named messages so.
    pub(super) fn answer(self, by: By) -> Answer {
        if let Some(uids) = SequenceSet::from_rising(self.damaged) {
            // RFC 5530 §3.
            let text = format!("these messages are damaged, and the postmaster has been told: UID {uids}");
            return Answer::no(text).code(Code::Corruption);
        }
        if let Some(uids) = SequenceSet::from_rising(self.too_large) {
            let text = format!("more is asked for of these messages than one answer may hold: UID {uids}");
            return Answer::no(text).code(Code::Limit);
        }
        if self.decoding {
            return Answer::no("a part has an encoding that is not known").code(Code::UnknownCte);
        }
        // A UID that is not there is no error (RFC 3501 §6.4.8).
        if self.messages && by == By::SequenceNumber {
            // RFC 2180 §4.1.2: others have expunged some; the client hears of it when that is allowed.
            return Answer::no("some of the messages have been expunged").code(Code::ExpungeIssued);
        }
        let answer = match self.unkept {
            Some(why) => Answer::ok(format!("FETCH done, but \\Seen was not kept: {}", why.text)),
            None => Answer::ok("FETCH done"),
        };
        // RFC 6858 §3.
        match SequenceSet::from_rising(self.downgraded) {
            Some(uids) => answer.code(Code::Downgraded(uids)),
            None => answer,
        }
    }
}

fn note(uids: &mut Vec<u32>, uid: u32, max: usize) {
    if uids.len() < max {
        uids.push(uid);
    }
}
