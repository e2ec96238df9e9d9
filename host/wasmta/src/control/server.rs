//! The server's end of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Answer, CLIENTS_MAX, Line, REQUEST_MAX, Request};

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
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let path = path.to_path_buf();
    Ok(tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.wait() => break,
            };
            let (Ok((stream, _)), Ok(place)) = (stream, Arc::clone(&places).acquire_owned().await) else {
                continue;
            };
            let performer = Arc::clone(&performer);
            tokio::spawn(async move {
                // A client that goes away in the middle has its answer lost, and nothing else.
                let _ = attend(stream, &*performer).await;
                drop(place);
            });
        }
        let _ = std::fs::remove_file(&path);
    }))
}

async fn attend<P: Performer>(stream: UnixStream, performer: &P) -> io::Result<()> {
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
