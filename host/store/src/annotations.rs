//! Annotations: named values of a mailbox, or of the server (RFC 5464), shared or one person's own.
//!
//! One record for each mailbox and whose they are; they belong to the mailbox's number: renaming keeps
//! them, deleting removes them. Beside the records, `store_annotation_payers` has their octets by who pays for
//! them, so that nobody fills the store with them, and nobody who goes leaves some behind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use storage::Snapshot;

use crate::Store;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::expunge::draft_both_gone;
use crate::feed::Happened;
use crate::ids::{AccountId, MailboxId};
use crate::keys::{self, u32_at};
use crate::mailboxes::read_mailbox;
use crate::rights::Rights;

/// Longest name of an entry, in octets.
pub const ANNOTATION_NAME_MAX: usize = 256;
/// Longest value of an entry, in octets. At least 1024 (RFC 5464 §4.1).
pub const ANNOTATION_VALUE_MAX: usize = 32 * 1024;
/// Most entries of a mailbox: shared ones, and each person's own. At least 10 (RFC 5464 §4.1).
pub const ANNOTATIONS_MAX: usize = 100;
/// Most octets of these together, names included.
pub const ANNOTATION_OCTETS_MAX: usize = 128 * 1024;
/// Most octets of all annotations that one account pays for: its own, and the shared ones of its mailboxes.
pub const ANNOTATED_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// The version of every record that is written.
const VERSION: u8 = 1;
/// Whose the shared ones are: no account has this number.
const SHARED: AccountId = AccountId(0);
/// Having one of these, and `l`, one may use annotations of a mailbox (RFC 5464 §3.3).
const USING: Rights =
    Rights::READ.with(Rights::SEEN).with(Rights::WRITE).with(Rights::INSERT).with(Rights::POST);

/// The name of an entry, `/private/…` or `/shared/…`, in lower case: names are told apart in any case (RFC 5464 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnotationName(String);

impl AnnotationName {
    /// Takes a name that keeps the rules of RFC 5464 §3.2; `None` for others.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::branch(text).filter(|name| {
            let mut components = name.0.split('/').skip(1);
            let least = if components.nth(1) == Some("vendor") { 4 } else { 2 };
            name.0.matches('/').count() >= least
        })
    }

    /// The same, also where it is only the beginning of names: nothing is there, but below.
    #[must_use]
    pub fn branch(text: &str) -> Option<Self> {
        let is_allowed = |octet: u8| matches!(octet, b' '..=b'~') && !b"*%".contains(&octet);
        let name = text.to_ascii_lowercase();
        let mut components = name.strip_prefix('/')?.split('/');
        let keeps_rules = name.len() <= ANNOTATION_NAME_MAX
            && name.bytes().all(is_allowed)
            && matches!(components.next(), Some("private" | "shared"))
            && components.all(|component| !component.is_empty());
        keeps_rules.then_some(Self(name))
    }

    /// The text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether everybody with the rights sees the same value; else each has their own.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.starts_with("/shared/")
    }
}

/// What annotations are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    /// A mailbox.
    Mailbox(MailboxId),
    /// The server as a whole: each person's own ones; shared ones are not kept here.
    Server,
}

/// Entries with their values, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    entries: BTreeMap<String, Vec<u8>>,
}

impl Annotations {
    /// The value of an entry.
    #[must_use]
    pub fn get(&self, name: &AnnotationName) -> Option<&[u8]> {
        self.entries.get(&name.0).map(Vec::as_slice)
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    fn read(snapshot: &Snapshot, mailbox: MailboxId, whose: AccountId) -> Result<Self, StoreError> {
        match snapshot.get(keys::ANNOTATIONS, &keys::annotation(mailbox, whose))? {
            Some(octets) => Self::parse(&octets).ok_or_else(|| {
                StoreError::corrupt(format!("the annotations {whose} of mailbox {mailbox} are unreadable"))
            }),
            None => Ok(Self::default()),
        }
    }

    fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![VERSION, 0, 0, 0];
        for (name, value) in &self.entries {
            octets.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
            octets.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            octets.extend_from_slice(name.as_bytes());
            octets.extend_from_slice(value);
        }
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
        let (head, mut rest) = octets.split_at_checked(4)?;
        let mut entries = BTreeMap::new();
        while let Some((numbers, after)) = rest.split_at_checked(6) {
            let name_len = u16::from_be_bytes([numbers[0], numbers[1]]);
            let (name, after) = after.split_at_checked(usize::from(name_len))?;
            let (value, after) = after.split_at_checked(usize::try_from(u32_at(numbers, 2)?).ok()?)?;
            let name = std::str::from_utf8(name).ok().and_then(AnnotationName::new)?;
            entries.insert(name.0, value.to_vec());
            rest = after;
        }
        (head[0] == VERSION && rest.is_empty()).then_some(Self { entries })
    }

    /// Which maximum they pass.
    pub(crate) fn excess(&self) -> Option<StoreError> {
        if self.entries.values().any(|value| value.len() > ANNOTATION_VALUE_MAX) {
            return Some(StoreError::TooMany { what: "octets in an annotation", max: ANNOTATION_VALUE_MAX });
        }
        if self.entries.len() > ANNOTATIONS_MAX {
            return Some(StoreError::TooMany { what: "annotations of one mailbox", max: ANNOTATIONS_MAX });
        }
        let octets: usize = self.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
        let what = "octets in the annotations of one mailbox";
        (octets > ANNOTATION_OCTETS_MAX).then_some(StoreError::TooMany { what, max: ANNOTATION_OCTETS_MAX })
    }

    /// As many of these as keep to the maxima: without values that are too long, then without the last names.
    pub(crate) fn within_maxima(mut self) -> Self {
        self.entries.retain(|_, value| value.len() <= ANNOTATION_VALUE_MAX);
        while self.excess().is_some() {
            self.entries.pop_last();
        }
        self
    }

    /// Drafts these in place of what is there, with what is paid for them.
    pub(crate) fn draft(&self, draft: &mut Draft, mailbox: MailboxId, whose: AccountId) {
        let key = keys::annotation(mailbox, whose);
        let payer_key = keys::annotation_payer(payer(mailbox, whose), mailbox, whose);
        if self.entries.is_empty() {
            draft.batch.delete(keys::ANNOTATIONS, &key);
            draft.batch.delete(keys::ANNOTATION_PAYERS, &payer_key);
            return;
        }
        let octets = self.to_octets();
        let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        draft.batch.put(keys::ANNOTATION_PAYERS, &payer_key, len.to_be_bytes());
        draft.batch.put(keys::ANNOTATIONS, &key, octets);
    }
}

/// Who pays for annotations: whose they are; for shared ones the mailbox's owner.
pub(crate) fn payer(mailbox: MailboxId, whose: AccountId) -> AccountId {
    if whose == SHARED { mailbox.account } else { whose }
}

impl Store {
    /// The annotations that the person sees: shared ones and their own.
    pub fn annotations(&self, of: Annotated) -> Result<Annotations, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut all = Annotations::default();
        if let Annotated::Mailbox(mailbox) = of {
            read_mailbox(&snapshot, mailbox)?;
            self.allow_annotations(&snapshot, mailbox)?;
            all = Annotations::read(&snapshot, mailbox, SHARED)?;
        }
        if let Some(person) = &self.person {
            let own = Annotations::read(&snapshot, place_of(of, person.id), person.id)?;
            all.entries.extend(own.entries);
        }
        Ok(all)
    }

    /// Sets entries, or removes those without a value: all of them, or none.
    pub async fn annotate(
        &self,
        of: Annotated,
        changes: Vec<(AnnotationName, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let person = self.person.as_ref().map(|person| person.id);
        let nobody = StoreError::NotAllowed("annotations are set by a person");
        let mailbox = place_of(of, person.ok_or(nobody)?);
        let held = self.inner.locks.lock(mailbox.account).await;
        let mut draft = Draft::new();
        {
            let snapshot = self.inner.storage.read()?;
            if let Annotated::Mailbox(mailbox) = of {
                read_mailbox(&snapshot, mailbox)?;
                self.allow_annotations(&snapshot, mailbox)?;
                draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(mailbox));
            }
            let (shared, own): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(name, _)| name.is_shared());
            if !shared.is_empty() {
                if of == Annotated::Server {
                    return Err(StoreError::NotAllowed("shared annotations of the server are its own"));
                }
                // What all see is set by who may change what all see.
                self.allow(&snapshot, mailbox, Rights::WRITE)?;
                draft.note(happened(of, None, &shared));
                draft_changes(&snapshot, &mut draft, mailbox, SHARED, shared)?;
            }
            if let Some(person) = person.filter(|_| !own.is_empty()) {
                draft.note(happened(of, Some(person), &own));
                draft_changes(&snapshot, &mut draft, mailbox, person, own)?;
            }
        }
        self.commit(draft, held).await.map(drop)
    }

    /// RFC 5464 §3.3.
    fn allow_annotations(&self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<(), StoreError> {
        let rights = self.allow(snapshot, mailbox, Rights::LOOKUP)?;
        if rights.has_any(USING) { Ok(()) } else { Err(StoreError::NotPermitted('r')) }
    }
}

fn happened(
    of: Annotated,
    person: Option<AccountId>,
    changes: &[(AnnotationName, Option<Vec<u8>>)],
) -> Happened {
    let mailbox = match of {
        Annotated::Mailbox(mailbox) => Some(mailbox),
        Annotated::Server => None,
    };
    Happened::Annotated { mailbox, person, names: changes.iter().map(|(name, _)| name.0.clone()).collect() }
}

/// Where a person's annotations are; those of the server are in no mailbox.
fn place_of(of: Annotated, person: AccountId) -> MailboxId {
    match of {
        Annotated::Mailbox(mailbox) => mailbox,
        Annotated::Server => MailboxId { account: person, number: 0 },
    }
}

/// Drafts changes of one record. The lock of the mailbox's account must be held.
fn draft_changes(
    snapshot: &Snapshot,
    draft: &mut Draft,
    mailbox: MailboxId,
    whose: AccountId,
    changes: Vec<(AnnotationName, Option<Vec<u8>>)>,
) -> Result<(), StoreError> {
    let before = Annotations::read(snapshot, mailbox, whose)?;
    let mut after = before.clone();
    for (name, value) in changes {
        let _ = match value {
            Some(value) => after.entries.insert(name.0, value),
            None => after.entries.remove(&name.0),
        };
    }
    if let Some(error) = after.excess() {
        return Err(error);
    }
    let payer = payer(mailbox, whose);
    let (old, new) = (before.to_octets().len(), after.to_octets().len());
    check_paid(snapshot, payer, new.saturating_sub(old))?;
    // Who has gone meanwhile leaves nothing behind.
    draft.batch.assert_present(keys::ACCOUNTS, &keys::account(payer));
    after.draft(draft, mailbox, whose);
    Ok(())
}

/// Whether an account may pay for so much more. What only takes less is never too much.
fn check_paid(snapshot: &Snapshot, payer: AccountId, more: usize) -> Result<(), StoreError> {
    if more > 0 && paid(snapshot, payer)?.saturating_add(more) > ANNOTATED_OCTETS_MAX {
        let what = "octets in the annotations of one account";
        return Err(StoreError::TooMany { what, max: ANNOTATED_OCTETS_MAX });
    }
    Ok(())
}

/// Octets of all annotations that an account pays for.
fn paid(snapshot: &Snapshot, payer: AccountId) -> Result<usize, StoreError> {
    let (from, until) = (keys::account(payer), keys::after(keys::account(payer)));
    let mut octets: usize = 0;
    snapshot.scan(keys::ANNOTATION_PAYERS, &from, &until, &mut |_, value| {
        let len = u32_at(value, 0).and_then(|len| usize::try_from(len).ok());
        octets = octets.saturating_add(len.unwrap_or(0));
        ControlFlow::Continue(())
    })?;
    Ok(octets)
}

/// Drafts the owner's annotations of a mailbox for a new one, too: shared ones and the owner's own. Those of others stay
/// with the mailbox that they have rights to.
pub(crate) fn draft_copies(
    snapshot: &Snapshot,
    draft: &mut Draft,
    from: MailboxId,
    to: MailboxId,
) -> Result<(), StoreError> {
    let mut more = 0;
    for whose in [SHARED, from.account] {
        let annotations = Annotations::read(snapshot, from, whose)?;
        more += if annotations.entries.is_empty() { 0 } else { annotations.to_octets().len() };
        annotations.draft(draft, to, whose);
    }
    check_paid(snapshot, to.account, more)
}

/// Drafts the removal of so many records of a mailbox at most; how many there were.
pub(crate) fn draft_mailbox_gone(
    snapshot: &Snapshot,
    draft: &mut Draft,
    mailbox: MailboxId,
    max: usize,
) -> Result<usize, StoreError> {
    let (from, until) = (keys::mailbox(mailbox), keys::after(keys::mailbox(mailbox)));
    draft_both_gone(snapshot, draft, (keys::ANNOTATIONS, &from, &until), max, |key| {
        let whose = AccountId(u32_at(key, 8)?);
        let key = keys::annotation_payer(payer(mailbox, whose), mailbox, whose);
        Some((keys::ANNOTATION_PAYERS, key.to_vec()))
    })
}

/// Drafts the removal of so many records that an account paid for at most; how many there were.
pub(crate) fn draft_payer_gone(
    snapshot: &Snapshot,
    draft: &mut Draft,
    payer: AccountId,
    max: usize,
) -> Result<usize, StoreError> {
    let (from, until) = (keys::account(payer), keys::after(keys::account(payer)));
    draft_both_gone(snapshot, draft, (keys::ANNOTATION_PAYERS, &from, &until), max, |key| {
        key.get(4..).map(|record| (keys::ANNOTATIONS, record.to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_keep_the_standards_rules() {
        for name in ["/private/comment", "/shared/vendor/kolab/folder-type", "/PRIVATE/a b"] {
            assert_eq!(AnnotationName::new(name).unwrap().as_str(), name.to_lowercase());
        }
        let long = format!("/private/{}", "x".repeat(ANNOTATION_NAME_MAX));
        for name in [
            "",
            "/",
            "/private",
            "/private/",
            "/other/x",
            "private/x",
            "/private//x",
            "/private/x/",
            "/private/*",
            &long,
        ] {
            assert_eq!(AnnotationName::new(name), None, "{name}");
        }
        for name in ["/private/a%", "/private/ä", "/private/a\t", "/shared/vendor/x", "/private/vendor"] {
            assert_eq!(AnnotationName::new(name), None, "{name}");
        }
    }

    #[test]
    fn branches_are_shorter() {
        for name in ["/private", "/Shared/vendor", "/private/a"] {
            assert_eq!(AnnotationName::branch(name).unwrap().as_str(), name.to_lowercase());
        }
        for name in ["/", "/privat", "/private/", "/private//a", "/shared/*"] {
            assert_eq!(AnnotationName::branch(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn records_are_inverse(entries in proptest::collection::btree_map("/(private|shared)/[a-u]{1,9}", proptest::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let annotations = Annotations { entries };
            prop_assert_eq!(Annotations::parse(&annotations.to_octets()), Some(annotations));
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..60), version: bool) {
            let mut octets = octets;
            if let (true, Some(first)) = (version, octets.first_mut()) {
                *first = VERSION;
            }
            let _ = Annotations::parse(&octets);
        }
    }
}
