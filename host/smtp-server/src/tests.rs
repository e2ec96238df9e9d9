//! Sessions over loopback, with the real queue, routing and authentication.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuthOptions, Authenticator, HashOptions, Hasher, Unencrypted};
use directory::{Directory, DirectoryOptions, PasswordHasher};
use events::Events;
use mail_types::{AccountName, Domain};
use parking_lot::Mutex;
use queue::{Agents, BoxFuture, CopyOf, LocalCopy, LocalDelivery, Publish, Queue};
use routing::{ChannelTags, Routing, RuleOptions, Rules, Tables};
use runtime::{Clock, Listener, ListenerOptions, Random, Shutdown, Stream, TlsClient, TlsServer};
use storage::{Batch, Storage, StorageError};
use tokio::sync::watch;

use crate::{Kind, Limits, Networks, Options, Parts, Server, TlsMode};

/// What the store would have got: account, and the fields above the content.
type Copies = Arc<Mutex<Vec<(String, String)>>>;

struct Boxes(Copies);

impl LocalDelivery for Boxes {
    fn prepare<'a>(&'a self, _: &'a AccountName) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }

    fn append(&self, batch: &mut Batch, copy: &LocalCopy<'_>) -> Result<Publish, StorageError> {
        if let CopyOf::Stored(id) = copy.content {
            batch.retain_content(id, 1);
        }
        let prefix = String::from_utf8_lossy(copy.prefix).into_owned();
        self.0.lock().push((copy.account.to_string(), prefix));
        Ok(Box::new(|_| ()))
    }
}

/// A running server and what it has delivered.
struct House {
    address: SocketAddr,
    storage: Storage,
    copies: Copies,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

const LDIF: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/directory.ldif"));
const RULES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rewrite.rules"));
const HOST: &str = "mail.example.org";

async fn authentication(storage: Storage) -> (Directory, Authenticator) {
    let (clock, random) = (Clock::system(), Random::system());
    let hash = HashOptions { memory_kib: 64, passes: 1, lanes: 1, scram_iterations: 4096 };
    let directory = Directory::open(storage, clock.clone(), DirectoryOptions::default()).unwrap();
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(random.clone(), hash));
    directory.load_ldif(LDIF.as_bytes(), &hasher, &mut |_| ()).await.unwrap();
    let refusal_after = Duration::from_millis(1);
    let options =
        AuthOptions { hash, unencrypted: Unencrypted::Allowed, refusal_after, ..AuthOptions::default() };
    (directory.clone(), Authenticator::new(directory, clock, random, options))
}

async fn routing_of(storage: Storage, directory: &Directory) -> Routing {
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(RULES, "rewrite.rules", &RuleOptions::new(&tags)).unwrap();
    let domain = |name| Domain::parse(name).unwrap();
    let options = routing::Options::new(&domain(HOST), domain("example.org"));
    let routing = Routing::new(Tables::new(storage), rules, options, Random::system());
    routing.refresh(directory).await.unwrap();
    routing
}

/// Starts a server of a kind; `change` bends the options.
async fn house(kind: Kind, change: impl FnOnce(&mut Options)) -> House {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, spaces: &[storage::Space]| {
        Storage::open(
            &folder.path().join(name),
            spaces,
            &storage::Options { synced: false, ..Default::default() },
        )
        .unwrap()
    };
    let storage = open("store", queue::SPACES);
    let (directory, authenticator) = authentication(open("directory", directory::SPACES)).await;
    let routing = routing_of(open("tables", routing::SPACES), &directory).await;
    let copies = Copies::default();
    let (clock, random) = (Clock::system(), Random::system());
    let events = Events::counting(clock.clone());
    let agents = Agents {
        router: Arc::new(routing.clone()),
        local: Arc::new(Boxes(copies.clone())),
        channels: Default::default(),
    };
    let queue = Queue::open(
        storage.clone(),
        agents,
        queue::Options::default(),
        clock.clone(),
        random.clone(),
        events.clone(),
    )
    .unwrap();
    let (certificate, key) = runtime::make_self_signed(folder.path(), &[HOST.to_owned()]).unwrap();
    let tls = Some(TlsServer::load(&certificate, &key).unwrap());
    let parts = Parts { queue, routing, authenticator, storage: storage.clone(), clock, random, events, tls };
    let mut options = Options::new("test", kind, HOST);
    change(&mut options);
    let shutdown = Shutdown::new();
    let address = serve(Server::new(parts), options, shutdown.clone());
    House { address, storage, copies, shutdown, _folder: folder }
}

fn serve(server: Server, options: Options, shutdown: Shutdown) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener =
        Listener::bind(&ListenerOptions { address, backlog: 16, connections_max: 4, per_network_max: 4 })
            .unwrap();
    let local = listener.local_addr();
    let (sender, options) = watch::channel(Arc::new(options));
    tokio::spawn(async move {
        let served = server.serve(listener, options, shutdown).await;
        drop(sender);
        served
    });
    local
}

impl House {
    async fn connect(&self) -> Client {
        Client { stream: runtime::connect(self.address, None, Duration::from_secs(5)).await.unwrap() }
    }

    /// Plays a dialogue on a connection of its own.
    async fn play(&self, dialogue: &str) -> Client {
        let mut client = self.connect().await;
        client.play(dialogue).await;
        client
    }

    /// The contents that storage holds.
    fn contents(&self) -> Vec<String> {
        let snapshot = self.storage.read().unwrap();
        let mut ids = Vec::new();
        snapshot.contents(&mut |id| ids.push(id)).unwrap();
        let octets = |id| snapshot.content(id).unwrap().unwrap().to_bytes().unwrap();
        ids.into_iter().map(|id| String::from_utf8_lossy(&octets(id)).into_owned()).collect()
    }
}

struct Client {
    stream: Stream,
}

impl Client {
    /// `C: line`, `C= octets` (with `\r`, `\n`, `\0`), `S: pattern` (a last `*` is anything), `CLOSED`.
    async fn play(&mut self, dialogue: &str) {
        for line in dialogue.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("C: ") {
                self.send(format!("{text}\r\n").as_bytes()).await;
            } else if let Some(text) = line.strip_prefix("C= ") {
                let octets = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                self.send(octets.as_bytes()).await;
            } else if let Some(pattern) = line.strip_prefix("S: ") {
                let heard = self.hear().await;
                let heard = heard.as_deref().unwrap_or("(closed)");
                let fits = match pattern.strip_suffix('*') {
                    Some(head) => heard.starts_with(head),
                    None => heard == pattern,
                };
                assert!(fits, "expected {pattern:?}, heard {heard:?}");
            } else if line == "CLOSED" {
                assert_eq!(self.hear().await, None);
            } else {
                panic!("{line}");
            }
        }
    }

    async fn send(&mut self, octets: &[u8]) {
        self.stream.send(octets);
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Option<String> {
        loop {
            let buffered = self.stream.buffered();
            if let Some(end) = buffered.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&buffered[..end]).trim_end().to_owned();
                self.stream.consume(end + 1);
                return Some(line);
            }
            let filled = tokio::time::timeout(Duration::from_secs(20), self.stream.fill()).await.unwrap();
            if filled.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Hears a whole reply: all its lines.
    async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.hear().await.unwrap();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines;
            }
        }
    }
}

const HELLO: &str = "
    S: 220 mail.example.org ESMTP *
    C: HELO client.example
    S: 250 mail.example.org";

async fn smtp() -> House {
    house(Kind::Smtp, |_| ()).await
}

#[tokio::test]
async fn a_message_goes_from_the_wire_to_the_mailbox() {
    let house = smtp().await;
    let dialogue = "
        C: MAIL FROM:<a@remote.example> SIZE=30
        S: 250 2.1.0 *
        C: RCPT TO:<user1+tag@example.org>
        S: 250 2.1.5 *
        C: DATA
        S: 354 *
        C: Subject: hello
        C= \\r\\n..dot\\r\\n.\\r\\n
        S: 250 2.0.0 Accepted as *
        C: QUIT
        S: 221 2.0.0 *
        CLOSED";
    house.play(&format!("{HELLO}\n{dialogue}")).await;
    let copies = house.copies.lock().clone();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].0, "user1@example.org");
    let prefix = &copies[0].1;
    assert!(
        prefix.contains("Received: from client.example ([127.0.0.1])\r\n\tby mail.example.org with SMTP id "),
        "{prefix}"
    );
    assert!(prefix.contains("for <user1+tag@example.org>;"), "{prefix}");
    assert_eq!(house.contents().len(), 1);
    assert!(house.contents()[0].ends_with("\r\n.dot\r\n"));
}

#[tokio::test]
async fn pipelined_commands_are_answered_together_and_in_order() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play(HELLO).await;
    let burst = "RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user1@example.org>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n";
    client.send(burst.as_bytes()).await;
    client
        .play(
            "
        S: 250 2.0.0 *
        S: 250 2.1.0 *
        S: 250 2.1.5 *
        S: 550 5.1.1 *
        S: 550 5.7.1 *
        S: 354 *
        C= A: b\\r\\n\\r\\nx\\r\\n.\\r\\nMAIL FROM:<>\\r\\nQUIT\\r\\n
        S: 250 2.0.0 *
        S: 250 2.1.0 *
        S: 221 *
        CLOSED",
        )
        .await;
}

#[tokio::test]
async fn no_smuggled_message_is_taken() {
    let vectors = [
        "\\n.\\n",
        "\\r.\\r",
        "\\r.\\n",
        "\\n.\\r",
        "\\n.\\r\\n",
        "\\r\\n.\\n",
        "\\r.\\r\\n",
        "\\r\\n.\\r",
        "\\r\\n\\0.\\r\\n",
        "\\r\\n.\\0\\r\\n",
        "\\r\\n.\\r\\r\\n",
        "\\r\\r\\n.\\r\\r\\n",
    ];
    let house = house(Kind::Smtp, |options| options.limits.errors_max = 100).await;
    for vector in vectors {
        let dialogue = format!("
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= A: b\\r\\n\\r\\nx{vector}MAIL FROM:<evil@b.example>\\r\\nRCPT TO:<user2@example.org>\\r\\nDATA\\r\\ninner\\r\\n.\\r\\n
            S: 550 5.5.2 *
            C: NOOP
            S: 250 2.0.0 *");
        house.play(&format!("{HELLO}\n{dialogue}")).await;
    }
    assert_eq!(house.copies.lock().len(), 0);
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn refused_content_that_never_ends_is_answered_after_a_short_time() {
    let house = house(Kind::Smtp, |options| {
        options.limits.refused_content_timeout = Duration::from_millis(50);
    })
    .await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= only line feeds\\n.\\n
            S: 550 5.5.2 *
            CLOSED"
        ))
        .await;
}

#[tokio::test]
async fn line_endings_are_mended_where_that_is_chosen() {
    let house = house(Kind::Smtp, |options| options.line_endings = smtp_wire::LineEndings::Normalize).await;
    house
        .play(&format!(
            "{HELLO}
            C= MAIL FROM:<a@b.example>\\n
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= A: b\\n\\nx\\n.\\ny\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    assert_eq!(house.contents(), ["A: b\r\n\r\nx\r\n.\r\ny\r\n"]);
}

#[tokio::test]
async fn chunks_are_content_octet_for_octet() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    client.reply().await;
    client
        .play(
            "
            C: MAIL FROM:<a@b.example> BODY=BINARYMIME
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 503 5.6.1 *
            C= BDAT 8\\r\\nA: b\\r\\n\\r\\nBDAT 7 LAST\\r\\n.\\r\\n\\0\\n.\\r
            S: 250 2.0.0 8 octets received
            S: 250 2.0.0 Accepted as *
            C: BDAT 3
            C= abc
            S: 503 5.5.1 *
            C: NOOP
            S: 250 2.0.0 *
            C: BDAT x
            S: 501 5.5.4 *
            CLOSED",
        )
        .await;
    assert_eq!(house.contents(), ["A: b\r\n\r\n.\r\n\0\n.\r"]);
}

#[tokio::test]
async fn a_refused_chunk_fails_the_transaction_until_rset() {
    let house = smtp().await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C= BDAT 4\\r\\na\\nb\\n
            S: 550 5.5.2 *
            C= BDAT 2 LAST\\r\\n\\r\\n
            S: 503 5.5.1 *
            C: RSET
            S: 250 2.0.0 *
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn size_is_refused_when_announced_and_when_it_comes() {
    let house = house(Kind::Smtp, |options| options.limits.message_size_max = 20).await;
    let transaction = "
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *";
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example> SIZE=21
            S: 552 5.3.4 *
            C: MAIL FROM:<a@b.example> SIZE=99999999999999999999
            S: 552 5.3.4 *
            {transaction}
            C: DATA
            S: 354 *
            C= A: b\\r\\n\\r\\n0123456789012345678\\r\\n.\\r\\n
            S: 552 5.3.4 *
            {transaction}
            C= BDAT 21 LAST\\r\\n012345678901234567890
            S: 552 5.3.4 *
            {transaction}
            C: BDAT 9223372036854775807 LAST
            S: 552 5.3.4 *
            CLOSED"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn nothing_said_before_tls_counts_after_it() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("STARTTLS")));
    client.play("C= STARTTLS\\r\\nNOOP\\r\\nMAIL FROM:<evil@x.example>\\r\\n\nS: 220 2.0.0 *").await;
    let tls = TlsClient::opportunistic().unwrap();
    let mut client = Client { stream: client.stream.connect_tls(&tls, HOST).await.unwrap() };
    client.play("C: MAIL FROM:<a@b.example>\nS: 503 5.5.1 *\nC: EHLO c.example").await;
    let offered = client.reply().await;
    assert!(!offered.iter().any(|line| line.contains("STARTTLS")));
    assert!(offered.iter().any(|line| line.contains("SCRAM-SHA-256-PLUS")), "{offered:?}");
    client
        .play(
            "
            C: STARTTLS
            S: 503 5.5.1 *
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C: .
            S: 250 2.0.0 *",
        )
        .await;
    assert!(house.copies.lock()[0].1.contains("with ESMTPS id"));
}

fn plain(login: &str, password: &str) -> String {
    smtp_wire::encode_sasl(format!("\0{login}\0{password}").as_bytes())
}

#[tokio::test]
async fn submission_wants_authentication_and_an_own_sender() {
    let house = house(Kind::Submission, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.contains("AUTH ") && line.contains("PLAIN")));
    let (wrong, right) = (plain("user1@example.org", "wrong"), plain("user1@example.org", "password"));
    client
        .play(&format!(
            "
            C: MAIL FROM:<user1@example.org>
            S: 530 5.7.0 *
            C: AUTH PLAIN {wrong}
            S: 535 5.7.8 *
            C: AUTH PLAIN
            S: 334
            C: *
            S: 501 5.7.0 *
            C: AUTH PLAIN =AAA
            S: 501 5.5.2 *
            C: AUTH NOSUCH
            S: 504 5.5.4 *
            C: AUTH PLAIN
            S: 334
            C: {right}
            S: 235 2.7.0 *
            C: AUTH PLAIN {right}
            S: 503 5.5.1 *
            C: MAIL FROM:<user2@example.org>
            S: 553 5.7.1 *
            C: MAIL FROM:<user1@example.org>
            S: 250 2.1.0 *
            C: RCPT TO:<somebody@elsewhere.example>
            S: 250 2.1.5 *
            C: RCPT TO:<user2@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= From: user1@example.org\\r\\n\\r\\nx\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    let prefix = house.copies.lock()[0].1.clone();
    assert!(prefix.contains("with ESMTPA id") && prefix.contains("\r\nDate: "), "{prefix}");
    assert!(prefix.contains("\r\nMessage-ID: <") && !prefix.contains("for <"), "{prefix}");
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let house = house(Kind::Lmtp, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 mail.example.org LMTP *\nC: EHLO x\nS: 500 5.5.1 *\nC: LHLO queue.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("PIPELINING")));
    client
        .play(
            "
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: DATA
            S: 503 5.5.1 *
            C= BDAT 2 LAST\\r\\n\\r\\nNOOP\\r\\n
            S: 250 2.0.0 Done
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: RCPT TO:<nobody@example.org>
            S: 550 5.1.1 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C: .
            S: 250 2.0.0 *
            S: 250 2.0.0 *
            C: QUIT
            S: 221 *
            CLOSED",
        )
        .await;
    assert_eq!(house.copies.lock().len(), 1, "the same mailbox twice is one copy");
    assert!(house.copies.lock()[0].1.contains("with LMTP id"));
}

#[tokio::test]
async fn limits_are_kept_with_a_last_word() {
    let change = |options: &mut Options| {
        options.limits = Limits {
            errors_max: 2,
            commands_without_mail_max: 5,
            recipients_max: 1,
            refused_recipients_max: 1,
            ..Limits::default()
        };
    };
    let house = house(Kind::Smtp, change).await;
    house.play("S: 220 *\nC: WHAT\nS: 500 5.5.1 *\nC: MAIL\nS: 503 *\nC: x\nS: 421 4.7.0 *\nCLOSED").await;
    house.play(&format!("{HELLO}{}\nC: NOOP\nS: 421 4.7.0 *\nCLOSED", "\nC: NOOP\nS: 250 *".repeat(4))).await;
    let long = "x".repeat(5000);
    house.play(&format!("{HELLO}\nC: NOOP {long}\nS: 500 5.5.6 *\nC: NOOP\nS: 250 *")).await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: RCPT TO:<user2@example.org>
            S: 452 4.5.3 *
            C: RCPT TO:<nobody@example.org>
            S: 421 4.7.0 *
            CLOSED"
        ))
        .await;
    house.play(&format!("{HELLO}\nC= NOOP\\n\nS: 500 5.5.2 *\nC= NO\\0P\\r\\n\nS: 500 5.5.2 *")).await;
}

#[tokio::test]
async fn a_looping_message_is_refused() {
    let house = house(Kind::Smtp, |options| options.limits.received_max = 3).await;
    for (field, status) in [("from a by b", "554 5.4.6 *"), ("by mail.example.org", "554 5.4.6 *")] {
        let fields = format!("C: Received: {field}; x\n").repeat(if field.starts_with("by") { 6 } else { 4 });
        house
            .play(&format!(
                "{HELLO}
                C: MAIL FROM:<a@b.example>
                S: 250 2.1.0 *
                C: RCPT TO:<user1@example.org>
                S: 250 2.1.5 *
                C: DATA
                S: 354 *
                {fields}
                C= \\r\\nx\\r\\n.\\r\\n
                S: {status}"
            ))
            .await;
    }
}

fn loopback() -> Networks {
    Networks::new(vec!["127.0.0.0/8".parse().unwrap()])
}

#[tokio::test]
async fn a_trusted_front_end_speaks_for_its_client() {
    let house = house(Kind::Smtp, |options| options.xclient_networks = loopback()).await;
    house
        .play(&format!(
            "{HELLO}
            C: XCLIENT ADDR=203.0.113.9 NAME=client.test HELO=told.test
            S: 220 *
            C: MAIL FROM:<a@b.example>
            S: 503 5.5.1 *
            C: HELO front.example
            S: 250 *
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: XCLIENT ADDR=203.0.113.9
            S: 503 5.5.1 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *"
        ))
        .await;
    let prefix = house.copies.lock()[0].1.clone();
    assert!(prefix.contains("from told.test (client.test [203.0.113.9])"), "{prefix}");
}

#[tokio::test]
async fn others_may_not_use_xclient_or_proxy() {
    smtp()
        .await
        .play(&format!(
            "{HELLO}
        C: XCLIENT ADDR=203.0.113.9
        S: 550 5.7.1 *
        C: PROXY TCP4 203.0.113.9 192.0.2.1 1 25
        S: 500 5.5.1 *"
        ))
        .await;
}

#[tokio::test]
async fn a_proxy_tells_the_client_ahead_of_tls_too() {
    let proxied = |options: &mut Options| {
        options.proxy_networks = loopback();
        options.tls = TlsMode::Implicit;
    };
    let house = house(Kind::Smtp, proxied).await;
    let mut client = house.connect().await;
    client.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 1 25\r\n").await;
    let tls = TlsClient::opportunistic().unwrap();
    let mut client = Client { stream: client.stream.connect_tls(&tls, HOST).await.unwrap() };
    client
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *"
        ))
        .await;
    assert!(house.copies.lock()[0].1.contains("[203.0.113.9]"));
    house.play("C: EHLO x\nCLOSED").await;
}

#[tokio::test]
async fn idle_sessions_end_with_the_server() {
    let house = smtp().await;
    let mut client = house.play(HELLO).await;
    house.shutdown.trigger();
    client.play("S: 421 4.3.2 *\nCLOSED").await;
    assert_eq!(house.shutdown.drained(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let change = |options: &mut Options| {
        options.limits.command_timeout = Duration::from_millis(60);
        options.limits.content_idle_timeout = Duration::from_millis(60);
    };
    let house = house(Kind::Smtp, change).await;
    house.play("S: 220 *\nS: 421 4.4.2 *\nCLOSED").await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: half
            S: 421 4.4.2 *
            CLOSED"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn large_content_passes_through_the_disk() {
    let house = smtp().await;
    let mut client = house
        .play(&format!(
            "{HELLO}
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<user1@example.org>
        S: 250 *
        C: DATA
        S: 354 *"
        ))
        .await;
    let body = "0123456789abcdef\r\n".repeat(60_000);
    client.send(format!("A: b\r\n\r\n{body}.\r\n").as_bytes()).await;
    client.play("S: 250 2.0.0 *").await;
    assert_eq!(house.contents(), [format!("A: b\r\n\r\n{body}")]);
}

#[tokio::test]
async fn internationalised_mail_follows_rfc_6531() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("SMTPUTF8")));
    client
        .play(
            "
            C: MAIL FROM:<jörg@b.example>
            S: 550 5.6.7 *
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<jörg@example.org>
            S: 553 5.6.7 *
            C: RSET
            S: 250 *
            C: MAIL FROM:<jörg@b.example> SMTPUTF8
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *",
        )
        .await;
    assert!(house.copies.lock()[0].1.contains("with UTF8SMTP id"));
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3): from its first message without header and the
/// server's first, to its final message and the server's expected signature.
fn scram(bare: &str, server_first: &str, password: &[u8]) -> (String, String) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, Mac};
    use sha2::{Digest as _, Sha256};
    let mac = |key: &[u8], text: &[u8]| -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(part("s=")).unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, part("i=").parse().unwrap(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", part("r="));
    let authenticated = format!("{bare},{server_first},{without_proof}");
    let signature = mac(&Sha256::digest(&client_key), authenticated.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
    let server = mac(&mac(&salted, b"Server Key"), authenticated.as_bytes());
    (format!("{without_proof},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)))
}

#[tokio::test]
async fn scram_proves_both_sides() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let house = house(Kind::Submission, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    client.reply().await;
    let bare = "n=user1@example.org,r=fyko+d2lbbFgONRv9qkxdawL";
    let first = smtp_wire::encode_sasl(format!("n,,{bare}").as_bytes());
    client.send(format!("AUTH SCRAM-SHA-256 {first}\r\n").as_bytes()).await;
    let challenge = client.hear().await.unwrap();
    let challenge = STANDARD.decode(challenge.strip_prefix("334 ").unwrap()).unwrap();
    let (last, expected) = scram(bare, std::str::from_utf8(&challenge).unwrap(), b"password");
    client.send(format!("{}\r\n", smtp_wire::encode_sasl(last.as_bytes())).as_bytes()).await;
    // SMTP carries no data with success: the server's signature comes as one more challenge.
    let signature = client.hear().await.unwrap();
    assert_eq!(signature, format!("334 {}", smtp_wire::encode_sasl(expected.as_bytes())));
    client.send(b"\r\n").await;
    client.play("S: 235 2.7.0 *\nC: MAIL FROM:<user1@example.org>\nS: 250 *").await;
}

#[tokio::test]
async fn one_connection_too_many_hears_so() {
    let house = smtp().await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(house.play(HELLO).await);
    }
    house.play("S: 421 4.7.0 mail.example.org too many connections*\nCLOSED").await;
    kept[0].play("C: QUIT\nS: 221 *\nCLOSED").await;
}

#[tokio::test]
async fn own_users_headers_show_their_primary_address() {
    let house = house(Kind::Smtp, |options| options.relay_networks = loopback()).await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<user2@example.org>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: Una <una.berg@example.org>
            C: To: x@elsewhere.example, una.berg@example.org
            C: Subject: una.berg@example.org
            C= \\r\\nbody una.berg@example.org\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    let expected = "From: Una <user1@example.org>\r\nTo: x@elsewhere.example, user1@example.org\r\n\
        Subject: una.berg@example.org\r\n\r\nbody una.berg@example.org\r\n";
    assert_eq!(house.contents(), [expected]);
}
