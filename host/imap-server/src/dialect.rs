//! What the client has said that it understands.

use imap_wire::{By, Command, FetchItem, ListReturn, NameEncoding, SearchKey, StatusItem};

/// How a session speaks; what was enabled stays so until the connection ends (RFC 5161 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dialect {
    /// Messages are told with UID and mod-sequence (RFC 7162 §3.1).
    pub(crate) modseq: bool,
    /// Expunges are told by UID (RFC 7162 §3.2.3).
    pub(crate) vanished: bool,
    /// IMAP4rev2 (RFC 9051 appendix E): searches are answered by ESEARCH, nothing is recent, names are UTF-8.
    pub(crate) rev2: bool,
    /// Names and appended messages are UTF-8 (RFC 6855 §3).
    pub(crate) utf8: bool,
    /// Messages are named by UID alone, by both sides (RFC 9586).
    pub(crate) uid_only: bool,
    /// The operator has all clients get headers with UTF-8 as they are.
    pub(crate) no_surrogates: bool,
}

/// How a client gets headers with UTF-8, and parts of the type message/global (RFC 6532).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// As they are; and message/global is a message (RFC 9051 §9).
    OfRev2,
    /// As they are; message/global is a part like any other, as for all clients of IMAP4rev1, which knows message/rfc822
    /// alone (RFC 3501 §9).
    AsTheyAre,
    /// It gets surrogates (RFC 6858), of the headers of parts, too.
    Surrogates,
}

impl Dialect {
    /// How headers are told: UTF-8 is for who has said so (RFC 6855 §3, §8); in IMAP4rev2 it may be in any header (RFC 9051
    /// §7.5.2).
    pub(crate) fn headers(self) -> Headers {
        if self.rev2 {
            Headers::OfRev2
        } else if self.utf8 || self.no_surrogates {
            Headers::AsTheyAre
        } else {
            Headers::Surrogates
        }
    }

    /// How mailbox names are written.
    pub(crate) fn names(self) -> NameEncoding {
        if self.rev2 || self.utf8 { NameEncoding::Utf8 } else { NameEncoding::Utf7 }
    }
}

/// Whether a command makes the session one that is told mod-sequences: the "CONDSTORE enabling
/// commands" of RFC 7162 §3.1 but for ENABLE.
pub(crate) fn asks_for_modseq(command: &Command) -> bool {
    match command {
        Command::Select { parameters, .. } | Command::Examine { parameters, .. } => {
            parameters.condstore || parameters.qresync.is_some()
        }
        Command::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
        Command::List(list) => list.returns.iter().flatten().any(
            |option| matches!(option, ListReturn::Status(items) if items.contains(&StatusItem::HighestModSeq)),
        ),
        Command::Fetch { items, modifiers, .. } => {
            modifiers.changed_since.is_some() || items.contains(&FetchItem::ModSeq)
        }
        Command::Store(store) => store.unchanged_since.is_some(),
        Command::Search(search) => has_modseq(&search.keys),
        Command::Sort(sort) => has_modseq(&sort.keys),
        Command::Thread(thread) => has_modseq(&thread.keys),
        _ => false,
    }
}

/// Whether a command names messages by sequence number, which UIDONLY forbids (RFC 9586 §3).
pub(crate) fn names_by_number(command: &Command) -> bool {
    match command {
        Command::Fetch { by, .. } | Command::Copy { by, .. } | Command::Move { by, .. } => {
            *by == By::SequenceNumber
        }
        Command::Store(store) => store.by == By::SequenceNumber,
        Command::Search(search) => search.by == By::SequenceNumber || has_sequence_numbers(&search.keys),
        Command::Sort(sort) => sort.by == By::SequenceNumber || has_sequence_numbers(&sort.keys),
        Command::Thread(thread) => thread.by == By::SequenceNumber || has_sequence_numbers(&thread.keys),
        // RFC 9586 §3.7.
        Command::Select { parameters, .. } | Command::Examine { parameters, .. } => {
            parameters.qresync.as_ref().is_some_and(|known| known.matches.is_some())
        }
        _ => false,
    }
}

/// Whether `MODSEQ` is among search keys.
pub(crate) fn has_modseq(keys: &[SearchKey]) -> bool {
    has_key(keys, &|key| matches!(key, SearchKey::ModSeq(_)))
}

/// Whether messages are named by sequence number in search keys.
pub(crate) fn has_sequence_numbers(keys: &[SearchKey]) -> bool {
    has_key(keys, &|key| matches!(key, SearchKey::Sequence(set) if !set.is_saved()))
}

fn has_key(keys: &[SearchKey], is_it: &dyn Fn(&SearchKey) -> bool) -> bool {
    keys.iter().any(|key| match key {
        SearchKey::Not(key) => has_key(std::slice::from_ref(key), is_it),
        SearchKey::Or(keys) | SearchKey::And(keys) => has_key(keys, is_it),
        key => is_it(key),
    })
}
