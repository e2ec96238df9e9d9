//! Annotations in the model.

use std::collections::BTreeMap;

use super::{Mailbox, World};
use crate::*;

/// Annotations: shared ones, the owner's and the guest's.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    pub(super) shared: BTreeMap<String, Vec<u8>>,
    pub(super) owners: BTreeMap<String, Vec<u8>>,
    pub(super) guests: BTreeMap<String, Vec<u8>>,
}

impl Notes {
    fn seen_with(&self, own: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
        self.shared.clone().into_iter().chain(own.clone()).collect()
    }
}

impl World {
    /// RFC 5464 §3.3; what all see is set by who may change what all see.
    pub(super) async fn annotate(&mut self, at: usize, by_guest: bool, name: u8, value: Option<u8>) {
        let at = self.at(at);
        let store = if by_guest { self.as_guest() } else { self.as_owner() };
        let mailbox = self.mailboxes.get_mut(&at).unwrap();
        let scope = if name < 2 { "shared" } else { "private" };
        let entry = AnnotationName::new(&format!("/{scope}/n{name}")).unwrap();
        let value = value.map(|octet| vec![octet; usize::from(octet)]);
        let set = store.annotate(Annotated::Mailbox(at), vec![(entry.clone(), value.clone())]).await;
        let rights = if by_guest { mailbox.granted.unwrap_or_default() } else { Rights::ALL };
        let may = may_use_annotations(rights) && (!entry.is_shared() || rights.contains(Rights::WRITE));
        assert_eq!(set.is_ok(), may, "{rights} {set:?}");
        let notes = match (entry.is_shared(), by_guest) {
            (true, _) => &mut mailbox.notes.shared,
            (false, true) => &mut mailbox.notes.guests,
            (false, false) => &mut mailbox.notes.owners,
        };
        let _ = match value.filter(|_| may) {
            Some(value) => notes.insert(entry.as_str().to_owned(), value),
            None if may => notes.remove(entry.as_str()),
            None => None,
        };
    }

    pub(super) fn compare_notes(&self) {
        let (owner, guest) = (self.as_owner(), self.as_guest());
        let all = |annotations: Annotations| -> BTreeMap<String, Vec<u8>> {
            annotations.entries().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
        };
        for (id, Mailbox { notes, granted, .. }) in &self.mailboxes {
            let of = Annotated::Mailbox(*id);
            assert_eq!(all(owner.annotations(of).unwrap()), notes.seen_with(&notes.owners));
            match guest.annotations(of) {
                Ok(seen) => assert_eq!(all(seen), notes.seen_with(&notes.guests)),
                Err(_) => assert!(!may_use_annotations(granted.unwrap_or_default())),
            }
        }
    }
}

fn may_use_annotations(rights: Rights) -> bool {
    rights.contains(Rights::LOOKUP) && rights.has_any(Rights::parse("rswip").unwrap())
}
