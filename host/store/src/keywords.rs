//! Keywords: flags that clients name themselves (RFC 3501 §2.3.2), each a bit in its mailbox.

use std::sync::Arc;

use storage::Snapshot;

use crate::Store;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::MailboxId;
use crate::keys;
use crate::messages::scan_messages;

/// Most keywords of one mailbox. When they are used up, those that no message has make room.
pub const KEYWORDS_MAX: usize = 64;
/// Longest keyword, in octets.
pub const KEYWORD_OCTETS_MAX: usize = 128;

/// The keywords of a message, as bits of its mailbox's [`KeywordTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Keywords(pub u64);

impl Keywords {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether all of the others are set.
    #[must_use]
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and others.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, but not the others.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// The names of a mailbox's keywords, in the order of their bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeywordTable {
    names: Arc<[String]>,
}

impl Default for KeywordTable {
    fn default() -> Self {
        Self { names: Arc::new([]) }
    }
}

impl KeywordTable {
    pub(crate) fn read(snapshot: &Snapshot, mailbox: MailboxId) -> Result<Self, StoreError> {
        let Some(octets) = snapshot.get(keys::KEYWORDS, &keys::mailbox(mailbox))? else {
            return Ok(Self::default());
        };
        let text = std::str::from_utf8(&octets)
            .map_err(|_| StoreError::corrupt(format!("the keywords of mailbox {mailbox} are unreadable")))?;
        Ok(Self { names: text.lines().map(str::to_owned).collect() })
    }

    fn to_octets(&self) -> Vec<u8> {
        self.names.iter().flat_map(|name| name.bytes().chain([b'\n'])).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names of these keywords.
    pub fn names(&self, keywords: Keywords) -> impl Iterator<Item = &str> {
        self.all().enumerate().filter(move |(bit, _)| keywords.0 >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// The bit of a keyword, without regard to case (RFC 3501 §2.3.2).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Keywords> {
        let bit = self.names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Keywords(1 << bit))
    }

    /// The bits of those among the names that are known.
    #[must_use]
    pub fn find_all(&self, names: &[&str]) -> Keywords {
        names.iter().filter_map(|name| self.find(name)).fold(Keywords::NONE, Keywords::with)
    }
}

/// What becomes of a name for which there is no bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutBit {
    /// Nothing is done.
    Refuse,
    /// The message goes without it.
    LeaveOut,
}

impl Store {
    /// Whether a keyword that is new to a mailbox would get a bit.
    pub fn takes_keywords(&self, mailbox: MailboxId) -> Result<bool, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let is_full = KeywordTable::read(&snapshot, mailbox)?.len() >= KEYWORDS_MAX;
        Ok(!is_full || unused_bits(&snapshot, mailbox)? != Keywords::NONE)
    }
}

/// The table of a mailbox with these names in it: names that are new get bits, which the draft
/// writes. The account's lock must be held.
pub(crate) fn names_added(
    snapshot: &Snapshot,
    draft: &mut Draft,
    mailbox: MailboxId,
    names: &[&str],
    without_bit: WithoutBit,
) -> Result<KeywordTable, StoreError> {
    let table = KeywordTable::read(snapshot, mailbox)?;
    if names.iter().all(|name| table.find(name).is_some()) {
        return Ok(table);
    }
    let mut all = table.names.to_vec();
    let mut free = None;
    for name in names {
        check_name(name)?;
        if all.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if all.len() < KEYWORDS_MAX {
            all.push((*name).to_owned());
            continue;
        }
        let unused = match &mut free {
            Some(unused) => unused,
            None => free.insert(unused_bits(snapshot, mailbox)?.without(table.find_all(names))),
        };
        if *unused == Keywords::NONE {
            if without_bit == WithoutBit::LeaveOut {
                continue;
            }
            return Err(StoreError::TooMany { what: "keywords in the mailbox", max: KEYWORDS_MAX });
        }
        let bit = unused.0.trailing_zeros();
        *unused = unused.without(Keywords(1 << bit));
        (*name).clone_into(&mut all[bit as usize]);
    }
    if all[..] == table.names[..] {
        return Ok(table);
    }
    let table = KeywordTable { names: all.into() };
    draft.batch.put(keys::KEYWORDS, &keys::mailbox(mailbox), table.to_octets());
    Ok(table)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let is_atom = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_atom {
        return Err(StoreError::NotAllowed("a keyword consists of printing ASCII characters"));
    }
    if name.len() > KEYWORD_OCTETS_MAX {
        return Err(StoreError::TooMany { what: "octets in a keyword", max: KEYWORD_OCTETS_MAX });
    }
    Ok(())
}

fn unused_bits(snapshot: &Snapshot, mailbox: MailboxId) -> Result<Keywords, StoreError> {
    let mut used = Keywords::NONE;
    scan_messages(snapshot, mailbox, .., &mut |_, record| used = used.with(record.keywords))?;
    Ok(Keywords(!used.0))
}
