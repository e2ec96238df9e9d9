//! Copying and moving messages: their content stays where it is.

use storage::{Committed, Drawn, Patch, PatchInto, Snapshot};

use crate::accounts::Usage;
use crate::append::uid_of;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::expunge::{Doomed, Reference};
use crate::feed::MessageEvents;
use crate::ids::{Flags, MailboxId, Uid, UidValidity};
use crate::keywords::{KeywordTable, Keywords, WithoutBit, names_added};
use crate::mailboxes::read_mailbox;
use crate::messages::Records;
use crate::quota::Room;
use crate::record::{MessageRecord, RECORD_MODSEQ_AT};
use crate::rights::Rights;
use crate::seen::NewlySeen;
use crate::{COMMIT_MESSAGES_MAX, Store, keys};

/// Most messages that are copied at once: a copy is made whole or not at all (RFC 3501 §6.4.7).
pub(crate) const COPY_MESSAGES_MAX: usize = 200_000;

/// What a copy made (RFC 4315 §3, COPYUID).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The UIDVALIDITY of the target.
    pub uid_validity: UidValidity,
    /// Source and target of each message that existed, in the order of the UIDs given.
    pub uids: Vec<(Uid, Uid)>,
}

/// A message of the source, kept beyond its snapshot.
struct Found {
    uid: Uid,
    octets: Vec<u8>,
}

/// One commit of a transfer.
struct Transfer {
    draft: Draft,
    /// Source and target of each message.
    drawn: Vec<(Uid, Drawn)>,
    /// Held until the commit.
    room: Option<Room>,
}

impl Store {
    /// Copies messages into another mailbox, or the same one: all or none. Flags, keywords and
    /// dates go along (RFC 3501 §6.4.7), as far as the rights to the target allow (RFC 4314 §4, COPY). UIDs that do
    /// not exist are passed over.
    pub async fn copy(&self, from: MailboxId, uids: &[Uid], to: MailboxId) -> Result<Copied, StoreError> {
        if uids.len() > COPY_MESSAGES_MAX {
            return Err(StoreError::TooMany { what: "messages to copy at once", max: COPY_MESSAGES_MAX });
        }
        self.transfer(from, uids, to, Reference::Released, COPY_MESSAGES_MAX).await
    }

    /// Moves messages into another mailbox (RFC 6851): each is in exactly one of the two at any
    /// moment. Very many go in several commits.
    pub async fn move_(&self, from: MailboxId, uids: &[Uid], to: MailboxId) -> Result<Copied, StoreError> {
        self.transfer(from, uids, to, Reference::HandedOn, COMMIT_MESSAGES_MAX).await
    }

    async fn transfer(
        &self,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        reference: Reference,
        commit_max: usize,
    ) -> Result<Copied, StoreError> {
        let (held, other) = self.inner.locks.lock_both(from.account, to.account).await;
        self.transfer_held((held, other), from, uids, to, reference, commit_max).await
    }

    #[allow(clippy::too_many_arguments, reason = "the locks come on top of what a transfer is")]
    pub(crate) async fn transfer_held(
        &self,
        locks: (crate::locks::Held, Option<crate::locks::Held>),
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        reference: Reference,
        commit_max: usize,
    ) -> Result<Copied, StoreError> {
        let (mut held, mut other) = locks;
        let mut copied =
            Copied { uid_validity: self.target(from, to, reference)?, uids: Vec::with_capacity(uids.len()) };
        for chunk in uids.chunks(commit_max) {
            let Transfer { draft, drawn, room } = self.draft_transfer(from, chunk, to, reference)?;
            if drawn.is_empty() {
                continue;
            }
            let committed: Committed;
            (committed, held, other) = self.commit_both(draft, held, other).await?;
            drop(room);
            copied.uids.extend(drawn.into_iter().map(|(source, uid)| (source, uid_of(&committed, uid))));
        }
        drop((held, other));
        Ok(copied)
    }

    /// The UIDVALIDITY of a target that can take messages.
    fn target(
        &self,
        from: MailboxId,
        to: MailboxId,
        reference: Reference,
    ) -> Result<UidValidity, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, from)?;
        let record = read_mailbox(&snapshot, to)?;
        // RFC 6851 §4.2: moving needs what copying, flagging and expunging need.
        let leaving = match reference {
            Reference::Released => Rights::NONE,
            Reference::HandedOn => Rights::DELETE_MESSAGES.with(Rights::EXPUNGE),
        };
        self.allow(&snapshot, from, Rights::READ.with(leaving))?;
        self.allow(&snapshot, to, Rights::INSERT)?;
        if record.selectable { Ok(record.uid_validity) } else { Err(StoreError::NotSelectable) }
    }

    fn draft_transfer(
        &self,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        reference: Reference,
    ) -> Result<Transfer, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut draft = Draft::new();
        let found = find(&snapshot, from, uids)?;
        if found.is_empty() {
            return Ok(Transfer { draft, drawn: Vec::new(), room: None });
        }
        let rights = self.allow(&snapshot, to, Rights::INSERT)?;
        let own = self.seen_in(&snapshot, from)?;
        let (is_guest, mut seen) = (self.guest_of(to.account).is_some(), NewlySeen::default());
        let (names, table) = keyword_tables(&snapshot, &mut draft, (from, to, rights), &found)?;
        draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(to));
        let modseq = draft.touch(to, MessageEvents::NEW);
        let now = self.inner.clock.now();
        let mut counts = [(keys::COUNT, 0), (keys::UNSEEN, 0), (keys::DELETED, 0), (keys::OCTETS, 0)];
        let (mut drawn, mut doomed) = (Vec::with_capacity(found.len()), Vec::new());
        for message in &found {
            let record = MessageRecord::parse(&message.octets)?;
            let keywords = if !rights.contains(Rights::WRITE) {
                Keywords::NONE
            } else if from == to {
                record.keywords
            } else {
                table.find_all(&names.names(record.keywords).collect::<Vec<_>>())
            };
            let (mut flags, mut modseq_seen) = (record.flags, record.modseq);
            if let Some(own) = &own {
                own.apply(message.uid, &mut flags, &mut modseq_seen);
            }
            flags = flags.within(rights.flags());
            let uid = draft.batch.draw(keys::COUNTERS, &keys::mailbox(to), keys::LAST_UID);
            seen.add(uid, is_guest && flags.contains(Flags::SEEN));
            if is_guest {
                flags = flags.without(Flags::SEEN);
            }
            let target = MessageRecord { flags, keywords, save_date: now, ..record };
            let patch = |into, at, width, drawn| Patch { into, at, width, drawn };
            let patches = [
                patch(PatchInto::Key, keys::UID_AT, 4, uid),
                patch(PatchInto::Value, RECORD_MODSEQ_AT, 8, modseq),
            ];
            draft.batch.put_drawn(keys::MESSAGES, &keys::message(to, Uid(0)), target.to_octets(), &patches);
            counts[0].1 += 1;
            counts[1].1 += i64::from(!flags.contains(Flags::SEEN));
            counts[2].1 += i64::from(flags.contains(Flags::DELETED));
            counts[3].1 += i64::try_from(record.size).unwrap_or(i64::MAX);
            drawn.push((message.uid, uid));
            match reference {
                Reference::Released => draft.batch.retain_content(record.content, 1),
                Reference::HandedOn => doomed.push(Doomed::of(message.uid, &record)),
            }
        }
        // A move within an account takes up no more than before.
        let room = if reference == Reference::Released || from.account != to.account {
            let sum = |at: usize| u64::try_from(counts[at].1).unwrap_or(u64::MAX);
            Some(self.take_owners_room(to.account, Usage { messages: sum(0), octets: sum(3) })?)
        } else {
            None
        };
        self.count(&mut draft.batch, to, &counts)?;
        self.draft_newly_seen(&snapshot, &mut draft, to, &seen, modseq)?;
        if !doomed.is_empty() {
            self.draft_removal(&snapshot, &mut draft, from, &doomed, Reference::HandedOn)?;
        }
        Ok(Transfer { draft, drawn, room })
    }
}

fn find(snapshot: &Snapshot, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::with_capacity(uids.len());
    let mut known = std::collections::HashSet::with_capacity(uids.len());
    let records = Records::of(snapshot, mailbox)?;
    for uid in uids.iter().filter(|uid| known.insert(**uid)) {
        found.extend(records.get(*uid, |record| Found { uid: *uid, octets: record.to_octets() })?);
    }
    Ok(found)
}

/// The names of the source's keywords, and the target's table with all of them that are used, as far as there are bits: a message
/// goes without the others, rather than not at all (RFC 3501 §6.4.7: flags SHOULD be kept).
fn keyword_tables(
    snapshot: &Snapshot,
    draft: &mut Draft,
    (from, to, rights): (MailboxId, MailboxId, Rights),
    found: &[Found],
) -> Result<(KeywordTable, KeywordTable), StoreError> {
    let source = KeywordTable::read(snapshot, from)?;
    if !rights.contains(Rights::WRITE) {
        // No copy will have a keyword, so the target gets none (RFC 4314 §4, COPY).
        return Ok((source, KeywordTable::default()));
    }
    let mut used = Keywords::NONE;
    for message in found {
        used = used.with(MessageRecord::parse(&message.octets)?.keywords);
    }
    let names: Vec<&str> = source.names(used).collect();
    let table = names_added(snapshot, draft, to, &names, WithoutBit::LeaveOut)?;
    Ok((source, table))
}
