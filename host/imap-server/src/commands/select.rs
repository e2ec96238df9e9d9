//! SELECT, EXAMINE, CLOSE, UNSELECT (RFC 3501 §6.3.1, §6.3.2, §6.4.2, RFC 3691, RFC 7162 §3.2.5).

use imap_wire::{Code, Condition, MailboxName, Response, SelectParameters};
use store::{MailboxId, Rights, StoreError, View};

use super::resync::resynchronize;
use super::{list, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::object_ids::mailbox_id;
use crate::selected::{Access, Selected, all_flags};
use crate::session::{Session, State};

impl Session {
    /// Selects a mailbox. One that was selected is let go first, also where this fails.
    pub(crate) async fn select(
        &mut self,
        name: &MailboxName,
        access: Access,
        parameters: &SelectParameters,
    ) -> Result<Answer, End> {
        if parameters.qresync.is_some() && !self.io.dialect.vanished {
            // RFC 7162 §3.2.5: nothing is deselected by it.
            return Ok(Answer::bad("ENABLE QRESYNC comes first"));
        }
        self.release().await;
        let State::Authenticated(login) = &self.state else { return Ok(Answer::bad("log in first")) };
        let store = &self.shared.parts.store;
        let opened = match store.find_shared(login.account, name.as_str()) {
            Ok(mailbox) => open(store, mailbox.id, access).await,
            Err(error) => Err(error),
        };
        let selected = match opened {
            Ok((view, mut selected)) => {
                if self.io.dialect.rev2 {
                    selected.view.forget_recent();
                }
                selected.wish(self.wishes());
                self.tell_selected(&view, &selected);
                if self.io.dialect.rev2 {
                    list::tell_selected(&mut self.io, name);
                }
                if let Some(known) = &parameters.qresync {
                    let known = (known, view.uid_validity.0);
                    let store = self.shared.parts.store.clone();
                    if let Err(error) = resynchronize(&store, &mut self.io, &selected, known).await? {
                        return Ok(refusal(&error));
                    }
                }
                selected
            }
            Err(error) => return Ok(refusal(&error)),
        };
        let code = selected.access_code();
        if let State::Authenticated(login) = std::mem::replace(&mut self.state, State::NotAuthenticated) {
            self.state = State::Selected(login, Box::new(selected));
        }
        Ok(match access {
            Access::ReadWrite => Answer::ok("SELECT done").code(code),
            Access::ReadOnly => Answer::ok("EXAMINE done").code(code),
        })
    }

    /// The responses that RFC 3501 §6.3.1 requires.
    fn tell_selected(&mut self, view: &View, selected: &Selected) {
        let io = &mut self.io;
        io.say(&Response::Flags(all_flags(&view.keywords)));
        io.say(&Response::Exists(selected.view.len()));
        if !io.dialect.rev2 {
            io.say(&Response::Recent(selected.view.recent()));
        }
        let unnumbered = io.dialect.rev2 || io.dialect.uid_only;
        let permanent_flags = selected.permanent_flags(&self.shared.parts.store);
        let mut ok = |code, text| io.status(None, Condition::Ok, Some(code), text);
        // IMAP4rev2 has no UNSEEN there (RFC 9051 appendix E); and it is a message number (RFC 9586 §3).
        if let Some(sequence) =
            view.first_unseen.filter(|_| !unnumbered).and_then(|place| u32::try_from(place + 1).ok())
        {
            ok(Code::Unseen(sequence), "first unseen");
        }
        ok(permanent_flags, "flags that are kept");
        ok(Code::UidValidity(view.uid_validity.0), "UIDs are valid");
        ok(Code::UidNext(view.uid_next.0), "the next UID at least");
        ok(Code::HighestModSeq(view.highest_modseq.0), "the last change");
        ok(Code::MailboxId(mailbox_id(view.mailbox)), "the mailbox");
    }

    /// Lets go of the selected mailbox, without expunging.
    pub(crate) async fn release(&mut self) {
        if !matches!(self.state, State::Selected(..)) {
            return;
        }
        if let State::Selected(login, selected) = std::mem::replace(&mut self.state, State::NotAuthenticated)
        {
            claim_recent(&self.shared.parts.store, &selected).await;
            Selected::say_closed(&mut self.io);
            self.state = State::Authenticated(login);
        }
    }

    /// Lets go of the selected mailbox where a command of this very session has taken it away, or the right to read it: the
    /// command is answered, and the session goes on (RFC 9051 §6.3.5, §7.1).
    pub(crate) async fn release_if_gone(&mut self) {
        let State::Selected(_, selected) = &self.state else { return };
        let is_gone = match self.shared.parts.store.rights(selected.mailbox) {
            Ok(rights) => !rights.contains(Rights::READ),
            Err(error) => matches!(error, StoreError::NotFound(_)),
        };
        if is_gone {
            self.release().await;
        }
    }

    /// Expunges without telling, and lets go (RFC 3501 §6.4.2).
    pub(crate) async fn close(&mut self) -> Result<Answer, End> {
        let State::Selected(login, selected) = std::mem::replace(&mut self.state, State::NotAuthenticated)
        else {
            return Ok(Answer::bad("select a mailbox first"));
        };
        self.state = State::Authenticated(login);
        let store = &self.shared.parts.store;
        claim_recent(store, &selected).await;
        if selected.access == Access::ReadWrite
            && let Err(error) = store.expunge(selected.mailbox, None).await
            // RFC 4314 §4: without the right to expunge, nothing is expunged.
            && !matches!(error, StoreError::NotFound(_) | StoreError::NotPermitted(_))
        {
            return Ok(refusal(&error));
        }
        Ok(Answer::ok("CLOSE done"))
    }

    /// RFC 3691.
    pub(crate) async fn unselect(&mut self) -> Answer {
        let State::Selected(login, selected) = std::mem::replace(&mut self.state, State::NotAuthenticated)
        else {
            return Answer::bad("select a mailbox first");
        };
        self.state = State::Authenticated(login);
        claim_recent(&self.shared.parts.store, &selected).await;
        Answer::ok("UNSELECT done")
    }
}

async fn open(
    store: &store::Store,
    mailbox: MailboxId,
    access: Access,
) -> Result<(View, Selected), StoreError> {
    // The watch comes first, so that no change falls between it and the view.
    let watch = store.watch(mailbox);
    let view = store.view(mailbox)?;
    let rights = store.rights(mailbox)?;
    let mut first_recent = view.first_recent;
    if access == Access::ReadWrite && first_recent < view.uid_next {
        first_recent = store.take_recent(mailbox).await?;
    }
    let mut selected = Selected::new(&view, first_recent, watch, access);
    selected.limit(rights);
    Ok((view, selected))
}

/// Messages that this session was told of as recent are so for no later one. Lost where storage
/// rests just now: `\Recent` is then given twice, which RFC 3501 §2.3.2 allows.
pub(crate) async fn claim_recent(store: &store::Store, selected: &Selected) {
    if selected.has_unclaimed() {
        let _ = store.take_recent(selected.mailbox).await;
    }
}
