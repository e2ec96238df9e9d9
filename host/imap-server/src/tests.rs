use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuthOptions, Authenticator, HashOptions, Hasher, Unencrypted};
use directory::{Directory, DirectoryOptions, PasswordHasher};
use events::{Events, LogOptions};
use mail_types::{AccountName, Timestamp};
use parking_lot::Mutex;
use runtime::{Clock, Listener, ListenerOptions, Random, Shutdown};
use store::{
    AppendRequest, AppendedContent, Derived, FlagChange, FlagMode, Flags, MailboxId, NewMessage, Store,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{Options, Parts, Server};

const LDIF: &str = "\
dn: o=example.org,o=isp\nobjectClass: mailDomain\nassociatedDomain: example.org\n\n\
dn: uid=jo,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: jo\nmail: jo@example.org\nuserPassword: pencil\n\n\
dn: uid=mo,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: mo\nmail: mo@example.org\nuserPassword: pencil\n";

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
    kept: Derived,
    address: std::net::SocketAddr,
    _options: watch::Sender<Arc<Options>>,
    log: Log,
    dir: tempfile::TempDir,
}

/// With room for so much of whole messages.
async fn bench(whole_messages_kib: u32) -> Bench {
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
    let store = Store::open(storage.clone(), clock, events.clone()).await.unwrap();
    let of_derived = dir.path().join("derived");
    let of_derived = storage::Storage::open(&of_derived, store::DERIVED_SPACES, &storage_options).unwrap();
    let derived = store::Derived::new(of_derived);
    let kept = derived.clone();
    let parts = Parts { store: store.clone(), derived, storage, authenticator, events, tls: None };
    let server = Server::with_room(parts, whole_messages_kib);
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let listener =
        Listener::bind(&ListenerOptions { address, backlog: 9, connections_max: 9, per_network_max: 9 });
    let listener = listener.unwrap();
    let address = listener.local_addr();
    let (sender, options) = watch::channel(Arc::new(Options::default()));
    tokio::spawn(async move { server.serve(listener, options, Shutdown::new()).await });
    Bench { store, kept, address, _options: sender, log, dir }
}

impl Bench {
    fn inbox(&self) -> MailboxId {
        let account = AccountName::new("jo@example.org").unwrap();
        MailboxId::inbox(self.store.find_account(&account).unwrap().unwrap())
    }

    async fn deliver(&self, octets: &[u8]) {
        let account = AccountName::new("jo@example.org").unwrap();
        let inbox = MailboxId::inbox(self.store.ensure_account(&account).await.unwrap());
        let mut content = self.store.storage().content(1 << 26);
        content.write(octets).await.unwrap();
        let content = content.finish().await.unwrap();
        let message = NewMessage { content, flags: Flags::NONE, keywords: vec![], internal_date: None };
        self.store.append(inbox, vec![message]).await.unwrap();
    }

    /// Two copies of one content, with these fields on top.
    async fn deliver_with(&self, prefixes: [&[u8]; 2], octets: &[u8]) {
        let account = AccountName::new("jo@example.org").unwrap();
        let mailbox = MailboxId::inbox(self.store.ensure_account(&account).await.unwrap());
        let mut batch = storage::Batch::new();
        let content = AppendedContent::Drawn(batch.store_content(octets.to_vec().into(), 2));
        let mut appended = Vec::new();
        for prefix in prefixes {
            let request = AppendRequest {
                mailbox,
                content,
                content_len: octets.len() as u64,
                prefix,
                internal_date: Timestamp(9_000),
                flags: Flags::NONE,
            };
            appended.push(self.store.append_to_batch(&mut batch, &request).unwrap());
        }
        let committed = self.store.storage().commit(batch).await.unwrap();
        for appended in appended {
            self.store.publish_appended(appended, &committed);
        }
    }

    async fn selected(&self) -> Client {
        let mut client = self.logged_in("jo").await;
        client.ok("SELECT INBOX").await;
        client
    }

    async fn logged_in(&self, uid: &str) -> Client {
        let mut client = Client(BufStream::new(TcpStream::connect(self.address).await.unwrap()));
        assert!(client.line().await.starts_with("* OK "));
        client.ok(&format!("LOGIN {uid}@example.org pencil")).await;
        client
    }
}

struct Client(BufStream<TcpStream>);

impl Client {
    /// A line without its CRLF.
    async fn line(&mut self) -> String {
        let mut octets = Vec::new();
        assert_ne!(self.0.read_until(b'\n', &mut octets).await.unwrap(), 0, "the server has closed");
        String::from_utf8(octets).unwrap().trim_end_matches("\r\n").to_owned()
    }

    async fn say(&mut self, command: &str) {
        self.0.write_all(format!("t {command}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The untagged lines of a command that succeeds.
    async fn ok(&mut self, command: &str) -> Vec<String> {
        self.say(command).await;
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                end if end.starts_with("t ") => {
                    assert!(end.starts_with("t OK"), "{command}: {end}");
                    return lines;
                }
                line => lines.push(line),
            }
        }
    }
}

/// A multipart message with one large text part.
fn large(part: &str) -> Vec<u8> {
    let head = "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n";
    format!("{head}{part}\r\n--b--\r\n").into_bytes()
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_no_room_from_others() {
    // Room for one message at a time.
    let bench = bench(1).await;
    let part = "0123456789abcde\n".repeat(2 << 20);
    bench.deliver(&large(&part)).await;
    let mut slow = bench.selected().await;
    slow.say("FETCH 1 BODY.PEEK[1]").await;
    assert_eq!(slow.line().await, format!("* 1 FETCH (BODY[1] {{{}}}", part.len()));
    let mut other = bench.selected().await;
    let lines = other.ok("FETCH 1 BODY").await;
    assert!(lines[0].starts_with("* 1 FETCH (BODY ((\"text\" \"plain\""), "{lines:?}");
    assert_eq!(other.ok("SEARCH BODY 89abcde").await, ["* SEARCH 1"]);
    // And in the end the slow one has all of it.
    let mut octets = vec![0; part.len()];
    slow.0.read_exact(&mut octets).await.unwrap();
    assert!(octets == part.as_bytes());
    assert_eq!(slow.line().await, ")");
    assert!(slow.line().await.starts_with("t OK"));
}

/// A multipart message with a plain text, and octets in base64.
fn attached(subject: &str, octets: &[u8]) -> Vec<u8> {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b";
    let field = "Content-Transfer-Encoding: base64";
    let body = message::base64_body(octets);
    format!("Subject: {subject}\r\n{head}\r\n{field}\r\n\r\n{body}--b--\r\n").into_bytes()
}

#[tokio::test]
async fn parts_of_any_size_come_without_their_encoding() {
    // Room for one message at a time.
    let bench = bench(1).await;
    let plain: Vec<u8> = (0..9 << 20_u32).map(|at| (at % 255) as u8 + 1).collect();
    let mut with_nul = plain.clone();
    with_nul[8 << 20] = 0;
    // A surrogate of the header is told: the part stands elsewhere in it.
    for (subject, octets) in [("small", &b"x"[..]), ("large", &plain), ("gr\u{fc}n", &with_nul)] {
        bench.deliver(&attached(subject, octets)).await;
    }
    let mut client = bench.selected().await;
    let size = plain.len();
    for (number, octets, tilde) in [(2, &plain, ""), (3, &with_nul, "~")] {
        client.say(&format!("FETCH {number} (BINARY.SIZE[2] BINARY.PEEK[2])")).await;
        let name = format!("* {number} FETCH (BINARY.SIZE[2] {size} BINARY[2] {tilde}{{{size}}}");
        assert_eq!(client.line().await, name);
        let mut came = vec![0; size];
        client.0.read_exact(&mut came).await.unwrap();
        assert!(came == *octets, "{number}");
        assert_eq!(client.line().await, ")");
        assert!(client.line().await.starts_with("t OK"));
        client.say(&format!("FETCH {number} BINARY.PEEK[2]<8388500.100000>")).await;
        assert_eq!(client.line().await, format!("* {number} FETCH (BINARY[2]<8388500> {tilde}{{100000}}"));
        let mut came = vec![0; 100_000];
        client.0.read_exact(&mut came).await.unwrap();
        assert!(came == octets[8_388_500..8_488_500], "{number}");
        assert_eq!(client.line().await, ")");
        assert!(client.line().await.starts_with("t OK"));
    }
}

#[tokio::test]
async fn a_message_of_which_too_much_is_asked_keeps_nobody_from_the_others() {
    let bench = bench(1024).await;
    for octets in [20, 1 << 20, 20] {
        bench.deliver(format!("Subject: {}\r\n\r\ntext\r\n", "s".repeat(octets)).as_bytes()).await;
    }
    let mut client = bench.selected().await;
    for others in ["", " BODY.PEEK[1]"] {
        client.say(&format!("FETCH 1:3 (UID{}{others})", " ENVELOPE".repeat(20))).await;
        let mut numbers = Vec::new();
        let last = loop {
            match client.line().await {
                line if line.starts_with("t ") => break line,
                line if line.starts_with("* ") => numbers.push(line.split(' ').nth(1).unwrap().to_owned()),
                _ => {}
            }
        };
        assert_eq!(numbers, ["1", "3"], "{last}");
        assert!(last.starts_with("t NO [LIMIT] more is asked for") && last.ends_with("UID 2"), "{last}");
    }
}

#[tokio::test]
async fn headers_of_any_length_come_as_they_are() {
    let bench = bench(1024).await;
    for lines in [10, 3_000, 100_000] {
        let header = format!("X: {}\r\n\r\n", "0123456789abcdef\r\n ".repeat(lines));
        bench.deliver(format!("{header}body\r\n").as_bytes()).await;
    }
    let mut client = bench.selected().await;
    for (number, lines) in [(1, 10), (2, 3_000), (3, 100_000)] {
        let got = client.ok(&format!("FETCH {number} (BODY.PEEK[HEADER] BODY.PEEK[TEXT])")).await;
        assert!(got[0].starts_with(&format!("* {number} FETCH (BODY[HEADER] {{")), "{}", got[0]);
        assert_eq!(got.len(), 1 + lines + 1 + 2 + 2, "{number}");
        assert_eq!(got[got.len() - 2..], ["body", ")"].map(str::to_owned));
        assert_eq!(got[got.len() - 3], " BODY[TEXT] {6}");
    }
}

/// Whether the envelope of a content is kept.
async fn has_envelope(bench: &Bench, content: storage::ContentId) -> bool {
    for _ in 0..100 {
        if bench.kept.reader().unwrap().get(content, crate::derived::Kind::Envelope as u8).is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// RFC 8474 §5.1: what is different is not taken for the same; copies are the same.
async fn identifiers_are_of_all_octets(client: &mut Client) {
    async fn id(client: &mut Client, number: u32) -> String {
        let told = client.ok(&format!("FETCH {number} EMAILID")).await;
        told[0].split(['(', ')']).nth(2).unwrap().to_owned()
    }
    let (one, other) = (id(client, 1).await, id(client, 2).await);
    assert_ne!(one, other);
    assert_eq!(client.ok(&format!("SEARCH EMAILID {one}")).await, ["* SEARCH 1"]);
    client.ok("COPY 1 Trash").await;
    client.ok("EXAMINE Trash").await;
    assert_eq!(id(client, 1).await, one);
    client.ok("SELECT INBOX").await;
}

#[tokio::test]
async fn an_envelope_is_kept_where_it_is_the_contents_alone() {
    let bench = bench(1024).await;
    let header = "Subject: of the content\r\nFrom: a@b.example\r\n\r\n";
    let received = &b"Received: from here\r\n"[..];
    bench.deliver_with([b"Subject: on top\r\n", received], header.as_bytes()).await;
    bench.deliver(b"Subject: sch\xc3\xb6n\r\n\r\n").await;
    let mut client = bench.selected().await;
    let info = |uid| bench.store.reader(bench.inbox()).unwrap().info(store::Uid(uid)).unwrap().unwrap();
    let (shared, utf8) = (info(1).content, info(3).content);
    assert_eq!(info(2).content, shared);
    identifiers_are_of_all_octets(&mut client).await;
    let subject = |lines: &[String]| lines[0].split('"').nth(1).unwrap_or_default().to_owned();
    let on_top = client.ok("FETCH 1 ENVELOPE").await;
    assert_eq!(subject(&on_top), "on top");
    assert!(bench.kept.reader().unwrap().get(shared, crate::derived::Kind::Envelope as u8).is_none());
    let of_content = client.ok("FETCH 2 ENVELOPE").await;
    assert_eq!(subject(&of_content), "of the content");
    assert!(has_envelope(&bench, shared).await);
    // From what is kept, alone and beside other items; and not where it does not hold.
    assert_eq!(client.ok("FETCH 2 ENVELOPE").await, of_content);
    assert_eq!(client.ok("FETCH 1 ENVELOPE").await, on_top);
    assert_eq!(subject(&client.ok("FETCH 2 (ENVELOPE BODYSTRUCTURE)").await), "of the content");
    assert_eq!(subject(&client.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").await), "on top");
    // Who cannot take UTF-8 gets another one than who can, whoever asked first.
    let surrogate = client.ok("FETCH 3 ENVELOPE").await;
    let mut other = bench.selected().await;
    other.ok("ENABLE UTF8=ACCEPT").await;
    let plain = other.ok("FETCH 3 ENVELOPE").await;
    assert!(has_envelope(&bench, utf8).await);
    assert!(
        surrogate.concat().is_ascii() && plain.concat().contains("sch\u{f6}n"),
        "{surrogate:?} {plain:?}"
    );
    assert_eq!(client.ok("FETCH 3 ENVELOPE").await, surrogate);
    assert_eq!(other.ok("FETCH 3 ENVELOPE").await, plain);
}

#[tokio::test]
async fn one_damaged_message_keeps_nobody_from_the_others() {
    let bench = bench(1024).await;
    for number in 1..=3 {
        let filler = "needle in the text\r\n".repeat(if number == 2 { 200 } else { 1 });
        bench.deliver(format!("Subject: number {number}\r\n\r\n{filler}").as_bytes()).await;
    }
    // Only the second is large enough for a file of its own.
    let files: Vec<_> = std::fs::read_dir(bench.dir.path().join("content")).unwrap().collect();
    assert_eq!(files.len(), 1);
    std::fs::remove_file(files[0].as_ref().unwrap().path()).unwrap();
    let mut client = bench.selected().await;
    for items in ["BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[TEXT]"] {
        client.say(&format!("FETCH 1:3 (UID {items})")).await;
        let mut numbers = Vec::new();
        let last = loop {
            let line = client.line().await;
            match line.split_once(" FETCH (UID ") {
                Some((number, _)) => numbers.push(number.to_owned()),
                None if line.starts_with("t ") => break line,
                None => {}
            }
        };
        assert_eq!(numbers, ["* 1", "* 3"], "{items}");
        assert!(last.starts_with("t NO [CORRUPTION] these messages are damaged") && last.ends_with("UID 2"));
    }
    let line = bench.log.line_with("internal_error").await;
    assert!(line.contains("place=imap") && line.contains("content"), "{line}");
    for search in ["SUBJECT number", "TEXT needle", "BODY needle"] {
        assert_eq!(client.ok(&format!("SEARCH {search}")).await[0], "* SEARCH 1 3", "{search}");
    }
    assert_eq!(client.ok("SEARCH SEEN").await[0], "* SEARCH");
}

#[tokio::test]
async fn a_text_is_told_where_seen_cannot_be_kept() {
    let bench = bench(1024).await;
    bench.deliver(b"Subject: x\r\n\r\nthe text").await;
    let mut owner = bench.selected().await;
    owner.ok("SETACL INBOX mo@example.org lrs").await;
    while bench.store.status(bench.inbox()).unwrap().messages < 2 * store::SEEN_RANGES_MAX as u64 + 2 {
        owner.ok("COPY 1:* INBOX").await;
    }
    // What the guest has seen is one range for each message, as many as are kept.
    let mut guest = bench.logged_in("mo").await;
    let account = AccountName::new("mo@example.org").unwrap();
    let id = bench.store.find_account(&account).unwrap().unwrap();
    let uids: Vec<_> = (1..=store::SEEN_RANGES_MAX as u32).map(|number| store::Uid(2 * number)).collect();
    let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: &[], unchanged_since: None };
    bench.store.on_behalf_of(id, &account).store_flags(bench.inbox(), &uids, &change).await.unwrap();
    guest.ok("SELECT user/jo@example.org/INBOX").await;
    let number = 2 * store::SEEN_RANGES_MAX + 2;
    guest.say(&format!("FETCH {number} BODY[TEXT]")).await;
    assert_eq!(guest.line().await, format!("* {number} FETCH (BODY[TEXT] {{8}}"));
    assert_eq!(guest.line().await, "the text)");
    let last = guest.line().await;
    assert!(last.starts_with("t OK FETCH done, but \\Seen was not kept: there are more ranges"), "{last}");
}

#[tokio::test]
async fn a_refused_login_is_logged_with_its_name_whatever_the_mechanism() {
    let bench = bench(1024).await;
    let mut client = Client(BufStream::new(TcpStream::connect(bench.address).await.unwrap()));
    client.line().await;
    // NUL jo@example.org NUL wrong
    client.say("AUTHENTICATE PLAIN AGpvQGV4YW1wbGUub3JnAHdyb25n").await;
    let line = bench.log.line_with("authentication_failed").await;
    assert!(line.contains("jo@example.org") && line.contains("PLAIN"), "{line}");
}

#[tokio::test]
async fn who_hears_of_too_much_is_told_so_and_hears_of_no_more() {
    let bench = bench(1024).await;
    let mut client = bench.selected().await;
    client.ok("NOTIFY SET (personal (SubscriptionChange))").await;
    // Within a command nothing is told: all of it waits.
    client.0.write_all(b"t NO").await.unwrap();
    client.0.flush().await.unwrap();
    let account = bench.store.find_account(&AccountName::new("jo@example.org").unwrap()).unwrap().unwrap();
    let name = store::MailboxName::new("x").unwrap();
    for _ in 0..3 * store::FEED_WAITING_MAX {
        bench.store.unsubscribe(account, &name).await.unwrap();
    }
    client.0.write_all(b"OP\r\n").await.unwrap();
    client.0.flush().await.unwrap();
    while client.line().await != "* OK [NOTIFICATIONOVERFLOW] more happened than can be told" {}
    bench.store.subscribe(account, &name).await.unwrap();
    assert!(client.ok("NOOP").await.is_empty());
    client.ok("NOTIFY SET (personal (SubscriptionChange))").await;
    bench.store.unsubscribe(account, &name).await.unwrap();
    assert_eq!(client.line().await, "* LIST (\\NonExistent \\HasNoChildren) \"/\" x");
}
