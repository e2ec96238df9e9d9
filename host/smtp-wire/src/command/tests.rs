use super::*;
use crate::parameters::ORCPT_MAX;
use mail_types::{BodyType, RetentionOfContent};
use proptest::prelude::*;

fn code(line: &str) -> u16 {
    match Command::parse(line.as_bytes()) {
        Ok(_) => 250,
        Err(error) => error.reply().code,
    }
}

#[test]
fn verbs_are_read_in_any_case() {
    for (line, command) in [
        ("DATA", Command::Data),
        ("data  ", Command::Data),
        ("rSeT", Command::Rset),
        ("NOOP whatever", Command::Noop),
        ("ehlo client.example", Command::Ehlo("client.example")),
        ("HELO [192.0.2.1]", Command::Helo("[192.0.2.1]")),
        ("LHLO x", Command::Lhlo("x")),
        ("BDAT 86 last", Command::Bdat(Bdat { size: 86, last: true })),
        ("BDAT 0", Command::Bdat(Bdat { size: 0, last: false })),
        ("AUTH PLAIN dGVzdA==", Command::Auth { mechanism: "PLAIN", initial: Some("dGVzdA==") }),
        ("AUTH login", Command::Auth { mechanism: "login", initial: None }),
        ("VRFY Joe Smith smtputf8", Command::Vrfy { argument: "Joe Smith", smtputf8: true }),
        ("EXPN team", Command::Expn { argument: "team", smtputf8: false }),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
    }
}

#[test]
fn errors_have_the_code_of_the_rfc() {
    for (line, expected) in [
        ("", 500),
        ("WIZ", 500),
        ("MAILFROM:<a@b>", 500),
        ("NOOP \u{7}", 500),
        ("DATA now", 501),
        ("QUIT now", 501),
        ("EHLO", 501),
        ("EHLO two words", 501),
        ("EHLO jörg.example", 501),
        ("MAIL", 501),
        ("MAIL FROM", 501),
        ("MAIL FROM:", 501),
        ("MAIL FROM:a@b", 501),
        ("MAIL FROM:<a@b", 501),
        ("MAIL FROM:<a@b>SIZE=1", 501),
        ("MAIL TO:<a@b>", 501),
        ("MAIL FROM:<a b@c>", 501),
        ("MAIL FROM:<a@b> SIZE=", 501),
        ("MAIL FROM:<a@b> SIZE", 501),
        ("MAIL FROM:<a@b> SIZE=1 SIZE=1", 501),
        ("MAIL FROM:<a@b> SIZE=-1", 501),
        ("MAIL FROM:<a@b> BODY=9BIT", 501),
        ("MAIL FROM:<a@b> SMTPUTF8=yes", 501),
        ("MAIL FROM:<a@b> RET=SOME", 501),
        ("MAIL FROM:<a@b> ENVID=a+2", 501),
        ("MAIL FROM:<a@b> NOTIFY=NEVER", 555),
        ("MAIL FROM:<a@b> FOO=bar", 555),
        ("MAIL FROM:<a@b> FOO", 555),
        ("RCPT TO:<>", 501),
        ("RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", 501),
        ("RCPT TO:<a@b> NOTIFY=", 501),
        ("RCPT TO:<a@b> ORCPT=a@b", 501),
        ("RCPT TO:<a@b> ORCPT=rfc822;a+4", 501),
        ("RCPT TO:<a@b> ORCPT=rfc822;\u{fc}@b", 501),
        ("RCPT TO:<a@b> SIZE=1", 555),
        ("BDAT", 501),
        ("BDAT x", 501),
        ("BDAT 1 LAST 2", 501),
        ("BDAT 99999999999999999999", 501),
        ("AUTH", 501),
        ("AUTH PLAIN a b", 501),
        ("VRFY", 501),
        ("XCLIENT", 501),
        ("XCLIENT FOO=bar", 555),
        ("XCLIENT ADDR=x", 501),
    ] {
        assert_eq!(code(line), expected, "{line}");
    }
    assert_eq!(Command::parse(b"MAIL FROM:<\xff@b>"), Err(CommandError::Characters));
}

#[test]
fn mail_is_read_with_all_its_parameters() {
    let line = "mail from:<\"a>b\"@example.org> size=99999999999999999999 BODY=8bitMIME SMTPUTF8 RET=hdrs ENVID=QQ+2B314159 AUTH=e+3Dmc2@example.com";
    let Ok(Command::Mail(mail)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
    assert_eq!(mail.path.to_string(), "<\"a>b\"@example.org>");
    assert_eq!(mail.size, Some(u64::MAX));
    assert_eq!(mail.transport.body, BodyType::EightBitMime);
    assert!(mail.transport.smtputf8 && !mail.internationalized);
    assert_eq!(mail.transport.ret, Some(RetentionOfContent::Headers));
    assert_eq!(mail.transport.envid.as_deref(), Some("QQ+314159"));
    assert_eq!(mail.submitter, Some(Submitter::Address("e=mc2@example.com".parse().unwrap())));
}

#[test]
fn original_recipients_are_decoded_by_their_type() {
    for (value, kind, address) in [
        ("rfc822;Bob+40x", "rfc822", "Bob@x"),
        ("UTF-8;j\\x{F6}rg@x", "utf-8", "jörg@x"),
        ("utf-8;jörg@x", "utf-8", "jörg@x"),
    ] {
        let line = format!("RCPT TO:<a@b> NOTIFY=success,DELAY ORCPT={value}");
        let Ok(Command::Rcpt(rcpt)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(rcpt.notify, Notify::On { success: true, failure: false, delay: true });
        let orcpt = rcpt.orcpt.unwrap();
        assert_eq!((orcpt.kind.as_str(), orcpt.address.as_str()), (kind, address));
    }
}

#[test]
fn non_ascii_paths_are_marked() {
    for (line, marked) in [
        ("RCPT TO:<jörg@example.org>", true),
        ("RCPT TO:<a@bücher.example>", true),
        ("RCPT TO:<a@xn--bcher-kva.example>", false),
    ] {
        let Ok(Command::Rcpt(rcpt)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(rcpt.internationalized, marked, "{line}");
    }
}

fn inverse(command: Command<'_>) -> Result<(), TestCaseError> {
    let mut wire = Vec::new();
    command.encode(&mut wire);
    let line = wire.strip_suffix(b"\r\n").unwrap();
    prop_assert_eq!(Command::parse(line), Ok(command));
    Ok(())
}

fn body() -> impl Strategy<Value = BodyType> {
    prop_oneof![Just(BodyType::SevenBit), Just(BodyType::EightBitMime), Just(BodyType::BinaryMime)]
}

fn ret() -> impl Strategy<Value = Option<RetentionOfContent>> {
    prop_oneof![Just(None), Just(Some(RetentionOfContent::Full)), Just(Some(RetentionOfContent::Headers))]
}

#[test]
fn an_original_recipient_has_to_fit_as_it_is_handed_on() {
    let of = |letters| format!("RCPT TO:<a@b> ORCPT=utf-8;{}", "\u{fc}".repeat(letters));
    let most = (ORCPT_MAX - "utf-8;".len()) / "\\x{FC}".len();
    assert!(Command::parse(of(most).as_bytes()).is_ok());
    let longer = of(most + 1);
    assert_eq!(Command::parse(longer.as_bytes()), Err(CommandError::ParameterValue("ORCPT")));
}

proptest! {
    #[test]
    fn mail_is_inverse(
        local in "[ -~é]{1,20}", size in proptest::option::of(any::<u64>()), body in body(), ret in ret(),
        smtputf8: bool, envid in proptest::option::of("[ -~]{1,30}"),
    ) {
        let address = mail_types::Address::parse(&format!("{}@example.org", mail_types::LocalPart::new(local).unwrap())).unwrap();
        let internationalized = address.needs_utf8();
        let transport = Transport { body, smtputf8, ret, envid };
        let submitter = Some(Submitter::Address(address.clone()));
        inverse(Command::Mail(Mail { path: ReversePath::Address(address), internationalized, transport, size, submitter }))?;
    }

    #[test]
    fn rcpt_is_inverse(success: bool, failure: bool, delay: bool, utf8: bool, original in "[ -~é]{1,30}") {
        let notify = if success || failure || delay { Notify::On { success, failure, delay } } else { Notify::Never };
        let kind = if utf8 { "utf-8" } else { "rfc822" }.to_owned();
        let orcpt = Some(OriginalRecipient { kind, address: original });
        let path = ForwardPath::parse("<a@example.org>").unwrap();
        inverse(Command::Rcpt(Rcpt { path, internationalized: false, notify, orcpt }))?;
    }

    #[test]
    fn xclient_is_inverse(name in "[!-~]{1,30}", v6: bool, port: u16) {
        let text = format!("XCLIENT ADDR={} PORT={port} NAME=[UNAVAILABLE] HELO={}",
            if v6 { "IPV6:2001:db8::1" } else { "192.0.2.1" }, mail_types::encode_xtext(&name));
        let command = Command::parse(text.as_bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        inverse(command)?;
    }

    #[test]
    fn parsing_never_panics(line: Vec<u8>, tail in "\\PC*") {
        let _ = Command::parse(&line);
        for verb in ["MAIL FROM:", "RCPT TO:<", "MAIL FROM:<a@b> ", "RCPT TO:<a@b> ORCPT=utf-8;", "XCLIENT ", "BDAT ", "AUTH "] {
            let _ = Command::parse(format!("{verb}{tail}").as_bytes());
        }
    }

    #[test]
    fn error_replies_are_ascii(tail in "\\PC*") {
        if let Err(error) = Command::parse(format!("MAIL FROM:<a@b> {tail}").as_bytes()) {
            prop_assert!(error.reply().lines.iter().all(|line| line.is_ascii()));
        }
    }
}
