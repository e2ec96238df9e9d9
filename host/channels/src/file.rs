//! Delivery to files: appended to a mailbox file, or put into a Maildir, below the roots that the operator lists (R67).
//!
//! At least once: a repeat after a crash is recognised in both kinds (see [`mbox`] and [`maildir`]), but for a message
//! that others have changed or taken away meanwhile.

mod maildir;
mod mbox;
mod place;
mod unfinished;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use mail_types::{ChannelName, EnhancedStatus, Recipient, Reply};
use queue::{Attempt, BoxFuture, Channel, Duty, Outcome, Reach};
use runtime::BeneathError;

pub use place::FilePath;
use place::{Lost, Place};

use crate::final_copy::FinalCopy;
use crate::named::Named;
use crate::outcome::{deferred, failed};

/// Where files may be, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Folders below which files are; nothing is written elsewhere.
    pub roots: Vec<PathBuf>,
    /// Whether any file below the roots may be named by its path, another account's too; else registered names alone.
    pub free_paths: bool,
    /// Registered files by their names, each below one of the roots.
    pub files: BTreeMap<String, FilePath>,
    /// Largest mailbox file, and largest message of a Maildir, in octets.
    pub size_max: u64,
    /// How long a mailbox file may be locked by others.
    pub lock_wait: Duration,
    /// Our name, in names of files of a Maildir.
    pub host: String,
}

impl FileOptions {
    /// Looks at a file as an entry would name it, without writing: what keeps mail from it now, though that may change.
    /// Blocks as long as the disk takes.
    ///
    /// # Errors
    /// Why no mail is ever written there.
    pub fn examine(&self, name: &str, account: &str) -> Result<Option<String>, String> {
        let named = Named { account: account.to_owned(), name: name.to_owned() };
        let place = match Place::find(self, &named) {
            Ok(place) => place,
            Err(Lost::Unregistered) => return Err("nothing is registered under this name".to_owned()),
            Err(Lost::Unfit(what)) => return Err(what),
        };
        match place.folder() {
            Ok(_) => Ok(None),
            Err(BeneathError::Unfit(what)) => Err(what.to_owned()),
            Err(BeneathError::Io(error)) => Ok(Some(format!("its folder cannot be opened: {error}"))),
        }
    }
}

/// Appends to files.
pub struct FileChannel {
    options: Arc<FileOptions>,
    events: Events,
}

/// Why a file has not got the message.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It is nothing that we write to.
    #[error("{0}")]
    Unfit(String),
    /// Somebody else keeps it locked.
    #[error("it is locked by others")]
    Locked,
    /// It would be larger than it may be.
    #[error("it would be larger than {0} octets")]
    Full(u64),
    /// The system, for now.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<BeneathError> for Trouble {
    fn from(error: BeneathError) -> Self {
        match error {
            BeneathError::Unfit(what) => Self::Unfit(what.to_owned()),
            BeneathError::Io(error) => Self::Io(error),
        }
    }
}

/// Whether the message was written now, or is there from an attempt whose end was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Now,
    Before,
}

impl FileChannel {
    /// Below these roots.
    #[must_use]
    pub fn new(options: FileOptions, events: Events) -> Self {
        Self { options: Arc::new(options), events }
    }

    async fn deliver(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let Some(named) = Named::of(&attempt.route, recipient) else {
            return deferred((3, 5), "The route names no file", "no name", Reach::Recipient);
        };
        let place = match Place::find(&self.options, &named) {
            Ok(place) => place,
            Err(Lost::Unregistered) => {
                let cause = format!("there is no file {:?} in the configuration", named.name);
                self.tell(attempt, &named, &cause);
                return deferred((3, 5), "The file is not registered here", cause, Reach::Recipient);
            }
            Err(Lost::Unfit(what)) => return self.refuse(attempt, &named, &what),
        };
        let copy = FinalCopy::of(attempt, recipient);
        let written = if place.is_maildir {
            let (place, id, host) = (place, attempt.id, self.options.host.clone());
            let (address, arrived, most) =
                (recipient.address.to_key(), attempt.arrived, self.options.size_max);
            blocking(move || {
                let name = maildir::name(arrived, id, &address, &host);
                maildir::put(&place, &name, &copy, most)
            })
            .await
        } else {
            mbox::append(place, copy, attempt, &self.options).await
        };
        match written {
            Ok(written) => {
                let text =
                    if written == Written::Now { "Written to the file" } else { "The file has it already" };
                let reply = Reply::new(250, EnhancedStatus::success(0, 0), text);
                Outcome::Delivered { reply, remote: None, duty: Duty::Delivered }
            }
            Err(Trouble::Unfit(what)) => self.refuse(attempt, &named, &what),
            Err(trouble) => passing(&trouble, &named),
        }
    }

    /// Never: senders are not told where on the disk.
    fn refuse(&self, attempt: &Attempt, named: &Named, what: &str) -> Outcome {
        self.tell(attempt, named, what);
        let cause = format!("file {:?} of {}: {what}", named.name, named.account);
        failed(550, (7, 1), "The file that the recipient names is none that mail is written to", cause)
    }

    fn tell(&self, attempt: &Attempt, named: &Named, cause: &str) {
        let (id, Named { account, name }) = (attempt.id, named);
        self.events.emit(&Event::TargetRefused {
            id,
            account,
            channel: ChannelName::FILE,
            target: name,
            cause,
        });
    }
}

fn passing(trouble: &Trouble, named: &Named) -> Outcome {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    let (status, text) = match trouble {
        Trouble::Full(_) => ((2, 2), "The file is full"),
        Trouble::Locked => ((2, 0), "The file is in use"),
        Trouble::Io(error) if full.contains(&error.kind()) => ((3, 1), "There is no room for it now"),
        Trouble::Io(_) | Trouble::Unfit(_) => ((3, 0), "The file cannot be written now"),
    };
    let cause = format!("file {:?} of {}: {trouble}", named.name, named.account);
    deferred(status, text, cause, Reach::Recipient)
}

/// Files block; sessions run on this thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Channel for FileChannel {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                outcomes.push(self.deliver(attempt, recipient).await);
            }
            outcomes
        })
    }
}

#[cfg(test)]
mod tests;
