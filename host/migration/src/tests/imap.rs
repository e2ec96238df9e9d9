//! Mail from another server, which here is one that loses connections and answers in its own order.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Fixture;
use crate::*;

/// What the other server has, and how it misbehaves.
#[derive(Default)]
struct Other {
    messages: AtomicU32,
    validity: AtomicU32,
    /// After so many messages a connection is cut, in the middle of one; never, where zero.
    cut_after: AtomicU32,
    connections: AtomicU64,
    /// This one cannot be read.
    broken: AtomicU32,
    /// This one is not given; and what becomes of the connection on which one asks whether it is there: nothing, once cut, or NO.
    withheld: AtomicU32,
    doubt: Mutex<Doubt>,
    /// What it offers, and what of it was asked for.
    offers: Mutex<String>,
    asked: Mutex<Vec<String>>,
}

/// What is answered to the question whether a message is there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Doubt {
    #[default]
    Told,
    Cut,
    Refused,
}

impl Other {
    async fn start(messages: u32) -> (Arc<Self>, Source) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = Arc::new(Self { messages: messages.into(), validity: 7.into(), ..Self::default() });
        let served = Arc::clone(&other);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                // Its end is the client's affair.
                let _ = served.serve(socket).await;
            }
        });
        let server = ImapServer {
            host: "127.0.0.1".to_owned(),
            port,
            implicit_tls: false,
            trust: None,
            clear: false,
            user: "anna".to_owned(),
            credentials: Credentials::Password("p\"w".to_owned()),
        };
        (other, Source::Imap(server))
    }

    async fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        let (from, mut to) = socket.into_split();
        to.write_all(b"* OK hello\r\n").await?;
        let (mut lines, mut given) = (BufReader::new(from).lines(), 0);
        while let Some(mut line) = lines.next_line().await? {
            if line.ends_with('}') {
                to.write_all(b"+ go on\r\n").await?;
                line.push_str(&lines.next_line().await?.unwrap_or_default());
            }
            let (tag, command) = line.split_once(' ').unwrap();
            let mut end = "OK done";
            let mut out = String::new();
            if command == "CAPABILITY" {
                out = format!("* CAPABILITY IMAP4rev1 {}\r\n", self.offers.lock().unwrap());
            } else if command == "ENABLE UTF8=ACCEPT" {
                out = "* ENABLED UTF8=ACCEPT\r\n".to_owned();
                self.asked.lock().unwrap().push(command.to_owned());
            } else if let Some(exchange) = command.strip_prefix("AUTHENTICATE ") {
                let said = self.exchange(exchange, &mut lines, &mut to).await?;
                end = if is_good(&said[1]) { "OK come in" } else { "NO not you" };
                self.asked.lock().unwrap().extend(said);
            } else if command.starts_with("LOGIN ") {
                assert!(
                    ["LOGIN \"anna\" \"p\\\"w\"", "LOGIN \"anna\" {3}pä"].contains(&command),
                    "{command}"
                );
            } else if command.starts_with("LIST") {
                out.push_str("* LIST (\\Noselect) \".\" Archive\r\n* LIST () \".\" {12}\r\nArchive.2026\r\n");
                out.push_str("* LIST () \".\" INBOX\r\n");
            } else if command.starts_with("LSUB") {
                out.push_str("* LSUB () \".\" Archive.2026\r\n");
            } else if command == "EXAMINE \"Archive.2026\"" {
                end = "NO [NOPERM] not yours";
            } else if command.starts_with("EXAMINE") {
                let validity = self.validity.load(Ordering::Relaxed);
                out = format!("* 3 EXISTS\r\n* OK [UIDVALIDITY {validity}] valid\r\n");
            } else if let Some(set) = command.strip_prefix("UID FETCH ") {
                let (set, items) = set.split_once(' ').unwrap();
                let whole = items.contains("BODY");
                let uids = self.uids(set);
                match self.doubted(set, whole) {
                    Doubt::Told => {}
                    Doubt::Cut => return Ok(()),
                    Doubt::Refused => end = "NO [UNAVAILABLE] not now",
                }
                if whole && uids.contains(&self.broken.load(Ordering::Relaxed)) {
                    end = "NO [SERVERBUG] unreadable";
                } else {
                    // The last comes first.
                    for uid in uids.into_iter().rev() {
                        given += u32::from(whole);
                        if whole && self.cut_after.load(Ordering::Relaxed) == given {
                            to.write_all(out.as_bytes()).await?;
                            return to.write_all(b"* 9 FETCH (UID 9 BODY[] {100}\r\nhalf of it").await;
                        }
                        out.push_str(&fetched(uid, whole));
                    }
                }
            }
            to.write_all(format!("{out}{tag} {end}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    /// What a client says to AUTHENTICATE: what has "good" in it is taken, to others there is one challenge.
    async fn exchange(
        &self,
        command: &str,
        lines: &mut tokio::io::Lines<BufReader<tokio::net::tcp::OwnedReadHalf>>,
        to: &mut tokio::net::tcp::OwnedWriteHalf,
    ) -> std::io::Result<Vec<String>> {
        let mut said: Vec<String> = command.split(' ').map(str::to_owned).collect();
        for challenge in ["+ \r\n", "+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"] {
            if said.get(1).is_some_and(|first| challenge == "+ \r\n" || is_good(first)) {
                continue;
            }
            to.write_all(challenge.as_bytes()).await?;
            said.push(lines.next_line().await?.unwrap_or_default());
        }
        Ok(said)
    }

    fn uids(&self, set: &str) -> Vec<u32> {
        let last = self.messages.load(Ordering::Relaxed) * 2;
        let mut uids: Vec<u32> = match set.strip_suffix(":*") {
            // Each second UID is gone.
            Some(first) => return (first.parse().unwrap()..=last).filter(|uid| uid % 2 == 0).collect(),
            None => set.split(',').map(|uid| uid.parse().unwrap()).collect(),
        };
        uids.retain(|uid| *uid != self.withheld.load(Ordering::Relaxed));
        uids
    }

    /// What becomes of a question whether the message that is withheld is there.
    fn doubted(&self, set: &str, whole: bool) -> Doubt {
        if whole || set != self.withheld.load(Ordering::Relaxed).to_string() {
            return Doubt::Told;
        }
        let mut doubt = self.doubt.lock().unwrap();
        if *doubt == Doubt::Cut { std::mem::take(&mut *doubt) } else { *doubt }
    }
}

fn is_good(said: &str) -> bool {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, said)
        .is_ok_and(|octets| String::from_utf8_lossy(&octets).contains("good"))
}

fn text(uid: u32) -> String {
    format!("Subject: {uid}\r\n\r\n{}", "x".repeat(uid as usize))
}

fn fetched(uid: u32, whole: bool) -> String {
    if !whole {
        return format!("* 1 FETCH (UID {uid})\r\n");
    }
    let (text, head) = (text(uid), "FLAGS (\\Seen \\Recent old) INTERNALDATE \"27-Nov-2026 12:52:43 +0200\"");
    format!("* 1 FETCH (BODY[] {{{}}}\r\n{text} UID {uid} {head})\r\n", text.len())
}

fn subjects(fixture: &Fixture, account: store::AccountId) -> Vec<String> {
    fixture.all(account).into_iter().map(|seen| String::from_utf8(seen.1).unwrap()).collect()
}

#[tokio::test]
async fn every_message_comes_once_whatever_becomes_of_connections() {
    let fixture = Fixture::new().await;
    let account = fixture.account("anna@example.org").await;
    let (other, source) = Other::start(120).await;
    other.cut_after.store(70, Ordering::Relaxed);
    let came = fixture.import(account, &source, false).await.unwrap();
    assert_eq!(came.mailboxes[0].messages, 120);
    assert_eq!(came.faults, ["Archive/2026: the other server says: [NOPERM] not yours"]);
    assert!(other.connections.load(Ordering::Relaxed) > 1);
    assert_eq!(subjects(&fixture, account), (1..=120).map(|number| text(number * 2)).collect::<Vec<_>>());
    let all = fixture.all(account);
    assert_eq!(
        (all[0].2, &all[0].3[..], all[0].4.0),
        (store::Flags::SEEN, &["old".to_owned()][..], super::DATE)
    );
    assert!(fixture.store.subscriptions(account).unwrap().contains(&"Archive/2026".to_owned()));
    // What came meanwhile comes with the next run, and nothing else.
    other.messages.store(125, Ordering::Relaxed);
    other.cut_after.store(0, Ordering::Relaxed);
    assert_eq!(fixture.import(account, &source, true).await.unwrap().mailboxes[0].messages, 5);
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 5);
    assert_eq!(fixture.all(account).len(), 125);
    // Another mailbox of the same name.
    other.validity.store(8, Ordering::Relaxed);
    let came = fixture.import(account, &source, false).await.unwrap();
    assert_eq!((came.mailboxes[0].messages, came.faults_total), (0, 2));
    assert!(came.faults[0].contains("UIDVALIDITY there is 8 now and was 7"), "{:?}", came.faults);
    // What is advised there brings all of it, once, however often the connection is lost.
    assert!(came.faults[0].contains("--anew=INBOX, which brings all"), "{:?}", came.faults);
    other.cut_after.store(70, Ordering::Relaxed);
    let inbox = Anew::Mailbox(store::MailboxName::inbox());
    assert_eq!(fixture.import_anew(account, &source, false, inbox).await.unwrap().mailboxes[0].messages, 125);
    other.cut_after.store(0, Ordering::Relaxed);
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 0);
    assert_eq!(fixture.all(account).len(), 250);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_and_the_others_come() {
    let fixture = Fixture::new().await;
    let account = fixture.account("anna@example.org").await;
    let (other, source) = Other::start(5).await;
    other.broken.store(6, Ordering::Relaxed);
    let came = fixture.import(account, &source, false).await.unwrap();
    assert_eq!((came.mailboxes[0].messages, came.faults_total), (4, 2));
    assert!(
        came.faults[0].contains("UID 6 of the other server was left out: [SERVERBUG]"),
        "{:?}",
        came.faults
    );
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 0);
}

/// One that was expunged since it was listed is asked for again; whatever becomes of that, the others come once.
#[tokio::test]
async fn a_connection_lost_in_doubt_brings_nothing_twice() {
    for (doubt, faults) in [(Doubt::Told, 1), (Doubt::Cut, 1), (Doubt::Refused, 2)] {
        let fixture = Fixture::new().await;
        let account = fixture.account("anna@example.org").await;
        let (other, source) = Other::start(3).await;
        other.withheld.store(4, Ordering::Relaxed);
        *other.doubt.lock().unwrap() = doubt;
        let came = fixture.import(account, &source, false).await.unwrap();
        assert_eq!(subjects(&fixture, account), [text(2), text(6)]);
        assert_eq!((came.mailboxes[0].messages, came.faults_total), (2, faults), "{:?}", came.faults);
    }
}

#[tokio::test]
async fn the_password_stays_off_the_network_unless_it_is_let() {
    let refused = |server: ImapServer| async move {
        crate::imap_client::ImapClient::enter(&server).await.err().map(|refusal| format!("{refusal:?}"))
    };
    let (_, source) = Other::start(1).await;
    let Source::Imap(server) = source else { panic!("an IMAP server") };
    assert_eq!(refused(server.clone()).await, None, "loopback");
    let literal = ImapServer { credentials: Credentials::Password("p\u{e4}".to_owned()), ..server.clone() };
    assert_eq!(refused(literal).await, None, "a password that no quotes can hold");
    let tls = ImapServer { implicit_tls: true, ..server };
    assert!(refused(tls).await.unwrap().contains("TLS"));
}

#[tokio::test]
async fn a_server_is_signed_in_to_by_what_it_offers() {
    let (other, source) = Other::start(1).await;
    let Source::Imap(server) = source else { panic!("an IMAP server") };
    let enter = async |offers: &str, credentials: Credentials| {
        offers.clone_into(&mut other.offers.lock().unwrap());
        let server = ImapServer { credentials, ..server.clone() };
        let entered = crate::imap_client::ImapClient::enter(&server).await;
        let refusal = entered.err().map(|refusal| format!("{refusal:?}"));
        (std::mem::take(&mut *other.asked.lock().unwrap()), refusal)
    };
    let own = || Credentials::Password("good".to_owned());
    let master = || Credentials::Master { login: "root".to_owned(), password: "good".to_owned() };
    assert_eq!(
        enter("AUTH=PLAIN SASL-IR", own()).await,
        (vec!["PLAIN".to_owned(), "AGFubmEAZ29vZA==".to_owned()], None)
    );
    assert_eq!(enter("AUTH=PLAIN", own()).await.0, ["PLAIN", "AGFubmEAZ29vZA=="]);
    let (said, refusal) = enter("AUTH=PLAIN LOGINDISABLED SASL-IR", master()).await;
    assert_eq!((said.len(), refusal), (2, None));
    let token = |text: &str| Credentials::Token(text.to_owned());
    let (said, refusal) = enter("AUTH=OAUTHBEARER SASL-IR", token("bad")).await;
    assert_eq!((&said[0][..], &said[2..]), ("OAUTHBEARER", &["AQ==".to_owned()][..]), "RFC 7628 \u{a7}3.2.3");
    assert!(refusal.unwrap().contains("refuses the login of anna: not you"));
    let (said, _) = enter("AUTH=XOAUTH2", token("bad")).await;
    assert_eq!((&said[0][..], &said[2..]), ("XOAUTH2", &[String::new()][..]));
    let (said, refusal) = enter("LOGINDISABLED", own()).await;
    assert!(said.is_empty() && refusal.unwrap().contains("LOGINDISABLED"));
}

#[tokio::test]
async fn messages_are_asked_for_as_they_are() {
    let fixture = Fixture::new().await;
    let account = fixture.account("anna@example.org").await;
    let (other, source) = Other::start(3).await;
    "ENABLE UTF8=ACCEPT".clone_into(&mut other.offers.lock().unwrap());
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 3);
    assert_eq!(*other.asked.lock().unwrap(), ["ENABLE UTF8=ACCEPT"]);
}
