use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuthOptions, Authenticator, HashOptions, Hasher, Unencrypted};
use directory::{Directory, DirectoryOptions, PasswordHasher};
use events::{Events, LogOptions};
use mail_types::{AccountName, Timestamp};
use parking_lot::Mutex;
use runtime::{Clock, Listener, ListenerOptions, Random, Shutdown};
use store::{Flags, MailboxId, NewMessage, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{Options, Parts, Server};

const LDIF: &str = "\
dn: o=example.org,o=isp\nobjectClass: mailDomain\nassociatedDomain: example.org\n\n\
dn: uid=jo,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: jo\nmail: jo@example.org\nuserPassword: pencil\n";

/// A log that the test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The first line with a word; it is written by a thread of its own, in its own time.
    async fn line_with(&self, word: &str) -> String {
        loop {
            let text = String::from_utf8(self.0.lock().clone()).unwrap();
            if let Some((whole, _)) = text.rsplit_once('\n')
                && let Some(line) = whole.lines().find(|line| line.contains(word))
            {
                return line.to_owned();
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A server on loopback over a store of its own.
struct Bench {
    store: Store,
    address: std::net::SocketAddr,
    shutdown: Shutdown,
    options: watch::Sender<Arc<Options>>,
    log: Log,
    _dir: tempfile::TempDir,
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let storage_options = storage::Options { size_max: 1 << 30, inline_max: 1024, synced: false };
    let spaces = [directory::SPACES, store::SPACES].concat();
    let storage = storage::Storage::open(dir.path(), &spaces, &storage_options).unwrap();
    let (clock, log) = (Clock::system(), Log::default());
    let events = Events::logging(Clock::simulated(Timestamp(1)), LogOptions::default(), log.clone()).unwrap();
    let directory = Directory::open(storage.clone(), clock.clone(), DirectoryOptions::default()).unwrap();
    let hash = HashOptions { memory_kib: 64, passes: 1, lanes: 1, scram_iterations: 16 };
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(Random::seeded(1), hash));
    directory.load_ldif(LDIF.as_bytes(), &hasher, &mut |_| {}).await.unwrap();
    let auth = AuthOptions {
        hash,
        refusal_after: Duration::ZERO,
        unencrypted: Unencrypted::Allowed,
        ..AuthOptions::default()
    };
    let authenticator = Authenticator::new(directory, clock.clone(), Random::seeded(2), auth);
    let store = Store::open(storage, clock, events.clone()).await.unwrap();
    let server = Server::new(Parts { store: store.clone(), authenticator, events, tls: None });
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let listener =
        Listener::bind(&ListenerOptions { address, backlog: 9, connections_max: 9, per_network_max: 9 });
    let listener = listener.unwrap();
    let (address, shutdown) = (listener.local_addr(), Shutdown::new());
    let (sender, options) = watch::channel(Arc::new(Options::default()));
    let stop = shutdown.clone();
    tokio::spawn(async move { server.serve(listener, options, stop).await });
    Bench { store, address, shutdown, options: sender, log, _dir: dir }
}

impl Bench {
    async fn inbox(&self) -> MailboxId {
        let account = AccountName::new("jo@example.org").unwrap();
        MailboxId::inbox(self.store.ensure_account(&account).await.unwrap())
    }

    async fn deliver(&self, octets: &[u8]) {
        let mut content = self.store.storage().content(1 << 24);
        content.write(octets).await.unwrap();
        let content = content.finish().await.unwrap();
        let message = NewMessage { content, flags: Flags::NONE, keywords: vec![], internal_date: None };
        self.store.append(self.inbox().await, vec![message]).await.unwrap();
    }

    async fn connect(&self) -> Client {
        let mut client = Client(BufStream::new(TcpStream::connect(self.address).await.unwrap()));
        assert!(client.line().await.starts_with("+OK "));
        client
    }

    async fn logged_in(&self) -> Client {
        let mut client = self.connect().await;
        client.ok("USER jo@example.org").await;
        client.ok("PASS pencil").await;
        client
    }
}

struct Client(BufStream<TcpStream>);

impl Client {
    /// A line without its CRLF; empty when the server has closed.
    async fn line(&mut self) -> String {
        let mut octets = Vec::new();
        self.0.read_until(b'\n', &mut octets).await.unwrap();
        String::from_utf8(octets).unwrap().trim_end_matches("\r\n").to_owned()
    }

    async fn say(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.line().await
    }

    async fn ok(&mut self, command: &str) -> String {
        let response = self.say(command).await;
        assert!(response.starts_with("+OK"), "{command}: {response}");
        response
    }

    /// A multi-line response without its first line and its end, stuffing and all.
    async fn lines(&mut self, command: &str) -> Vec<String> {
        self.ok(command).await;
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                end if end == "." => return lines,
                line => lines.push(line),
            }
        }
    }
}

#[tokio::test]
async fn a_large_message_comes_whole_and_a_top_of_it_short() {
    let bench = bench().await;
    let body: String = (0..20_000).map(|number| format!(".line {number}\r\n")).collect();
    bench.deliver(format!("Subject: large\r\n\r\n{body}").as_bytes()).await;
    let mut client = bench.logged_in().await;
    let lines = client.lines("RETR 1").await;
    assert_eq!(lines.len(), 20_002);
    assert!(lines[2..].iter().enumerate().all(|(number, line)| *line == format!("..line {number}")));
    assert_eq!(client.lines("TOP 1 2").await, ["Subject: large", "", "..line 0", "..line 1"]);
    assert_eq!(client.ok("NOOP").await, "+OK");
}

#[tokio::test]
async fn what_imap_expunges_is_gone_and_what_pop_deletes_is_removed() {
    let bench = bench().await;
    for text in ["one", "two", "three"] {
        bench.deliver(format!("Subject: {text}\r\n\r\n").as_bytes()).await;
    }
    let mut client = bench.logged_in().await;
    let uids: Vec<_> =
        bench.store.view(bench.inbox().await).unwrap().messages.iter().map(|m| m.uid).collect();
    bench.store.remove(bench.inbox().await, &uids[..1]).await.unwrap();
    assert_eq!(client.say("RETR 1").await, "-ERR the message was removed by another session");
    client.ok("DELE 1").await;
    client.ok("DELE 2").await;
    assert_eq!(client.lines("RETR 3").await, ["Subject: three", ""]);
    assert_eq!(client.ok("QUIT").await, "+OK goodbye, 1 messages left");
    assert_eq!(client.line().await, "");
    let left = bench.store.view(bench.inbox().await).unwrap().messages;
    assert_eq!(left.len(), 1);
    assert!(left[0].uid == uids[2] && left[0].flags.contains(Flags::SEEN));
}

#[tokio::test]
async fn a_lost_connection_changes_nothing_and_frees_the_maildrop() {
    let bench = bench().await;
    bench.deliver(b"Subject: one\r\n\r\n").await;
    let mut first = bench.logged_in().await;
    first.ok("DELE 1").await;
    let mut second = bench.connect().await;
    second.ok("USER jo@example.org").await;
    assert!(second.say("PASS pencil").await.starts_with("-ERR [IN-USE]"));
    drop(first);
    // The server learns of the loss in its own time.
    loop {
        second.ok("USER jo@example.org").await;
        if second.say("PASS pencil").await.starts_with("+OK") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(second.ok("STAT").await, "+OK 1 16");
}

#[tokio::test]
async fn guesses_errors_and_long_lines_end_a_session() {
    let bench = bench().await;
    bench.options.send_replace(Arc::new(Options { failures_max: 2, errors_max: 3, ..Options::default() }));
    let mut client = bench.connect().await;
    for expected in ["-ERR [AUTH]", "-ERR [AUTH]"] {
        client.ok("USER jo@example.org").await;
        assert!(client.say("PASS guess").await.starts_with(expected));
    }
    assert_eq!((client.line().await.as_str(), client.line().await.as_str()), ("-ERR too many failures", ""));
    let mut client = bench.connect().await;
    for _ in 0..3 {
        assert_eq!(client.say("HELO").await, "-ERR unknown command");
    }
    assert_eq!((client.line().await.as_str(), client.line().await.as_str()), ("-ERR too many errors", ""));
    let mut client = bench.connect().await;
    assert_eq!(client.say(&"x".repeat(2000)).await, "-ERR line too long");
}

#[tokio::test]
async fn a_login_delay_is_announced_and_kept() {
    let bench = bench().await;
    let login_delay = Duration::from_secs(900);
    bench.options.send_replace(Arc::new(Options { login_delay, ..Options::default() }));
    let mut client = bench.logged_in().await;
    assert!(client.lines("CAPA").await.contains(&"LOGIN-DELAY 900".to_owned()));
    client.ok("QUIT").await;
    let mut client = bench.connect().await;
    client.ok("USER jo@example.org").await;
    assert!(client.say("PASS pencil").await.starts_with("-ERR [LOGIN-DELAY]"));
}

#[tokio::test]
async fn a_stop_closes_idle_sessions_without_an_update() {
    let bench = bench().await;
    bench.deliver(b"Subject: one\r\n\r\n").await;
    let mut client = bench.logged_in().await;
    client.ok("DELE 1").await;
    bench.shutdown.trigger();
    assert_eq!(client.line().await, "");
    assert_eq!(bench.shutdown.drained(Duration::from_secs(9)).await, 0);
    assert_eq!(bench.store.view(bench.inbox().await).unwrap().messages.len(), 1);
}

#[tokio::test]
async fn a_refused_login_is_logged_with_its_name_whatever_the_mechanism() {
    let bench = bench().await;
    let mut client = bench.connect().await;
    // NUL jo@example.org NUL wrong
    assert!(client.say("AUTH PLAIN AGpvQGV4YW1wbGUub3JnAHdyb25n").await.starts_with("-ERR [AUTH]"));
    let line = bench.log.line_with("authentication_failed").await;
    assert!(line.contains("jo@example.org") && line.contains("PLAIN"), "{line}");
}
