//! The server's end of the control socket.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{
    Answer, CLIENTS_MAX, CLIENTS_OF_ONE_MAX, DELEGATE_REQUEST_MAX, LONG_COMMANDS_MAX, Line, REQUEST_MAX,
    Request, SHORT_COMMANDS_MAX,
};

/// How long a client may take to send its request, or to take a line of the answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
/// The wait after a client could not be let in.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Notes of progress that wait for a slow client; more are dropped.
const PROGRESS_WAITING_MAX: usize = 64;

/// Does what is asked. Progress goes to the sender as it comes; dropping it is no fault.
pub trait Performer: Send + Sync + 'static {
    /// Whether a user of this host may ask for anything at all.
    fn knows(&self, uid: u32) -> bool;

    /// Performs a request of a user of this host, whose number the system vouches for.
    fn perform(
        &self,
        uid: u32,
        request: Request,
        progress: mpsc::Sender<Line>,
    ) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// Who may come in, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The owner of the data directory.
    Owner,
    /// Every user of the host: whoever performs has to know them.
    Everybody,
}

impl Door {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o666,
        }
    }

    fn request_max(self) -> usize {
        match self {
            Self::Owner => REQUEST_MAX,
            Self::Everybody => DELEGATE_REQUEST_MAX,
        }
    }

    /// Connections of one user; the owner's are as many as there are places, and more of them wait.
    fn clients_of_one_max(self) -> usize {
        match self {
            Self::Owner => usize::MAX,
            Self::Everybody => CLIENTS_OF_ONE_MAX,
        }
    }
}

/// Listens on the socket until the server stops. An old socket that nobody listens at is replaced.
///
/// The task ends, and the socket with it, when the server stops.
pub fn listen<P: Performer>(
    (path, door): (&Path, Door),
    performer: Arc<P>,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            // One that nobody listens at is left of a server that did not end well.
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already"));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(door.mode()))?;
    let connections = Arc::new(Semaphore::new(CLIENTS_MAX));
    let (pools, guests) = (Arc::new(Pools::new()), Arc::new(Guests::default()));
    let path = path.to_path_buf();
    Ok(tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.wait() => break,
            };
            let Ok((stream, _)) = stream else {
                // As where there are too many files: trying again at once would keep a core busy.
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let Ok(uid) = stream.peer_cred().map(|who| who.uid()) else { continue };
            if !performer.knows(uid) {
                turn_away(stream, &format!("the user {uid} of this host administers nothing here"));
                continue;
            }
            // One user must not keep the others out: it is let in again when it has let go.
            let Some(seat) = Guests::seat(&guests, uid, door.clients_of_one_max()) else {
                let max = door.clients_of_one_max();
                turn_away(stream, &format!("{max} commands of this user run already, as many as may"));
                continue;
            };
            // Those that come beyond the maximum wait in the listener's backlog.
            let place = tokio::select! {
                place = Arc::clone(&connections).acquire_owned() => place,
                () = shutdown.wait() => break,
            };
            let (performer, pools) = (Arc::clone(&performer), Arc::clone(&pools));
            tokio::spawn(async move {
                // What a client asked for that goes away in the middle is broken off where it next waits for the client.
                let _ = attend((stream, uid, door), &*performer, &pools).await;
                drop((place, seat));
            });
        }
        let _ = std::fs::remove_file(&path);
    }))
}

/// Tells a client that it is not heard, if it takes that at once: nothing waits for it.
fn turn_away(stream: UnixStream, why: &str) {
    let mut octets = serde_json::to_vec(&Line::Fault(why.to_owned())).unwrap_or_default();
    octets.push(b'\n');
    // It stays one that does not block.
    let _ = stream.into_std().and_then(|mut stream| io::Write::write(&mut stream, &octets));
}

/// How many connections each user of the host has.
#[derive(Default)]
struct Guests(Mutex<HashMap<u32, usize>>);

/// One of them; let go when dropped.
struct Seat {
    guests: Arc<Guests>,
    uid: u32,
}

impl Guests {
    fn seat(guests: &Arc<Self>, uid: u32, max: usize) -> Option<Seat> {
        let mut counts = guests.0.lock();
        let count = counts.entry(uid).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Seat { guests: Arc::clone(guests), uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.guests.0.lock();
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
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

async fn attend<P: Performer>(
    (stream, uid, door): (UnixStream, u32, Door),
    performer: &P,
    pools: &Pools,
) -> io::Result<()> {
    let (from_client, mut to_client) = stream.into_split();
    let mut text = String::new();
    let mut reader = BufReader::new(from_client.take(door.request_max() as u64));
    timeout(CLIENT_PATIENCE, reader.read_line(&mut text)).await??;
    if text.len() >= door.request_max() {
        let why = format!("the request is longer than {} octets", door.request_max());
        return send(&mut to_client, &Line::Fault(why)).await;
    }
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
    let work = performer.perform(uid, request, notes);
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
        fn knows(&self, _: u32) -> bool {
            true
        }

        async fn perform(&self, _: u32, request: Request, _: mpsc::Sender<Line>) -> Result<Answer, String> {
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
        let server =
            listen((&socket_path(&data), Door::Owner), Arc::clone(&performer), shutdown.clone()).unwrap();
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

    #[tokio::test]
    async fn of_the_socket_for_everybody_one_user_takes_no_more_than_its_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("delegation.sock");
        std::fs::write(&path, "letters").unwrap();
        let listening = || listen((&path, Door::Everybody), Arc::new(Slow::default()), Shutdown::new());
        let refused = listening().map(drop).unwrap_err().to_string();
        assert_eq!(
            (refused.as_str(), std::fs::read(&path).unwrap()),
            ("there is something that is no socket", b"letters".to_vec())
        );
        std::fs::remove_file(&path).unwrap();
        listening().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let mut idle = Vec::new();
        for _ in 0..CLIENTS_OF_ONE_MAX {
            idle.push(UnixStream::connect(&path).await.unwrap());
        }
        let asked = async || {
            let path = path.clone();
            let asking = move || super::super::ask_at(&path, &Request::QueueSummary, |_, _, _| {});
            tokio::task::spawn_blocking(asking).await.unwrap()
        };
        let said = async || match asked().await {
            Ok(Reached::Answered(Ok(answer))) => answer.text,
            Ok(Reached::Answered(Err(why))) => why,
            _ => "nothing".to_owned(),
        };
        assert_eq!(said().await, "4 commands of this user run already, as many as may");
        assert_eq!(listening().map(drop).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        idle.clear();
        while said().await != "done" {
            tokio::task::yield_now().await;
        }
    }
}
