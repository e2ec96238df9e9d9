//! Taking mail over: the source, mailbox by mailbox, into an account.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use store::{AccountId, MailboxName, Store};

use crate::error::MigrationError;
use crate::filing::{Imported, Target};
use crate::imap_client::ImapServer;
use crate::tell::Tell;
use crate::{imap_source, maildir_source, mbox_source};

/// Where mail comes from.
#[derive(Clone)]
pub enum Source {
    /// A Maildir++ tree, or one whose folders lie within each other.
    Maildir(PathBuf),
    /// An mbox file, or a folder of them.
    Mbox(PathBuf),
    /// An account of another IMAP server.
    Imap(ImapServer),
}

/// What of a source is taken again, though it came before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Anew {
    /// Nothing.
    #[default]
    Nothing,
    /// All of it.
    All,
    /// What goes to this mailbox, by its name here.
    Mailbox(MailboxName),
}

/// An import.
pub struct Import<'i> {
    /// Into which store.
    pub store: &'i Store,
    /// Into whose mailboxes.
    pub account: AccountId,
    /// From where.
    pub source: &'i Source,
    /// Below which mailbox the source's mailboxes shall be, its INBOX included; the root where absent.
    pub below: Option<MailboxName>,
    /// Largest message that is taken, in octets.
    pub octets_max: u64,
    /// Only look what would come.
    pub dry_run: bool,
    /// What is taken again.
    pub anew: Anew,
}

/// Takes over what has not come before.
///
/// # Errors
/// The source cannot be read, has changed under what was imported already, or the store does not take it. All that was
/// committed stays, and the same import goes on from there.
pub async fn import(order: &Import<'_>, tell: Tell<'_>) -> Result<Imported, MigrationError> {
    let target = Target {
        store: order.store.clone(),
        account: order.account,
        octets_max: order.octets_max,
        dry_run: order.dry_run,
        anew: order.anew.clone(),
        has_forgotten: AtomicBool::new(false),
    };
    let names = Names { below: order.below.clone() };
    let outcome = match order.source {
        Source::Maildir(root) => maildir_source::import(&target, &names, root, tell).await,
        Source::Mbox(place) => mbox_source::import(&target, &names, place, tell).await,
        Source::Imap(server) => imap_source::import(&target, &names, server, tell).await,
    };
    let has_forgotten = target.has_forgotten.load(Ordering::Relaxed);
    outcome.map_err(|e| if has_forgotten { MigrationError::BegunAnew(Box::new(e)) } else { e })
}

/// How mailboxes of the source are called here.
pub(crate) struct Names {
    below: Option<MailboxName>,
}

impl Names {
    /// The name here; why there is none, where it breaks a rule.
    pub(crate) fn of(&self, source: &str) -> Result<MailboxName, String> {
        let whole = match &self.below {
            Some(below) => format!("{below}/{source}"),
            None => source.to_owned(),
        };
        let name = MailboxName::new(&whole).and_then(|name| name.may_be_given().map(|()| name));
        name.map_err(|e| format!("the mailbox {source:?} was left out: {e}"))
    }
}

/// Does blocking work on files where it keeps nobody waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, MigrationError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    done.map_err(|e| MigrationError::file(place, e))
}
