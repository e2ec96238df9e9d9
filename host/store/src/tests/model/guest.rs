//! What somebody who was given rights reads, in the model.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::tests::add;
use crate::*;

impl World {
    /// The guest's `\Seen` goes as far as rights do, and is nobody else's.
    pub(super) async fn read(&mut self, at: usize, messages: &[usize], mode: u8) {
        let at = self.at(at);
        let uids = self.uids(at, messages);
        let mode = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace][usize::from(mode)];
        let stored = self.as_guest().store_flags(at, &uids, &FlagChange { mode, ..add(Flags::SEEN) }).await;
        let mailbox = self.mailboxes.get_mut(&at).unwrap();
        let rights = mailbox.granted.unwrap_or_default();
        let may = match mode {
            FlagMode::Replace => rights.flags() != Flags::NONE,
            _ => rights.contains(Rights::SEEN),
        };
        assert_eq!(stored.is_ok(), may && rights.contains(Rights::READ), "{rights}");
        if stored.is_err() {
            return;
        }
        for uid in uids {
            let Some(known) = mailbox.messages.get_mut(&uid) else { continue };
            if rights.contains(Rights::SEEN) {
                let _ = if mode == FlagMode::Remove {
                    mailbox.read.remove(&uid)
                } else {
                    mailbox.read.insert(uid)
                };
            }
            if mode == FlagMode::Replace {
                known.flags = known.flags.without(rights.flags().without(Flags::SEEN));
                if rights.contains(Rights::WRITE) {
                    known.keywords.clear();
                }
            }
        }
    }

    /// What the guest sees is what they have read; no mod-sequence falls, and every change is told.
    pub(super) fn compare_guest(&mut self) {
        let guest = self.as_guest();
        let mut listed: BTreeSet<MailboxId> = BTreeSet::new();
        for (id, mailbox) in &mut self.mailboxes {
            let rights = mailbox.granted.unwrap_or_default();
            if rights.contains(Rights::LOOKUP) {
                listed.insert(*id);
            }
            if !rights.contains(Rights::READ) {
                assert!(guest.view(*id).is_err() && guest.status(*id).is_err());
                continue;
            }
            mailbox.read.retain(|uid| mailbox.messages.contains_key(uid));
            let view = guest.view(*id).unwrap();
            let now: BTreeMap<Uid, (bool, ModSeq)> = view
                .messages
                .iter()
                .map(|listed| (listed.uid, (listed.flags.contains(Flags::SEEN), listed.modseq)))
                .collect();
            let read: BTreeSet<Uid> =
                now.iter().filter(|(_, (seen, _))| *seen).map(|(uid, _)| *uid).collect();
            assert_eq!(read, mailbox.read);
            assert_eq!(guest.status(*id).unwrap().unseen, (now.len() - read.len()) as u64);
            let (since, before) = std::mem::take(&mut mailbox.guest_seen);
            let told: BTreeSet<Uid> =
                guest.changes_since(*id, since).unwrap().changed.iter().map(|listed| listed.uid).collect();
            for (uid, (seen, modseq)) in &now {
                let old = before.get(uid);
                assert!(old.is_none_or(|(_, old)| modseq >= old) && *modseq <= view.highest_modseq);
                assert!(told.contains(uid) || old.is_some_and(|(old, _)| old == seen));
            }
            mailbox.guest_seen = (view.highest_modseq, now);
        }
        let granted = guest.granted().unwrap();
        let shown = granted.iter().filter(|granted| granted.info.selectable).map(|granted| granted.info.id);
        assert_eq!(shown.collect::<BTreeSet<_>>(), listed);
    }
}
