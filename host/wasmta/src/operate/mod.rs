//! What an operator's request comes to: the same code within the running server and, where no
//! server runs, in the command's own process.

mod directory;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{Answer, Line, Request};
use crate::serve::{DataLock, Parts, Place, counting};

/// Notes of progress that wait to be shown.
const PROGRESS_WAITING_MAX: usize = 64;

/// Performs a request on the parts of a data directory.
pub(crate) async fn perform(
    parts: &Parts,
    config: &Config,
    request: Request,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let _ = progress;
    match request {
        Request::DomainAdd { domain, administrator } => {
            let administrator = administrator.as_deref().map(directory::parse_address).transpose()?;
            directory::add_domain(parts, &domain, administrator.as_ref().unwrap_or(&config.server.postmaster))
                .await
        }
        Request::DomainShow { domain } => directory::show_domain(&parts.directory, &domain),
        Request::DomainList => directory::list_domains(&parts.directory),
        Request::DomainRemove { domain } => directory::remove_domain(parts, &domain).await,
        Request::UserAdd { address, name, password } => {
            directory::add_user(parts, &address, &name, &password).await
        }
        Request::UserShow { address } => directory::show_user(&parts.directory, &address),
        Request::UserPasswd { address, password } => {
            directory::set_password(parts, &address, &password).await
        }
        Request::Status | Request::Reload => Err("no server runs here".to_owned()),
        _ => Err("not built yet".to_owned()),
    }
}

/// Performs a request in this process, holding the data directory for as long.
pub(crate) fn offline(
    place: &Place,
    request: &Request,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<Answer, String> {
    let config = place.load()?;
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

/// Checks the files that the configuration names. Gives what is wrong, one text a fault.
pub(crate) fn check_files(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, path) in [("directory.ldif", &config.directory.ldif), ("routing.rules", &config.routing.rules)]
    {
        if !path.is_file() {
            faults.push(format!("{key}: the file {} is not there", path.display()));
        }
    }
    faults
}
