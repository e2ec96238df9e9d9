//! What an operator's request comes to: the same code within the running server and, where no
//! server runs, in the command's own process.

mod check;
mod directory;
mod plugins;
mod queue;

use std::time::Duration;

use mail_types::{AccountName, ForwardPath, ReversePath};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{Answer, Line, Request};
use crate::serve::{DataLock, Parts, Place, counting, policy};

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
        Request::DomainShow { domain } => directory::show_domain(&parts.directory, &domain),
        Request::DomainList => directory::list_domains(&parts.directory),
        Request::DomainRemove { domain, with_users } => {
            directory::remove_domain(parts, &domain, with_users).await
        }
        Request::UserAdd { address, name, password } => {
            directory::add_user(parts, &address, &name, &password).await
        }
        Request::UserShow { address } => directory::show_user(&parts.directory, &address),
        Request::UserPasswd { address, password } => {
            directory::set_password(parts, &address, &password).await
        }
        Request::UserRemove { address, mail } => directory::remove_user(parts, &address, mail).await,
        Request::QueueList { which } => queue::list(parts, &which),
        Request::QueueShow { id } => queue::show(parts, &id),
        Request::QueueSummary => queue::summary(parts),
        Request::QueueAct { action, which } => queue::act(parts, &config.channels, &action, &which).await,
        Request::Explain { address, from, source } => explain(parts, &address, &from, &source).await,
        Request::Trace { id } => queue::trace(parts, &id),
        Request::Check => check::check(parts, progress).await,
        Request::Plugin(request) => plugins::perform(parts, request).await,
        Request::Status | Request::Reload => Err("no server runs here".to_owned()),
    }
}

/// Where mail for an address would go, decided by the code that decides for sessions.
async fn explain(parts: &Parts, address: &str, from: &str, source: &str) -> Result<Answer, String> {
    let bracketed = |text: &str| if text.starts_with('<') { text.to_owned() } else { format!("<{text}>") };
    let recipient = ForwardPath::parse(&bracketed(address)).map_err(|e| e.to_string())?;
    let reverse_path = ReversePath::parse(&bracketed(from)).map_err(|e| e.to_string())?;
    // Who submits has logged in, so may send anywhere; others may not.
    let account = match (source, reverse_path.address()) {
        ("submission", Some(address)) => AccountName::new(&address.to_string()),
        _ => None,
    };
    let request = routing::Request {
        recipient: &recipient,
        reverse_path: &reverse_path,
        source,
        authenticated: account.as_ref(),
        relay: false,
        id: "explain",
    };
    let explanation = parts.routing.explain(&request).await;
    let json = serde_json::to_value(&explanation).map_err(|e| e.to_string())?;
    Ok(Answer { json, text: explanation.to_string().trim_end().to_owned() })
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
    if !config.directory.ldif.is_file() {
        faults.push(format!("directory.ldif: the file {} is not there", config.directory.ldif.display()));
    }
    if let Err(why) = policy::load(config) {
        faults.push(why);
    }
    if let Some((certificate, key)) = &config.tls.files
        && let Err(why) = runtime::TlsServer::load(certificate, key)
    {
        faults.push(format!("tls: {why}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

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
