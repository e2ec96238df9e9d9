use std::sync::LazyLock;

use super::*;
use proptest::prelude::*;

const ORIGINAL: &[u8] =
    b"From: a@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nBody.\r\n";

fn recipient(address: &str, action: Action, status: EnhancedStatus) -> DsnRecipient {
    let address = Address::parse(address).unwrap();
    DsnRecipient {
        named: address.clone(),
        last: address,
        orcpt: None,
        action,
        status,
        remote_mta: None,
        diagnostic: None,
        last_attempt: None,
        will_retry_until: None,
        cause: None,
    }
}

static FROM: LazyLock<Address> = LazyLock::new(|| Address::parse("mailer-daemon@mx.example.org").unwrap());
static TO: LazyLock<Address> = LazyLock::new(|| Address::parse("a@example.org").unwrap());

fn compose<'a>(recipients: &'a [DsnRecipient], change: impl FnOnce(&mut Dsn<'a>)) -> ComposedDsn {
    let mut dsn = Dsn {
        id: QueueId::from_u64(9),
        random: 10,
        reporting_mta: "mx.example.org",
        from: &FROM,
        to: &TO,
        date: Timestamp(60_000),
        arrival: Timestamp(0),
        envid: None,
        recipients,
        ret: None,
        original: ORIGINAL,
        original_len: ORIGINAL.len() as u64,
        smtputf8: false,
    };
    change(&mut dsn);
    dsn.compose()
}

fn text_of(dsn: &ComposedDsn) -> String {
    String::from_utf8(dsn.octets.clone()).unwrap()
}

#[test]
fn a_failure_is_reported_in_full() {
    let status = EnhancedStatus::permanent(1, 1);
    let mut failed = recipient("b@example.net", Action::Failed, status);
    failed.orcpt = Some(OriginalRecipient { kind: "rfc822".into(), address: "B@example.net".into() });
    failed.remote_mta = Some("mx.example.net".into());
    let mut reply = Reply::new(550, status, "No such user");
    reply.lines.push("Ask postmaster".into());
    failed.diagnostic = Some(reply);
    failed.last_attempt = Some(Timestamp(60_000));
    failed.will_retry_until = Some(Timestamp(60_000));
    let dsn = compose(std::slice::from_ref(&failed), |dsn| {
        dsn.envid = Some("QQ=1");
        dsn.ret = Some(RetentionOfContent::Full);
    });
    assert_eq!((dsn.body, dsn.smtputf8), (BodyType::SevenBit, false));
    let text = text_of(&dsn);
    for expected in [
        "From: Mail Delivery System <mailer-daemon@mx.example.org>\r\nTo: <a@example.org>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n",
        "<b@example.net>\r\n    What happened: The message was not delivered",
        "    Why: there is no such address.\r\n",
        "    mx.example.net answered: 550 5.1.1 No such user / Ask postmaster\r\n",
        "    What you can do: check the address",
        "Content-Type: message/delivery-status\r\n\r\nOriginal-Envelope-Id: QQ=1\r\nReporting-MTA: dns; mx.example.org\r\n\
         Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
         Original-Recipient: rfc822; B@example.net\r\nFinal-Recipient: rfc822; b@example.net\r\n\
         Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n\
         Diagnostic-Code: smtp; 550-5.1.1 No such user\r\n\t 550 5.1.1 Ask postmaster\r\n\
         Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n",
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nFrom: a@example.org\r\n",
        "\r\n\r\nBody.\r\n\r\n--=_0000000000009_000000000000000a--\r\n",
    ] {
        assert!(text.contains(expected), "missing {expected:?} in\n{text}");
    }
    assert!(!text.contains("Will-Retry-Until"));
}

#[test]
fn without_failure_only_the_header_is_returned() {
    let delivered = recipient("b@example.net", Action::Delivered, EnhancedStatus::success(1, 5));
    let text = text_of(&compose(&[delivered], |dsn| dsn.ret = Some(RetentionOfContent::Full)));
    assert!(text.contains("Content-Type: text/rfc822-headers\r\n"));
    assert!(text.contains("Subject: Your message was delivered\r\n"));
    assert!(!text.contains("Body."));
}

#[test]
fn a_delay_says_until_when() {
    let mut delayed = recipient("b@example.net", Action::Delayed, EnhancedStatus::transient(4, 1));
    delayed.will_retry_until = Some(Timestamp(120_000));
    let text = text_of(&compose(&[delayed], |_| {}));
    assert!(text.contains("Will-Retry-Until: Thu, 1 Jan 1970 00:02:00 +0000\r\n"));
    assert!(text.contains("It will be tried until Thu, 1 Jan 1970 00:02:00 +0000.\r\n"));
    assert!(text.contains("You need not send it again"));
}

#[test]
fn utf8_mail_is_reported_in_utf8_only_to_those_who_sent_it_so() {
    let failed = recipient("jörg@example.net", Action::Failed, EnhancedStatus::permanent(1, 1));
    let original = "Subject: grüße\r\n\r\nx\r\n".as_bytes();
    let with = |utf8: bool| {
        compose(std::slice::from_ref(&failed), |dsn| {
            dsn.smtputf8 = utf8;
            dsn.original = original;
            dsn.original_len = original.len() as u64;
            dsn.ret = Some(RetentionOfContent::Full);
        })
    };
    let global = with(true);
    assert!(global.smtputf8 && global.body == BodyType::EightBitMime);
    let text = text_of(&global);
    assert!(text.contains("Content-Type: message/global-delivery-status\r\n"), "{text}");
    assert!(text.contains("Final-Recipient: utf-8; jörg@example.net\r\n"));
    assert!(text.contains("Content-Type: message/global\r\n"));
    let plain = with(false);
    assert!(plain.octets.is_ascii() && !plain.smtputf8);
    assert!(text_of(&plain).contains("Final-Recipient: utf-8; j\\x{F6}rg@example.net\r\n"));
}

#[test]
fn what_is_too_long_or_binary_is_not_returned_whole() {
    let failed = recipient("b@example.net", Action::Failed, EnhancedStatus::permanent(0, 0));
    let long = [ORIGINAL, &b"0123456789abcde\n".repeat(RETURNED_OCTETS_MAX / 16)].concat();
    let binary = [ORIGINAL, b"\0"].concat();
    for original in [&long, &binary] {
        let dsn = compose(std::slice::from_ref(&failed), |dsn| {
            dsn.ret = Some(RetentionOfContent::Full);
            dsn.original = original;
            dsn.original_len = original.len() as u64;
        });
        assert!(text_of(&dsn).contains("Content-Type: text/rfc822-headers\r\n"));
        assert!(dsn.octets.len() < 8192);
    }
}

#[test]
fn an_endless_header_is_cut_at_a_field() {
    let failed = recipient("b@example.net", Action::Failed, EnhancedStatus::permanent(0, 0));
    let original = b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(10_000);
    let dsn = compose(&[failed], |dsn| dsn.original = &original);
    assert!(dsn.octets.len() < RETURNED_HEADER_OCTETS_MAX + 8192);
    assert!(text_of(&dsn).contains("aaaa\r\n\r\n--=_"));
}

proptest! {
    #[test]
    fn a_report_is_always_well_formed(
        original in proptest::collection::vec(any::<u8>(), 0..200),
        answer in "\\PC{0,2000}", cause in "\\PC{0,200}", envid in "\\PC{0,50}", utf8: bool,
    ) {
        let mut failed = recipient("b@example.net", Action::Failed, EnhancedStatus::permanent(1, 1));
        failed.diagnostic = Some(Reply::new(550, EnhancedStatus::permanent(1, 1), answer));
        failed.cause = Some(cause);
        let dsn = compose(std::slice::from_ref(&failed), |dsn| {
            dsn.original = &original;
            dsn.original_len = original.len() as u64;
            dsn.ret = Some(RetentionOfContent::Full);
            dsn.envid = Some(&envid);
            dsn.smtputf8 = utf8;
        });
        prop_assert!(!dsn.octets.contains(&0));
        for line in dsn.octets.split(|byte| *byte == b'\n') {
            prop_assert!(line.len() <= 999, "a line of {}", line.len());
        }
        let returns: Vec<usize> = memchr::memchr_iter(b'\r', &dsn.octets).collect();
        let feeds: Vec<usize> = memchr::memchr_iter(b'\n', &dsn.octets).collect();
        prop_assert!(returns.iter().map(|at| at + 1).eq(feeds));
        prop_assert_eq!(dsn.octets.windows(18).filter(|w| *w == b"--=_0000000000009_").count(), 4);
    }
}
