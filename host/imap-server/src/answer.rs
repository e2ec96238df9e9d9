//! How a command ended.

use std::borrow::Cow;

use imap_wire::{Code, Condition};

/// The tagged response of a command, but for its tag.
#[derive(Debug)]
#[must_use]
pub(crate) struct Answer {
    pub(crate) condition: Condition,
    pub(crate) code: Option<Code>,
    pub(crate) text: Cow<'static, str>,
    /// The command removed messages: who resynchronizes is told how far that brought them.
    pub(crate) removed: bool,
}

/// What names messages by number once UIDONLY is enabled (RFC 9586 §3).
pub(crate) fn uid_required() -> Answer {
    Answer::bad("message numbers are not allowed once UIDONLY is enabled").code(Code::UidRequired)
}

impl Answer {
    fn new(condition: Condition, text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition, code: None, text: text.into(), removed: false }
    }

    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::Ok, text)
    }

    pub(crate) fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::No, text)
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::Bad, text)
    }

    pub(crate) fn removed(mut self, removed: bool) -> Self {
        self.removed = removed;
        self
    }

    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }
}
