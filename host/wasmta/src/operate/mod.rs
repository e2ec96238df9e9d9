//! What an operator's request comes to: the same code within the running server and, where no
//! server runs, in the command's own process.

mod absent;
mod backup;
mod backup_list;
mod check;
pub(crate) mod delegated;
mod directory;
mod disposed;
mod dns_tables;
mod domain_dns;
mod domain_parts;
mod domain_rows;
mod entries;
mod explain;
mod groups;
mod header;
mod import;
mod ldif;
mod login;
mod mailbox;
mod message;
mod onward;
mod plugin_told;
mod plugin_uses;
mod plugins;
mod profile;
mod published;
mod queue;
mod quota;
mod repair;
mod restore;
mod share;
mod stats;
mod sync;
mod sync_status;
mod unreadable;
mod waiting;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use events::Event;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{Answer, Line, Request, StoreRequest};
use crate::serve::doubts::Held;
use crate::serve::{DataLock, Parts, Place, complete, counting, is_under_way};

use explain::Question;
pub(crate) use explain::SOURCES;
pub(crate) use restore::{Restoring, compact, restore};

/// Notes of progress that wait to be shown.
const PROGRESS_WAITING_MAX: usize = 64;

/// Performs a request on the parts of a data directory.
pub(crate) async fn perform(
    parts: &Parts,
    config: &Config,
    request: Request,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    match request {
        Request::DomainAdd { domain, administrator } => {
            let administrator = administrator.as_deref().map(directory::parse_address).transpose()?;
            directory::add_domain(parts, &domain, administrator.as_ref().unwrap_or(&config.server.postmaster))
                .await
        }
        Request::DomainShow { domain } => directory::show_domain(parts, &domain),
        Request::DomainRows { domain } => domain_rows::show(parts, &domain).await,
        Request::DomainPublish { domain } => published::publish_again(parts, &domain).await,
        Request::DomainCheck { domain } => published::check_domain(parts, &domain).await,
        Request::DomainList => directory::list_domains(parts, |_| true),
        Request::DomainRemove { domain, with_users, mail } => {
            directory::remove_domain(parts, &domain, with_users, mail).await
        }
        Request::UserAdd { address, name, password } => {
            directory::add_user(parts, &address, &name, &password).await
        }
        Request::UserShow { address } => directory::show_user(parts, &address),
        Request::UserPasswd { address, password } => {
            directory::set_password(parts, &address, &password).await
        }
        Request::ProfileShow { user } => profile::show(parts, &user),
        Request::ProfileSet { user, values } => profile::set(parts, config, &user, values).await,
        Request::UserRemove { address, mail } => directory::remove_user(parts, &address, mail).await,
        Request::QueueList { which } => queue::list(parts, &config.channels, &which),
        Request::QueueShow { id } => queue::show(parts, &id),
        Request::QueueSummary => queue::summary(parts),
        Request::QueueAct { action, which, data } => {
            queue::act(parts, &config.channels, (&action, &which), &data).await
        }
        Request::Explain { address, from, source, account, client, message } => {
            let (address, from, source, account) = (&*address, &*from, &*source, account.as_deref());
            let message = message.as_deref().map(explain::message).transpose()?;
            let message = message.as_deref();
            let question = Question { address, from, source, account, client, message };
            explain::explain(parts, config, &question).await
        }
        Request::Trace { id } => message::trace(parts, &id),
        Request::MessageList(past) => message::list(parts, &past),
        Request::Check => check::check(parts, progress).await,
        Request::Held { accounts } => held(parts, accounts).await,
        Request::Mailbox(request) => mailbox::perform(parts, config, request, progress).await,
        Request::Store(StoreRequest::Stats) => stats::stats(parts).await,
        Request::Store(StoreRequest::Quota { name }) => quota::quota(parts, &name),
        Request::Store(StoreRequest::Compress) => stats::compress(parts, progress).await,
        Request::Store(StoreRequest::Backup { folder, data }) => {
            backup::backup(parts, config, folder, data, progress).await
        }
        Request::Sync(request) => sync::perform(parts, request, progress).await,
        Request::Share(request) => share::perform(parts, request).await,
        Request::Entry(request) => entries::perform(parts, request).await,
        Request::Login(request) => login::perform(parts, &request),
        Request::Plugin(request) => plugins::perform(parts, request).await,
        Request::Status | Request::Reload => Err("no server runs here".to_owned()),
    }
}

/// A duration for people, in its two largest units: `2 d 3 h`.
pub(crate) fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let (size, name) = units[first];
    let mut text = format!("{} {name}", seconds / size);
    if let Some((smaller, name)) = units.get(first + 1)
        && seconds % size / smaller > 0
        && size > 60
    {
        text.push_str(&format!(" {} {name}", seconds % size / smaller));
    }
    text
}

/// What of the directory a configuration is held against.
async fn held(parts: &Parts, accounts: bool) -> Result<Answer, String> {
    let directory = parts.directory.clone();
    let held = tokio::task::spawn_blocking(move || Held::in_directory(&directory, accounts)).await;
    let held = held.map_err(|e| e.to_string())??;
    Ok(Answer::new(serde_json::to_value(&held).map_err(|e| e.to_string())?, String::new()))
}

/// Tells the log what an operator or a delegate changed of whose entry, or of which shared mailbox; never a password.
fn tell_changed(parts: &Parts, entry: &str, what: &str) {
    parts
        .events
        .emit(&Event::DirectoryChanged { change: &format!("{what}, by {}", delegated::actor()), entry });
}

/// Only serving makes data: a command with a mistyped directory must not.
fn data_is_there(data: &Path) -> Result<(), String> {
    if is_under_way(data) {
        return Ok(());
    }
    complete(data)?;
    if data.join("directory").is_dir() {
        return Ok(());
    }
    let shown = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    let what = if data.is_dir() { "holds no server's data" } else { "is not there" };
    let mend = "name the server's data directory with --data, or start the server once: it makes a new one";
    Err(format!("no server runs over {}, and it {what}: {mend}", shown.display()))
}

/// Refuses what root would leave behind in the data of another user, whose server could not read it.
pub(crate) fn is_owners(data: &Path, by_root: bool) -> Result<(), String> {
    let owner = std::fs::metadata(data).map_err(|e| format!("{}: {e}", data.display()))?.uid();
    if !by_root || owner == 0 {
        return Ok(());
    }
    let shown = data.display();
    Err(format!(
        "{shown} belongs to the user {owner}, and no server runs: what root wrote there its server could not read; give this \
         command as that user (sudo -u '#{owner}' …)"
    ))
}

/// Performs a request in this process, holding the data directory for as long.
pub(crate) fn offline(
    place: &Place,
    request: &Request,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<Answer, String> {
    let config = place.load()?;
    data_is_there(&place.data)?;
    is_owners(&place.data, runtime::is_root())?;
    let _lock = DataLock::take(&place.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| format!("threads cannot be started: {e}"))?;
    runtime.block_on(async {
        let parts = Parts::open(&config, &place.data, counting()).await?;
        let (notes, mut inbox) = mpsc::channel(PROGRESS_WAITING_MAX);
        let work = perform(&parts, &config, request.clone(), notes);
        tokio::pin!(work);
        loop {
            tokio::select! {
                Some(Line::Progress(done, of, what)) = inbox.recv() => progress(done, of, &what),
                outcome = &mut work => {
                    parts.close().await;
                    return outcome;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_that_was_interrupted_is_finished_by_the_next_command() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        assert!(data_is_there(data).unwrap_err().contains("holds no server's data"));
        std::fs::write(data.join("PARTS"), "directory\nstore\n").unwrap();
        assert!(data_is_there(data).unwrap_err().contains("are missing"));
        // It stopped when the old parts were aside, and the new ones not yet in their place.
        for part in ["restoring/directory", "restoring/store", "before-restore-7"] {
            std::fs::create_dir_all(data.join(part)).unwrap();
        }
        std::fs::write(data.join("restoring/store/data.mdb"), "new").unwrap();
        std::fs::write(data.join("restoring/directory/data.mdb"), "new").unwrap();
        std::fs::write(data.join("RESTORE"), "before-restore-7").unwrap();
        data_is_there(data).unwrap();
        let _lock = DataLock::take(data).unwrap();
        data_is_there(data).unwrap();
        assert!(data.join("store/data.mdb").exists() && !data.join("RESTORE").exists());
    }

    #[test]
    fn root_writes_nothing_into_the_data_of_another_user() {
        let dir = tempfile::tempdir().unwrap();
        let owner = std::fs::metadata(dir.path()).unwrap().uid();
        assert_eq!(is_owners(dir.path(), false), Ok(()));
        assert_eq!(is_owners(dir.path(), true).is_ok(), owner == 0);
        if runtime::is_root() {
            std::os::unix::fs::chown(dir.path(), Some(1000), None).unwrap();
            assert!(is_owners(dir.path(), true).unwrap_err().contains("sudo -u '#1000'"));
        }
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3600, "1 h"),
            (5400, "1 h 30 min"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(age_text(Duration::from_secs(seconds)), text);
        }
    }
}
