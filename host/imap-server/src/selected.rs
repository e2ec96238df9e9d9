//! The selected mailbox of a session: what it has been told, and how it is told what changes.

use imap_wire::{Condition, Flag, Response, SequenceSet};
use store::{
    Delta, Flags, KeywordTable, Keywords, Listed, MailboxId, ModSeq, Rights, Store, StoreError, Uid, Watch,
};

use crate::io::{End, Io};
use crate::live::AllLive;
use crate::view::{Member, View};

/// Whether a mailbox may be changed: SELECT or EXAMINE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

/// Whether expunges may be told now (RFC 3501 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expunges {
    /// Now.
    Told,
    /// Later: sequence numbers have to hold.
    Kept,
    /// Now, whatever is wished: the command itself removed messages.
    Own,
}

/// What a session wants to hear of the selected mailbox (RFC 5465 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// New messages and expunges.
    pub(crate) messages: bool,
    /// Flags.
    pub(crate) flags: bool,
    /// New messages are fetched as they come.
    pub(crate) fetched: bool,
    /// Expunges only while a command allows it.
    pub(crate) delayed: bool,
}

impl Wishes {
    /// All: as long as NOTIFY has not been used.
    pub(crate) const ALL: Self = Self { messages: true, flags: true, fetched: false, delayed: false };
    /// Nothing.
    pub(crate) const NONE: Self = Self { messages: false, flags: false, fetched: false, delayed: false };
}

/// A selected mailbox.
pub(crate) struct Selected {
    pub(crate) mailbox: MailboxId,
    pub(crate) access: Access,
    /// What SELECT or EXAMINE asked for; rights may leave less.
    pub(crate) asked: Access,
    /// What this session may do here.
    pub(crate) rights: Rights,
    pub(crate) view: View,
    pub(crate) keywords: KeywordTable,
    /// The keywords that the client has been told of.
    told_keywords: KeywordTable,
    /// All changes up to here are in the view.
    modseq: ModSeq,
    /// All changes up to here have been told, expunges too: from here a client may come back.
    settled: ModSeq,
    /// UIDs from here on have not been claimed as `\Recent` from the store.
    unclaimed: u32,
    watch: Watch,
    /// The watch told of a change that was not looked at yet.
    is_stale: bool,
    /// Messages whose flags the client knows already, as they were after that change.
    told: Vec<(Uid, ModSeq)>,
    /// What is told at all.
    wishes: Wishes,
    /// Flags that changed after this have not been told, since they were not wished for.
    quiet_since: Option<ModSeq>,
    /// There are more messages than the client knows of.
    is_unsaid: bool,
    /// New messages that are to be fetched, and those that the session itself has put in.
    fresh: Vec<u32>,
    made: Vec<u32>,
    /// Results that are kept up to date.
    pub(crate) live: AllLive,
}

impl Selected {
    /// From a view, and a watch that was made before it. In the view, messages from `first_recent`
    /// on are `\Recent` here.
    pub(crate) fn new(view: &store::View, first_recent: Uid, watch: Watch, access: Access) -> Self {
        // More than one session may be told first of what comes later: then it is recent in all of
        // them (RFC 3501 §2.3.2).
        let told = View::new(view.uids(), first_recent.0.min(view.uid_next.0));
        Self {
            mailbox: view.mailbox,
            access,
            asked: access,
            rights: Rights::ALL,
            view: told,
            keywords: view.keywords.clone(),
            told_keywords: view.keywords.clone(),
            modseq: view.highest_modseq,
            settled: view.highest_modseq,
            unclaimed: view.uid_next.0,
            watch,
            is_stale: false,
            told: Vec::new(),
            wishes: Wishes::ALL,
            quiet_since: None,
            is_unsaid: false,
            fresh: Vec::new(),
            made: Vec::new(),
            live: AllLive::default(),
        }
    }

    /// Whether there are messages that the client has not been told of.
    pub(crate) fn is_unsaid(&self) -> bool {
        self.is_unsaid
    }

    /// From now on this is told. What was not before and is now comes with the next telling.
    pub(crate) fn wish(&mut self, wishes: Wishes) {
        self.wishes = wishes;
        self.is_stale |=
            wishes.messages && (self.is_unsaid || self.quiet_since.is_some() || self.view.has_gone());
    }

    /// Notes messages that the session itself puts into its mailbox: they are not fetched for it (RFC 5465 §5.2).
    pub(crate) fn makes(&mut self, uids: impl IntoIterator<Item = Uid>) {
        if self.wishes.fetched {
            self.made.extend(uids.into_iter().map(|uid| uid.0));
        }
    }

    /// New messages that are to be fetched.
    pub(crate) fn take_fresh(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.fresh)
    }

    /// Waits until others (or we) change the mailbox.
    pub(crate) async fn changed(&mut self) {
        self.watch.changed().await;
        // Waiting has marked the change as seen; it still has to be told.
        self.is_stale = true;
    }

    /// Whether something has changed that was not looked at yet.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.is_stale || self.watch.has_changed()
    }

    /// Notes what the client knows of already: these messages, as they are now.
    pub(crate) fn knows<'a>(&mut self, messages: impl IntoIterator<Item = &'a Listed>) {
        let news = messages.into_iter().filter(|message| message.modseq > self.modseq);
        self.told.extend(news.map(|message| (message.uid, message.modseq)));
    }

    /// The change up to which the client knows all flags.
    pub(crate) fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The change up to which the client knows all, expunges too (RFC 7162 §6).
    pub(crate) fn settled(&self) -> ModSeq {
        self.settled
    }

    /// RFC 3501 §7.2.6: tells the list of flags where it is not what was told before.
    pub(crate) fn take_keywords(&mut self, io: &mut Io, keywords: KeywordTable) {
        if keywords != self.told_keywords {
            self.told_keywords = keywords.clone();
            io.say(&Response::Flags(all_flags(&keywords)));
        }
        self.keywords = keywords;
    }

    /// Takes names that are told once flags are that have them.
    pub(crate) fn note_keywords(&mut self, keywords: KeywordTable) {
        self.keywords = keywords;
    }

    /// Whether messages came that the store does not know as told yet.
    pub(crate) fn has_unclaimed(&self) -> bool {
        self.access == Access::ReadWrite && self.view.last_uid() >= self.unclaimed
    }

    /// Tells what changed since the last time: expunges where that is allowed now, new messages, flags.
    pub(crate) async fn tell(&mut self, store: &Store, io: &mut Io, expunges: Expunges) -> Result<(), End> {
        let mut new_flags = Vec::new();
        if self.look() {
            self.heed_rights(store, io)?;
            let since = if self.wishes.flags { self.quiet_since.take() } else { None };
            match store.changes_since(self.mailbox, since.unwrap_or(self.modseq)) {
                Ok(delta) => new_flags = self.take(store, io, delta)?,
                Err(StoreError::NotFound(_)) => {
                    return Err(End::Bye("the selected mailbox was deleted".into()));
                }
                // Storage rests: the same changes are asked for next time.
                Err(_) => (self.is_stale, self.quiet_since) = (true, since.or(self.quiet_since)),
            }
        }
        (self.told, self.made) = (Vec::new(), Vec::new());
        let may_tell = match expunges {
            Expunges::Told => self.wishes.messages,
            Expunges::Kept => false,
            Expunges::Own => true,
        };
        if may_tell && self.view.has_gone() {
            self.tell_gone(io).await?;
        }
        for listed in new_flags {
            self.write_flags(io, &listed);
            io.flush_if_full().await?;
        }
        if !self.view.has_gone() {
            self.settled = self.modseq;
        }
        Ok(())
    }

    /// EXPUNGE, or VANISHED to those who asked for it (RFC 7162 §3.2.10, RFC 9586 §3.4).
    async fn tell_gone(&mut self, io: &mut Io) -> Result<(), End> {
        let gone = self.view.take_gone();
        self.live.tell_gone(io, &gone).await?;
        if io.dialect.vanished || io.dialect.uid_only {
            if let Some(uids) = SequenceSet::from_rising(gone.iter().rev().map(|member| member.uid)) {
                io.say(&Response::Vanished { earlier: false, uids });
            }
            return Ok(());
        }
        for member in gone {
            io.say(&Response::Expunge(member.sequence));
            io.flush_if_full().await?;
        }
        Ok(())
    }

    /// Whether to look: the watch said so, and is marked as seen before the look.
    fn look(&mut self) -> bool {
        let changed = self.is_stale || self.watch.has_changed();
        if changed {
            self.watch.mark_seen();
            self.is_stale = false;
        }
        changed
    }

    /// Takes changes into the view; tells of new messages, and gives those whose new flags are to be told.
    fn take(&mut self, store: &Store, io: &mut Io, delta: Delta) -> Result<Vec<Listed>, End> {
        let before_modseq = std::mem::replace(&mut self.modseq, delta.highest_modseq);
        if self.wishes.messages {
            self.take_keywords(io, delta.keywords);
        } else {
            self.note_keywords(delta.keywords);
        }
        let before = (self.view.len(), self.view.recent());
        let mut new_flags = Vec::new();
        self.told.sort_unstable();
        self.made.sort_unstable();
        let mut told = self.told.iter().peekable();
        for listed in delta.changed {
            // What changed rises as what was told does.
            while told.next_if(|(uid, _)| *uid < listed.uid).is_some() {}
            let mut is_told = false;
            while let Some((_, modseq)) = told.next_if(|(uid, _)| *uid == listed.uid) {
                is_told |= *modseq == listed.modseq;
            }
            let is_new = self.view.add(listed.uid.0);
            self.live.note(listed.uid.0);
            if is_new && self.wishes.fetched && self.made.binary_search(&listed.uid.0).is_err() {
                self.fresh.push(listed.uid.0);
            }
            if !is_new && !is_told {
                new_flags.push(listed);
            }
        }
        if delta.complete {
            self.view.note_gone(delta.expunged.into_iter().map(|uid| uid.0));
        } else {
            self.note_all_gone(store)?;
        }
        let after = (self.view.len(), self.view.recent());
        self.is_unsaid |= after.0 != before.0;
        if !self.wishes.flags && !new_flags.is_empty() {
            self.quiet_since.get_or_insert(before_modseq);
            new_flags = Vec::new();
        }
        if self.wishes.messages && std::mem::take(&mut self.is_unsaid) {
            io.say(&Response::Exists(after.0));
            if !io.dialect.rev2 {
                io.say(&Response::Recent(after.1));
            }
        }
        Ok(new_flags)
    }

    /// The log of expunges was cut: what is not in the store has gone.
    fn note_all_gone(&mut self, store: &Store) -> Result<(), End> {
        let now = match store.view(self.mailbox) {
            Ok(view) => view.messages,
            Err(_) => return Err(End::Bye("the selected mailbox cannot be read any more".into())),
        };
        let is_gone = |uid: &u32| now.binary_search_by_key(uid, |listed| listed.uid.0).is_err();
        let gone: Vec<u32> = self.view.members().map(|member| member.uid).filter(is_gone).collect();
        self.view.note_gone(gone);
        Ok(())
    }

    /// A message's flags, with its UID; and its mod-sequence, to those who asked for it (RFC 7162 §3.2.4).
    pub(crate) fn write_flags(&self, io: &mut Io, listed: &Listed) {
        let Some(sequence) = self.view.sequence_of(listed.uid.0) else { return };
        let flags = self.flags(listed.uid.0, listed.flags, listed.keywords);
        let with_modseq = io.dialect.modseq;
        let mut fetch = io.fetch_response(Member { sequence, uid: listed.uid.0 }, true);
        let out = io.out();
        fetch.flags(out, &flags);
        if with_modseq {
            fetch.modseq(out, listed.modseq.0);
        }
        fetch.end(out);
    }

    /// A message's flags as this session sees them.
    pub(crate) fn flags(&self, uid: u32, flags: Flags, keywords: Keywords) -> Vec<Flag> {
        let mut all: Vec<Flag> = system_flags(flags);
        if self.view.is_recent(uid) {
            all.push(Flag::Recent);
        }
        all.extend(self.keywords.names(keywords).map(|name| Flag::Keyword(name.to_owned())));
        all
    }

    /// Tells that another mailbox's responses follow, or none (RFC 7162 §3.2.11).
    pub(crate) fn say_closed(io: &mut Io) {
        io.status(None, Condition::Ok, Some(imap_wire::Code::Closed), "the mailbox is no longer selected");
    }
}

/// The system flags with their bits.
pub(crate) const SYSTEM_FLAGS: [(Flag, Flags); 5] = [
    (Flag::Answered, Flags::ANSWERED),
    (Flag::Flagged, Flags::FLAGGED),
    (Flag::Deleted, Flags::DELETED),
    (Flag::Seen, Flags::SEEN),
    (Flag::Draft, Flags::DRAFT),
];

fn system_flags(flags: Flags) -> Vec<Flag> {
    SYSTEM_FLAGS.iter().filter(|(_, bit)| flags.contains(*bit)).map(|(flag, _)| flag.clone()).collect()
}

/// All flags that messages of the mailbox may have.
pub(crate) fn all_flags(keywords: &KeywordTable) -> Vec<Flag> {
    let mut all = system_flags(Flags::ALL);
    all.extend(keywords.all().map(|name| Flag::Keyword(name.to_owned())));
    all
}

/// Flags from the client, as the store keeps them.
pub(crate) fn split_flags(flags: &[Flag]) -> Result<(Flags, Vec<String>), &'static str> {
    let (mut system, mut keywords) = (Flags::NONE, Vec::new());
    for flag in flags {
        match flag {
            Flag::Keyword(name) => keywords.push(name.clone()),
            Flag::Recent => return Err("\\Recent is the server's to give"),
            Flag::Extension(_) => return Err("unknown system flag"),
            known => {
                let bit =
                    SYSTEM_FLAGS.iter().find(|(flag, _)| flag == known).map_or(Flags::NONE, |(_, bit)| *bit);
                system = system.with(bit);
            }
        }
    }
    Ok((system, keywords))
}
