//! The commands, a file a family.

mod acl;
mod append;
mod authenticate;
mod binary;
mod catenate;
mod copy;
mod expunge;
mod extract;
mod extracts;
mod fetch;
mod idle;
mod lacks;
mod list;
mod mailboxes;
mod metadata;
mod notify;
mod quota;
mod resync;
mod search;
mod section;
mod select;
mod session_commands;
mod status;
mod store_flags;

use auth::LoggedIn;
use imap_wire::{Code, Command, Limits, MailboxName, Tag};
use storage::StorageError;
use store::{AccountId, MailboxInfo, StoreError};

use crate::answer::Answer;
use crate::io::{End, Io};
use crate::options::Options;
use crate::selected::Selected;
use crate::server::{AccountSession, Shared};

pub(crate) use search::update;
pub(crate) use select::claim_recent;
pub(crate) use session_commands::id;

/// Who has logged in.
pub(crate) struct Login {
    pub(crate) account: AccountId,
    pub(crate) who: LoggedIn,
    /// Counts against the account's sessions.
    pub(crate) _session: AccountSession,
}

/// What a command after login works with.
pub(crate) struct Context<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) shared: &'a Shared,
    pub(crate) login: &'a Login,
    /// The command's tag.
    pub(crate) tag: &'a Tag,
    pub(crate) limits: &'a Limits,
    pub(crate) options: &'a Options,
}

/// Commands that need no selected mailbox.
pub(crate) async fn mailbox(context: &mut Context<'_>, command: Command) -> Result<Answer, End> {
    Ok(match command {
        Command::Create { mailbox, uses } => mailboxes::create(context, &mailbox, &uses).await,
        Command::Delete(name) => mailboxes::delete(context, &name).await,
        Command::Rename { from, to } => mailboxes::rename(context, &from, &to).await,
        Command::Subscribe(name) => mailboxes::subscribe(context, &name).await,
        Command::Unsubscribe(name) => mailboxes::unsubscribe(context, &name).await,
        Command::List(list) => list::list(context, &list).await?,
        Command::Lsub { reference, pattern } => list::lsub(context, &reference, &pattern).await?,
        Command::Status { mailbox, items } => status::status(context, &mailbox, &items),
        Command::Metadata(command) => metadata::metadata(context, &command).await,
        Command::Acl(command) => acl::acl(context, &command).await,
        Command::Namespace => session_commands::namespace(context.io),
        Command::GetQuota(root) => quota::get_quota(context, &root),
        Command::GetQuotaRoot(name) => quota::get_quota_root(context, &name),
        _ => Answer::bad("select a mailbox first"),
    })
}

/// Commands about the messages of the selected mailbox, and those that need none.
pub(crate) async fn message(
    context: &mut Context<'_>,
    selected: &mut Selected,
    command: Command,
) -> Result<Answer, End> {
    if selected.may_be_stale() {
        // What has been taken away since counts from now on, and what has been given.
        selected.heed_rights(&context.shared.parts.store, context.io)?;
    }
    match command {
        Command::Check => Ok(Answer::ok("CHECK done")),
        Command::Expunge => Ok(expunge::expunge(context, selected, None).await),
        Command::UidExpunge(set) => Ok(expunge::expunge(context, selected, Some(&set)).await),
        Command::Search(search) => search::search(context, selected, search).await,
        Command::Sort(sort) => search::sort(context, selected, sort).await,
        Command::CancelUpdate(tags) => Ok(search::cancel(selected, &tags)),
        Command::Thread(thread) => search::thread(context, selected, thread).await,
        Command::Fetch { by, set, items, modifiers } => {
            fetch::fetch(context, selected, fetch::Request { by, set: &set, items: &items, modifiers }).await
        }
        Command::Store(store) => store_flags::store(context, selected, &store).await,
        Command::Copy { by, set, mailbox } => copy::copy(context, selected, by, &set, &mailbox).await,
        Command::Move { by, set, mailbox } => copy::move_(context, selected, by, &set, &mailbox).await,
        command => mailbox(context, command).await,
    }
}

/// A name as the store takes it.
pub(crate) fn store_name(name: &MailboxName) -> Result<store::MailboxName, StoreError> {
    store::MailboxName::new(name.as_str())
}

/// The mailbox of a name, whosever it is.
pub(crate) fn find(context: &Context<'_>, name: &MailboxName) -> Result<MailboxInfo, StoreError> {
    context.shared.parts.store.find_shared(context.login.account, name.as_str())
}

/// What a client hears where the disk has no room: no quota of its user's is meant (RFC 9051 §7.1 has OVERQUOTA for those), nor
/// is anything down, which UNAVAILABLE would say.
const DISK_FULL: &str = "the server's disk is full: nothing can be stored until there is room again";
/// The same where the operator lets storage grow no further.
const AT_SIZE_MAX: &str =
    "the server may not store more than it does: nothing can be stored until there is room again";

/// Why the store did not do it, for the client; what only the operator may learn is left out.
pub(crate) fn refusal(error: &StoreError) -> Answer {
    let answer = Answer::no(error.to_string());
    match error {
        StoreError::NotFound(_) => answer.code(Code::NonExistent),
        StoreError::Exists => answer.code(Code::AlreadyExists),
        StoreError::NotSelectable | StoreError::NotAllowed(_) | StoreError::Name(_) => {
            answer.code(Code::Cannot)
        }
        StoreError::NotPermitted(_) => answer.code(Code::NoPerm),
        StoreError::OverQuota(_) => answer.code(Code::OverQuota),
        StoreError::TooMany { .. } => answer.code(Code::Limit),
        StoreError::Storage(StorageError::TooLarge(_)) => answer.code(Code::TooBig),
        StoreError::Storage(StorageError::Conflict(_)) => {
            Answer::no("another change came first: try again").code(Code::InUse)
        }
        StoreError::Storage(StorageError::Full { .. }) => Answer::no(DISK_FULL).code(Code::Limit),
        StoreError::Storage(StorageError::AtSizeMax { .. }) => Answer::no(AT_SIZE_MAX).code(Code::Limit),
        StoreError::Storage(_) => Answer::no("storage is not available: try later").code(Code::Unavailable),
    }
}
