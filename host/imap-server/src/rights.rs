//! What the rights to the selected mailbox mean for its session (RFC 4314 §4, §5). Each command is
//! held against them by the store; here is what the client is told.

use imap_wire::{Code, Condition, Flag, Response};
use store::{Rights, Store, StoreError};

use crate::io::{End, Io};
use crate::selected::{Access, SYSTEM_FLAGS, Selected, all_flags};

/// With one of these there is something to change. `s` is for the reader alone.
const CHANGING: Rights =
    Rights::SEEN.with(Rights::WRITE).with(Rights::INSERT).with(Rights::DELETE_MESSAGES).with(Rights::EXPUNGE);

impl Selected {
    /// Takes rights over: they may leave less than was asked for.
    pub(crate) fn limit(&mut self, rights: Rights) {
        self.rights = rights;
        self.access = if rights.has_any(CHANGING) { self.asked } else { Access::ReadOnly };
    }

    /// RFC 4314 §5.2: READ-ONLY where nothing can be changed that others see. `\Seen` may be kept
    /// all the same: PERMANENTFLAGS says so.
    pub(crate) fn access_code(&self) -> Code {
        let others_see = self.rights.has_any(CHANGING.without(Rights::SEEN));
        if self.access == Access::ReadWrite && others_see { Code::ReadWrite } else { Code::ReadOnly }
    }

    /// The flags that this session may change for good (RFC 4314 §5.1.1).
    pub(crate) fn permanent_flags(&self, store: &Store) -> Code {
        if self.access == Access::ReadOnly {
            return Code::PermanentFlags { flags: Vec::new(), new_keywords: false };
        }
        let may = self.rights.flags();
        let mut flags = all_flags(&self.keywords);
        let is_permitted = |flag: &Flag| match SYSTEM_FLAGS.iter().find(|(known, _)| known == flag) {
            Some((_, bit)) => may.contains(*bit),
            None => self.rights.contains(Rights::WRITE),
        };
        flags.retain(is_permitted);
        // RFC 9051 §7.1: `\*` says that new keywords can be made. Where storage rests, that is found out by who tries.
        let new_keywords =
            self.rights.contains(Rights::WRITE) && store.takes_keywords(self.mailbox).unwrap_or(true);
        Code::PermanentFlags { flags, new_keywords }
    }

    /// Looks whether somebody has changed the rights (RFC 4314 §5.1.1): tells which flags may be
    /// changed now, or ends the session that may not read any more.
    pub(crate) fn heed_rights(&mut self, store: &Store, io: &mut Io) -> Result<(), End> {
        match store.rights(self.mailbox) {
            Ok(rights) if !rights.contains(Rights::READ) => Err(no_longer()),
            Err(StoreError::NotFound(_)) => Err(no_longer()),
            Ok(rights) if rights != self.rights => {
                self.limit(rights);
                io.say(&Response::Flags(all_flags(&self.keywords)));
                let code = self.permanent_flags(store);
                io.status(None, Condition::Ok, Some(code), "your rights have changed");
                Ok(())
            }
            // Storage that rests is found out by the command itself.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn no_longer() -> End {
    End::Bye("the selected mailbox was deleted, or may not be read any more".into())
}
