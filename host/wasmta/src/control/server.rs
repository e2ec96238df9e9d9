//! The server's end of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Answer, CLIENTS_MAX, LONG_COMMANDS_MAX, Line, REQUEST_MAX, Request, SHORT_COMMANDS_MAX};

/// How long a client may take to send its request, or to take a line of the answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
/// Notes of progress that wait for a slow client; more are dropped.
const PROGRESS_WAITING_MAX: usize = 64;

/// Does what is asked. Progress goes to the sender as it comes; dropping it is no fault.
pub trait Performer: Send + Sync + 'static {
    /// Performs a request.
    fn perform(
        &self,
        request: Request,
        progress: mpsc::Sender<Line>,
    ) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// Listens on the socket until the server stops. An old socket is replaced: whoever holds the data
/// directory's lock owns it.
///
/// The task ends, and the socket with it, when the server stops.
pub fn listen<P: Performer>(
    path: &Path,
    performer: Arc<P>,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let connections = Arc::new(Semaphore::new(CLIENTS_MAX));
    let pools = Arc::new(Pools::new());
    let path = path.to_path_buf();
    Ok(tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.wait() => break,
            };
            // Those that come beyond the maximum wait in the listener's backlog.
            let (Ok((stream, _)), Ok(place)) = (stream, Arc::clone(&connections).acquire_owned().await)
            else {
                continue;
            };
            let (performer, pools) = (Arc::clone(&performer), Arc::clone(&pools));
            tokio::spawn(async move {
                // A client that goes away in the middle has its answer lost, and nothing else.
                let _ = attend(stream, &*performer, &pools).await;
                drop(place);
            });
        }
        let _ = std::fs::remove_file(&path);
    }))
}

/// Places for commands, those that take long apart.
struct Pools {
    long: Semaphore,
    short: Semaphore,
}

impl Pools {
    fn new() -> Self {
        Self { long: Semaphore::new(LONG_COMMANDS_MAX), short: Semaphore::new(SHORT_COMMANDS_MAX) }
    }

    /// A place for a request. A long one gets it at once or not at all; a short one after those before it.
    async fn place(&self, request: &Request) -> Result<SemaphorePermit<'_>, String> {
        if request.is_long() {
            return self.long.try_acquire().map_err(|_| {
                format!(
                    "{LONG_COMMANDS_MAX} commands that take long (import, export, check, repair, backup, compress, \
                     stats, sync, install of plugins) run already, as many as may: give it again when one has ended"
                )
            });
        }
        match timeout(CLIENT_PATIENCE, self.short.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(format!(
                "{SHORT_COMMANDS_MAX} commands run already, as many as may, and none ended within {} s: try again",
                CLIENT_PATIENCE.as_secs()
            )),
        }
    }
}

async fn attend<P: Performer>(stream: UnixStream, performer: &P, pools: &Pools) -> io::Result<()> {
    let (from_client, mut to_client) = stream.into_split();
    let mut text = String::new();
    let mut reader = BufReader::new(from_client.take(REQUEST_MAX as u64));
    timeout(CLIENT_PATIENCE, reader.read_line(&mut text)).await??;
    let request = match serde_json::from_str::<Request>(&text) {
        Ok(request) => request,
        Err(why) => {
            return send(&mut to_client, &Line::Fault(format!("the request is not understood: {why}"))).await;
        }
    };
    let _place = match pools.place(&request).await {
        Ok(place) => place,
        Err(why) => return send(&mut to_client, &Line::Fault(why)).await,
    };
    let (notes, mut progress) = mpsc::channel(PROGRESS_WAITING_MAX);
    let work = performer.perform(request, notes);
    tokio::pin!(work);
    loop {
        tokio::select! {
            Some(note) = progress.recv() => send(&mut to_client, &note).await?,
            outcome = &mut work => {
                let line = outcome.map_or_else(Line::Fault, Line::Answer);
                return send(&mut to_client, &line).await;
            }
        }
    }
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), line: &Line) -> io::Result<()> {
    let mut octets = serde_json::to_vec(line).map_err(io::Error::other)?;
    octets.push(b'\n');
    timeout(CLIENT_PATIENCE, stream.write_all(&octets)).await?
}

#[cfg(test)]
mod tests {
    use super::super::{Reached, SyncRequest, SyncScope, ask, socket_path};
    use super::*;
    use tokio::sync::Notify;

    /// Checks end when they are told to; all else at once.
    #[derive(Default)]
    struct Slow(Notify);

    impl Performer for Slow {
        async fn perform(&self, request: Request, _: mpsc::Sender<Line>) -> Result<Answer, String> {
            if request.is_long() {
                self.0.notified().await;
            }
            Ok(Answer::done("done"))
        }
    }

    async fn asked(data: &Path, request: Request) -> Result<Answer, String> {
        let data = data.to_path_buf();
        let asking = tokio::task::spawn_blocking(move || ask(&data, &request, |_, _, _| {}));
        match asking.await.unwrap().unwrap() {
            Reached::Answered(answer) => answer,
            Reached::NoServer => Err("no server".to_owned()),
        }
    }

    #[tokio::test]
    async fn commands_that_take_long_keep_others_from_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_path_buf();
        let performer = Arc::new(Slow::default());
        let shutdown = Shutdown::new();
        let server = listen(&socket_path(&data), Arc::clone(&performer), shutdown.clone()).unwrap();
        let long = |nth: usize| {
            if nth.is_multiple_of(2) {
                Request::Check
            } else {
                Request::Sync(SyncRequest::Full(SyncScope::default()))
            }
        };
        let mut running = tokio::task::JoinSet::new();
        for nth in 0..=LONG_COMMANDS_MAX {
            let data = data.clone();
            running.spawn(async move { asked(&data, long(nth)).await });
        }
        // One is too many, whichever: it is told so at once.
        let refused = running.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(refused.starts_with("16 commands that take long"), "{refused}");
        assert_eq!(asked(&data, Request::QueueSummary).await.unwrap().text, "done");
        for _ in 0..LONG_COMMANDS_MAX {
            performer.0.notify_one();
            assert_eq!(running.join_next().await.unwrap().unwrap().unwrap().text, "done");
        }
        shutdown.trigger();
        server.await.unwrap();
    }
}
