//! Dialogues with scripted peers on loopback.

mod script;

use std::time::Duration;

use bytes::Bytes;
use dns::{Dns, Hosts, Servers};
use mail_types::{
    Address, BodyType, Domain, Notify, QueueId, Recipient, ReversePath, Route, Timestamp, Transport,
};
use queue::Duty;
use runtime::Random;
use storage::LoadedContent;

use super::*;
use script::ScriptedPeer;

const CONTENT: &str = "Subject: test\r\n\r\nHello\r\n";
const HELLO: &str = "S: 220 mx.test\nC: EHLO us.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 DSN\n";

fn options() -> RemoteOptions {
    RemoteOptions::new(Dialect::Smtp, "us.test")
}

fn channel_of(options: RemoteOptions, peers: &[&ScriptedPeer]) -> RemoteChannel {
    let mut hosts = Hosts::new();
    let addresses: Vec<String> = peers.iter().map(|peer| peer.address.to_string()).collect();
    hosts.insert("there.test", &addresses).unwrap();
    let dns = dns::Options { servers: Servers::Nobody, hosts, ..dns::Options::default() };
    let resolver = Arc::new(Dns::new(dns, Random::seeded(1)).unwrap());
    let opportunistic = Some(runtime::TlsClient::opportunistic().unwrap());
    RemoteChannel::new(options, RemoteTls { opportunistic, verified: None }, resolver, Clock::system())
}

fn attempt(recipients: &[&str]) -> Attempt {
    let recipient = |text: &&str| Recipient::new(Address::parse(text).unwrap());
    Attempt {
        id: QueueId::from_u64(1),
        reverse_path: ReversePath::Address(Address::parse("me@us.test").unwrap()),
        transport: Transport::default(),
        recipients: recipients.iter().map(recipient).collect(),
        route: Route::new("smtp", NextHop::Domain(Domain::parse("there.test").unwrap())),
        prefix: Bytes::from_static(b"Received: here\r\n"),
        content: LoadedContent::Memory(Bytes::from_static(CONTENT.as_bytes())),
        source: String::new(),
        authenticated: None,
        arrived: Timestamp(0),
    }
}

/// One line for each outcome, without the remote.
fn shown(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Delivered { reply, duty, .. } => {
                format!("delivered {reply}{}", if *duty == Duty::PassedOn { " (reports)" } else { "" })
            }
            Outcome::Deferred { reply, reach, .. } => format!("deferred {reply} ({reach:?})"),
            Outcome::Failed { reply, .. } => format!("failed {reply}"),
            other => format!("{other:?}"),
        })
        .collect()
}

const A: &str = "a@there.test";
const B: &str = "b@there.test";

fn message(pipelined: bool) -> String {
    let [mail, rcpt, data] =
        ["C: MAIL FROM:<me@us.test>\n", "C: RCPT TO:<a@there.test>\n", "C: DATA\n"].map(str::to_owned);
    let [ok, go] = ["S: 250 ok\n", "S: 354 go\n"];
    let commands = if pipelined {
        mail + &rcpt + &data + ok + ok + go
    } else {
        mail + "@quiet\n" + ok + &rcpt + "@quiet\n" + ok + &data + go
    };
    commands + "C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\nS: 250 2.0.0 kept as 42\n"
}

#[tokio::test]
async fn messages_share_a_connection_and_commands_a_write() {
    let script = HELLO.to_owned() + &message(true) + &message(true) + "C: QUIT\nS: 221 bye\n";
    let peer = ScriptedPeer::start(&[&script]).await;
    let channel = channel_of(options(), &[&peer]);
    for _ in 0..2 {
        let outcomes = channel.attempt(&attempt(&[A])).await;
        assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42 (reports)"]);
        let Outcome::Delivered { remote: Some(remote), .. } = &outcomes[0] else { panic!() };
        assert_eq!(*remote, format!("[127.0.0.1]:{}", peer.address.port()));
    }
    channel.end().await;
    peer.finish().await;
}

#[tokio::test]
async fn an_old_server_is_greeted_with_helo_and_waited_for() {
    let script = "S: 220 old\nC: EHLO us.test\nS: 502 what?\nC: HELO us.test\nS: 250 hi\n".to_owned();
    let peer = ScriptedPeer::start(&[&(script + &message(false))]).await;
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt(&[A])).await;
    assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42"]);
    peer.finish().await;
}

#[tokio::test]
async fn chunking_takes_one_round_trip() {
    let script = "S: 220 mx\nC: EHLO us.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE 0\nS: 250 CHUNKING\n\
                  C: MAIL FROM:<me@us.test> SIZE=40\nC: RCPT TO:<a@there.test>\nC: RCPT TO:<b@there.test>\n\
                  C: BDAT 40 LAST\nC: Received: here\nC: Subject: test\nC: \nC: Hello\n\
                  S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no b\nS: 250 2.0.0 done\n";
    let peer = ScriptedPeer::start(&[script]).await;
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt(&[A, B])).await;
    assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 done", "failed 550 5.1.1 no b"]);
    peer.finish().await;
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let script = HELLO.to_owned()
        + "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<c@there.test>\nC: RCPT TO:<a@there.test>\n\
           C: RCPT TO:<b@there.test>\nC: DATA\nS: 250 ok\nS: 450 4.2.1 later\nS: 250 ok\nS: 550 no\nS: 354 go\n\
           C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\nS: 250 ok\n";
    let peer = ScriptedPeer::start(&[&script]).await;
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt(&["c@there.test", A, B])).await;
    let expected = ["deferred 450 4.2.1 later (Recipient)", "delivered 250 ok (reports)", "failed 550 no"];
    assert_eq!(shown(&outcomes), expected);
    peer.finish().await;
}

#[tokio::test]
async fn nobody_accepted_sends_nothing_and_the_next_message_resets() {
    let refused = "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: DATA\nS: 250 ok\nS: 550 no\n";
    let reset = "C: RSET\nC: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: DATA\n\
                 S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n\
                 C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\nS: 250 kept\n";
    for end in ["S: 354 go\nC: .\nS: 554 nobody\n", "S: 503 no recipients\n"] {
        let script = HELLO.to_owned() + refused + end + reset;
        let peer = ScriptedPeer::start(&[&script]).await;
        let channel = channel_of(options(), &[&peer]);
        assert_eq!(shown(&channel.attempt(&attempt(&[A])).await), ["failed 550 no"]);
        assert_eq!(shown(&channel.attempt(&attempt(&[A])).await), ["delivered 250 kept (reports)"]);
        peer.finish().await;
    }
}

#[tokio::test]
async fn recipients_over_the_peers_limit_go_in_a_second_transaction() {
    let body = "C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\nS: 250 ok\n";
    let script = HELLO.to_owned()
        + "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: RCPT TO:<b@there.test>\nC: DATA\n\
           S: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\nS: 354 go\n"
        + body
        + "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<b@there.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
        + body;
    let peer = ScriptedPeer::start(&[&script]).await;
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt(&[A, B])).await;
    assert_eq!(shown(&outcomes), ["delivered 250 ok (reports)", "delivered 250 ok (reports)"]);
    peer.finish().await;
}

#[tokio::test]
async fn a_host_that_turns_away_is_followed_by_the_next() {
    let hello = "S: 220 mx\nC: EHLO us.test\nS: 550 no\nC: HELO us.test\nS: 550 not you\n";
    for greeting in ["S: 421 4.3.2 busy\n", "S: 554 no\n", "@close\n", "S: nonsense\n", hello] {
        let first = ScriptedPeer::start(&[greeting]).await;
        let second = ScriptedPeer::start(&[&(HELLO.to_owned() + &message(true))]).await;
        let outcomes = channel_of(options(), &[&first, &second]).attempt(&attempt(&[A])).await;
        assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42 (reports)"], "{greeting}");
        first.finish().await;
        second.finish().await;
    }
}

#[tokio::test]
async fn when_every_host_fails_the_destination_rests() {
    let first = ScriptedPeer::start(&["S: 554 5.7.1 not you\n"]).await;
    let outcomes = channel_of(options(), &[&first]).attempt(&attempt(&[A])).await;
    let text = "deferred 554 5.7.1 not you (Destination)";
    assert_eq!(shown(&outcomes), [text]);
    first.finish().await;
    let hello = "S: 220 mx\nC: EHLO us.test\nS: 550 no\nC: HELO us.test\nS: 550 5.7.1 not you\n";
    let second = ScriptedPeer::start(&[hello]).await;
    let outcomes = channel_of(options(), &[&second]).attempt(&attempt(&[A])).await;
    let text = "deferred 550 5.7.1 not you (Destination)";
    assert_eq!(shown(&outcomes), [text]);
    second.finish().await;
    let never = ScriptedPeer::start(&["S: 521 5.3.2 no mail here\n"]).await;
    let outcomes = channel_of(options(), &[&never]).attempt(&attempt(&[A])).await;
    assert_eq!(shown(&outcomes), ["failed 521 5.3.2 no mail here"]);
    never.finish().await;
}

#[tokio::test]
async fn a_mute_host_is_given_up_in_time() {
    let mute = ScriptedPeer::start(&["C: never\n"]).await;
    let mut options = options();
    options.timeouts.greeting = Duration::from_millis(20);
    let outcomes = channel_of(options, &[&mute]).attempt(&attempt(&[A])).await;
    assert!(matches!(&outcomes[0], Outcome::Deferred { reach: Reach::Destination, .. }), "{outcomes:?}");
}

#[tokio::test]
async fn a_peer_lost_after_the_content_is_not_followed_by_the_next() {
    let lost = message(true).replace("S: 250 2.0.0 kept as 42\n", "@close\n");
    let first = ScriptedPeer::start(&[&(HELLO.to_owned() + &lost)]).await;
    let second = ScriptedPeer::start(&[]).await;
    let outcomes = channel_of(options(), &[&first, &second]).attempt(&attempt(&[A])).await;
    assert!(shown(&outcomes)[0].contains("broke off after the whole message"), "{outcomes:?}");
    first.finish().await;
    second.finish().await;
}

#[tokio::test]
async fn a_peer_lost_before_the_content_is_followed_by_the_next() {
    let lost = "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: RCPT TO:<b@there.test>\nC: DATA\n\
                S: 250 ok\nS: 550 no a\n@close\n";
    let first = ScriptedPeer::start(&[&(HELLO.to_owned() + lost)]).await;
    let second = ScriptedPeer::start(&[&(HELLO.to_owned() + &message(true).replace(A, B))]).await;
    let outcomes = channel_of(options(), &[&first, &second]).attempt(&attempt(&[A, B])).await;
    assert_eq!(shown(&outcomes), ["failed 550 no a", "delivered 250 2.0.0 kept as 42 (reports)"]);
    first.finish().await;
    second.finish().await;
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    for end in ["@close\n", "S: 421 idle\n@close\n"] {
        let once = HELLO.to_owned() + &message(true);
        let peer = ScriptedPeer::start(&[&(once.clone() + end), &once]).await;
        let channel = channel_of(options(), &[&peer]);
        for _ in 0..2 {
            let outcomes = channel.attempt(&attempt(&[A])).await;
            assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42 (reports)"]);
        }
        peer.finish().await;
    }
}

#[tokio::test]
async fn unused_connections_are_closed_in_order_and_only_so_many_are_kept() {
    let once = HELLO.to_owned() + &message(true) + "C: QUIT\nS: 221 bye\n";
    let peer = ScriptedPeer::start(&[&once]).await;
    let mut brief = options();
    brief.idle = Duration::from_millis(5);
    let channel = channel_of(brief, &[&peer]);
    assert!(matches!(channel.attempt(&attempt(&[A])).await[0], Outcome::Delivered { .. }));
    peer.finish().await;
    assert!(channel.0.cache.drain().is_empty());

    for (per_destination, messages) in [(0, 1000), (20, 1)] {
        let peer = ScriptedPeer::start(&[&once, &once]).await;
        let mut limited = options();
        limited.idle_per_destination = per_destination;
        limited.messages_per_connection = messages;
        let channel = channel_of(limited, &[&peer]);
        for _ in 0..2 {
            assert!(matches!(channel.attempt(&attempt(&[A])).await[0], Outcome::Delivered { .. }));
        }
        peer.finish().await;
    }
}

#[tokio::test]
async fn starttls_is_used_and_a_broken_one_falls_back() {
    let offer = "S: 220 mx\nC: EHLO us.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n";
    let inside = "C: EHLO us.test\nS: 250-mx\nS: 250 PIPELINING\n".to_owned() + &message(true);
    let peer = ScriptedPeer::start(&[&(offer.to_owned() + "@tls\n" + &inside)]).await;
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt(&[A])).await;
    assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42"]);
    peer.finish().await;

    let clear = offer.replace("C: STARTTLS\nS: 220 go\n", "") + &message(false);
    let broken = ScriptedPeer::start(&[&(offer.to_owned() + "S: no tls at all\n"), &clear]).await;
    let outcomes = channel_of(options(), &[&broken]).attempt(&attempt(&[A])).await;
    assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42"]);
    broken.finish().await;
}

#[tokio::test]
async fn required_tls_is_never_left_out() {
    let mut options = options();
    options.tls_policies.insert(Domain::parse("there.test").unwrap(), TlsPolicy::Required);
    for end in ["S: 250 mx\n", "S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\n"] {
        let peer = ScriptedPeer::start(&[&("S: 220 mx\nC: EHLO us.test\n".to_owned() + end)]).await;
        let outcomes = channel_of(options.clone(), &[&peer]).attempt(&attempt(&[A])).await;
        assert!(shown(&outcomes)[0].starts_with("deferred 451 4.7.10 TLS is required"), "{outcomes:?}");
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_smart_host_gets_our_credentials() {
    let mut options = options();
    let (login, password) = ("us".to_owned(), "hush".to_owned());
    let credentials = Credentials { login, password, allow_clear: true };
    options.credentials.insert(Domain::parse("there.test").unwrap(), credentials);
    let hello =
        |mechanisms: &str| format!("S: 220 mx\nC: EHLO us.test\nS: 250-mx\nS: 250 AUTH {mechanisms}\n");
    let plain = hello("LOGIN PLAIN") + "C: AUTH PLAIN AHVzAGh1c2g=\nS: 235 welcome\n" + &message(false);
    let login = hello("LOGIN")
        + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXM=\nS: 334 UGFzc3dvcmQ6\nC: aHVzaA==\nS: 235 welcome\n"
        + &message(false);
    for script in [plain, login] {
        let peer = ScriptedPeer::start(&[&script]).await;
        let outcomes = channel_of(options.clone(), &[&peer]).attempt(&attempt(&[A])).await;
        assert_eq!(shown(&outcomes), ["delivered 250 2.0.0 kept as 42"]);
        peer.finish().await;
    }
    options.credentials.values_mut().for_each(|credentials| credentials.allow_clear = false);
    let peer = ScriptedPeer::start(&[&hello("PLAIN")]).await;
    let outcomes = channel_of(options, &[&peer]).attempt(&attempt(&[A])).await;
    assert!(shown(&outcomes)[0].starts_with("deferred 451 4.7.0"), "{outcomes:?}");
    peer.finish().await;
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let script = "S: 220 store\nC: LHLO us.test\nS: 250-store\nS: 250 PIPELINING\nC: MAIL FROM:<me@us.test>\n\
                  C: RCPT TO:<a@there.test>\nC: RCPT TO:<b@there.test>\nC: RCPT TO:<c@there.test>\nC: DATA\n\
                  S: 250 ok\nS: 250 ok\nS: 550 no b\nS: 250 ok\nS: 354 go\n\
                  C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\n\
                  S: 452 4.2.2 a is full\nS: 250 2.1.5 c has it\n";
    let peer = ScriptedPeer::start(&[script]).await;
    let channel = channel_of(RemoteOptions::new(Dialect::Lmtp, "us.test"), &[&peer]);
    let mut attempt = attempt(&[A, B, "c@there.test"]);
    let host = Domain::parse("[127.0.0.1]").unwrap();
    attempt.route = Route::new("lmtp", NextHop::Host { host, port: Some(peer.address.port()) });
    let expected =
        ["deferred 452 4.2.2 a is full (Recipient)", "failed 550 no b", "delivered 250 2.1.5 c has it"];
    assert_eq!(shown(&channel.attempt(&attempt).await), expected);
    peer.finish().await;
}

#[tokio::test]
async fn lmtp_sends_a_chunk_only_to_recipients_that_were_accepted() {
    let hello =
        "S: 220 store\nC: LHLO us.test\nS: 250-store\nS: 250-PIPELINING\nS: 250 CHUNKING\n".to_owned();
    let refused = "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nS: 250 ok\nS: 550 no a\n";
    let taken = "C: RSET\nC: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: RCPT TO:<b@there.test>\n\
                 S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 ok\n\
                 C: BDAT 40 LAST\nC: Received: here\nC: Subject: test\nC: \nC: Hello\n\
                 S: 250 a has it\nS: 452 b is full\n";
    let peer = ScriptedPeer::start(&[&(hello + refused + taken)]).await;
    let mut options = RemoteOptions::new(Dialect::Lmtp, "us.test");
    options.timeouts.end = Duration::from_secs(5);
    let channel = channel_of(options, &[&peer]);
    let host = Domain::parse("[127.0.0.1]").unwrap();
    let route = Route::new("lmtp", NextHop::Host { host, port: Some(peer.address.port()) });
    let (mut first, mut second) = (attempt(&[A]), attempt(&[A, B]));
    (first.route, second.route) = (route.clone(), route);
    assert_eq!(shown(&channel.attempt(&first).await), ["failed 550 no a"]);
    let expected = ["delivered 250 a has it", "deferred 452 b is full (Recipient)"];
    assert_eq!(shown(&channel.attempt(&second).await), expected);
    peer.finish().await;
}

#[tokio::test]
async fn dots_are_doubled_and_loose_line_ends_never_leave() {
    let head =
        "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n";
    let script = HELLO.to_owned() + head + "C: Received: here\nC: ..\nC: ..x\nC: .\nS: 250 ok\n";
    let peer = ScriptedPeer::start(&[&script]).await;
    let mut dotted = attempt(&[A]);
    dotted.content = LoadedContent::Memory(Bytes::from_static(b".\r\n.x\r\n"));
    let outcomes = channel_of(options(), &[&peer]).attempt(&dotted).await;
    assert_eq!(shown(&outcomes), ["delivered 250 ok (reports)"]);
    peer.finish().await;

    let chunking = HELLO.replace("250 DSN", "250 CHUNKING");
    for script in [HELLO.to_owned() + head, chunking] {
        let peer = ScriptedPeer::start(&[&script]).await;
        let mut loose = attempt(&[A]);
        loose.content = LoadedContent::Memory(Bytes::from_static(b"Subject: x\r\n\r\na\n.\r\nb\r\n"));
        let outcomes = channel_of(options(), &[&peer]).attempt(&loose).await;
        assert!(shown(&outcomes)[0].starts_with("failed 554 5.6.0"), "{outcomes:?}");
        peer.finish().await;
    }
}

#[tokio::test]
async fn large_content_is_streamed_whole() {
    let line = "x".repeat(70);
    let lines = 20_000;
    let body = format!("{line}\r\n").repeat(lines);
    for (extension, command, end) in [("DSN", "DATA", "C: .\n"), ("CHUNKING", "BDAT", "")] {
        let size = body.len() + 16;
        let (command, go) = if command == "DATA" {
            ("DATA".to_owned(), "S: 354 go\n")
        } else {
            (format!("BDAT {size} LAST"), "")
        };
        let envelope = "C: MAIL FROM:<me@us.test>\nC: RCPT TO:<a@there.test>\n";
        let replies = "S: 250 ok\nS: 250 ok\n";
        let begin = if go.is_empty() {
            format!("{envelope}{replies}C: {command}\n")
        } else {
            format!("{envelope}C: {command}\n{replies}{go}")
        };
        let content = "C: Received: here\n".to_owned() + &format!("C: {line}\n").repeat(lines) + end;
        let script =
            HELLO.replace("250 DSN", &format!("250 {extension}")) + &begin + &content + "S: 250 ok\n";
        let peer = ScriptedPeer::start(&[&script]).await;
        let mut attempt = attempt(&[A]);
        attempt.content = LoadedContent::Memory(body.clone().into());
        let outcomes = channel_of(options(), &[&peer]).attempt(&attempt).await;
        assert!(matches!(outcomes[0], Outcome::Delivered { .. }), "{outcomes:?}");
        peer.finish().await;
    }
}

#[tokio::test]
async fn reports_are_asked_for_where_the_peer_knows_how() {
    let script = HELLO.to_owned()
        + "C: MAIL FROM:<me@us.test> RET=HDRS ENVID=e1\n\
           C: RCPT TO:<a@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@us.test\nC: DATA\n\
           S: 250 ok\nS: 250 ok\nS: 354 go\n\
           C: Received: here\nC: Subject: test\nC: \nC: Hello\nC: .\nS: 250 ok\n";
    let peer = ScriptedPeer::start(&[&script]).await;
    let mut attempt = attempt(&[A]);
    attempt.transport.ret = Some(mail_types::RetentionOfContent::Headers);
    attempt.transport.envid = Some("e1".into());
    attempt.recipients[0].notify = Notify::On { success: true, failure: true, delay: false };
    attempt.recipients[0].orcpt =
        Some(mail_types::OriginalRecipient { kind: "rfc822".into(), address: "first@us.test".into() });
    let outcomes = channel_of(options(), &[&peer]).attempt(&attempt).await;
    assert_eq!(shown(&outcomes), ["delivered 250 ok (reports)"]);
    peer.finish().await;
}

#[test]
fn a_message_is_fitted_to_its_peer_or_returned() {
    use smtp_wire::Capabilities;
    let eight = "Subject: x\r\n\r\nh\u{e9}\r\n";
    let utf8_header = "Subject: \u{e9}\r\n\r\nx\r\n";
    let try_fit = |body: BodyType, smtputf8: bool, to: &str, content: &str, peer: Capabilities| {
        let mut attempt = attempt(&[to]);
        attempt.transport = Transport { body, smtputf8, ..Transport::default() };
        attempt.content = LoadedContent::Memory(content.to_owned().into());
        let mut verdicts = Verdicts::new(1);
        match needs::fit(&attempt, &Content::of(&attempt), &peer, &mut verdicts) {
            Some(fit) => {
                format!("{:?} utf8={} bdat={}", fit.transport.body, fit.transport.smtputf8, fit.chunking)
            }
            None => shown(&verdicts.into_outcomes())[0].chars().take(16).collect(),
        }
    };
    let none = Capabilities::default;
    let mime = || Capabilities { eight_bit_mime: true, ..none() };
    let utf8 = || Capabilities { smtputf8: true, ..mime() };
    let binary = || Capabilities { binary_mime: true, chunking: true, ..mime() };
    use BodyType::{BinaryMime, EightBitMime, SevenBit};
    let table = [
        (try_fit(SevenBit, false, A, CONTENT, none()), "SevenBit utf8=false bdat=false"),
        (try_fit(SevenBit, false, A, eight, none()), "SevenBit utf8=false bdat=false"),
        (try_fit(EightBitMime, false, A, eight, mime()), "EightBitMime utf8=false bdat=false"),
        (try_fit(EightBitMime, false, A, CONTENT, none()), "SevenBit utf8=false bdat=false"),
        (try_fit(EightBitMime, false, A, eight, none()), "failed 554 5.6.3"),
        (try_fit(BinaryMime, false, A, eight, binary()), "BinaryMime utf8=false bdat=true"),
        (try_fit(BinaryMime, false, A, eight, mime()), "EightBitMime utf8=false bdat=false"),
        (try_fit(BinaryMime, false, A, "a\nb", mime()), "failed 554 5.6.3"),
        (try_fit(EightBitMime, true, A, utf8_header, utf8()), "EightBitMime utf8=true bdat=false"),
        (try_fit(EightBitMime, true, A, utf8_header, mime()), "failed 550 5.6.9"),
        (try_fit(EightBitMime, true, A, eight, mime()), "EightBitMime utf8=false bdat=false"),
        (try_fit(SevenBit, false, "\u{e9}@there.test", CONTENT, mime()), "failed 553 5.6.7"),
        (try_fit(SevenBit, false, "\u{e9}@there.test", CONTENT, utf8()), "SevenBit utf8=true bdat=false"),
        (
            try_fit(SevenBit, false, A, CONTENT, Capabilities { size: Some(Some(39)), ..none() }),
            "failed 552 5.3.4",
        ),
        (
            try_fit(SevenBit, false, A, CONTENT, Capabilities { size: Some(Some(40)), ..none() }),
            "SevenBit utf8=false bdat=false",
        ),
    ];
    for (row, (found, expected)) in table.iter().enumerate() {
        assert_eq!(found, expected, "row {row}");
    }
}
