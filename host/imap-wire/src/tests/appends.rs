//! APPEND and REPLACE: steps read, and written back.

use proptest::prelude::*;

use super::{flags, limits, name, received};
use crate::*;

#[test]
fn other_messages_may_follow_an_append() {
    let next = |line: &str| parse_append_rest(line.as_bytes(), false, &limits());
    let steps = |line: &str| match next(line) {
        Ok(AppendRest::Steps(steps)) => steps,
        other => panic!("{line}: {other:?}"),
    };
    let [AppendStep::Message(message), AppendStep::Literal(literal)] =
        &steps(" (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" {295}")[..]
    else {
        panic!()
    };
    assert_eq!((&message.flags[..], literal.octets, literal.binary), (&[Flag::Seen][..], 295, false));
    let literal = |line: &str| match steps(line).pop() {
        Some(AppendStep::Literal(literal)) => literal,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!((literal(" ~{3+}").mode, literal(" ~{3+}").binary), (LiteralMode::NonSynchronizing, true));
    assert_eq!((literal(" () UTF8 (~{3+}").utf8, literal(" () UTF8 (~{3+}").binary), (true, false));
    assert_eq!(steps(""), []);
    for line in ["x", "{3}", " {3", " (\\Seen){3}", " x {3}", ")", " URL {3}"] {
        assert!(next(line).is_err(), "{line}");
    }
}

#[test]
fn parts_follow_each_other() {
    let next = |line: &str| parse_append_rest(line.as_bytes(), true, &limits());
    let url = |url: &str| AppendStep::Url(url.to_owned());
    assert_eq!(next(")"), Ok(AppendRest::Steps(vec![AppendStep::End])));
    assert_eq!(next(" URL a url \"b\")"), Ok(AppendRest::Steps(vec![url("a"), url("b"), AppendStep::End])));
    assert_eq!(next(" URL a URL {5}"), Ok(AppendRest::UrlLiteral(5, LiteralMode::Synchronizing)));
    assert_eq!(
        next(" URL a URL {2+}\r\nbc)"),
        Ok(AppendRest::Steps(vec![url("a"), url("bc"), AppendStep::End]))
    );
    let Ok(AppendRest::Steps(steps)) = next(" TEXT {5+}") else { panic!() };
    assert!(matches!(&steps[..], [AppendStep::Literal(literal)] if literal.octets == 5));
    let Ok(AppendRest::Steps(steps)) = next(") CATENATE (URL x) {4}") else { panic!() };
    assert_eq!(steps.len(), 6);
    for line in ["", "x", " )", ") x", " TEXT x", " URL", " {5}", " TEXT {5} x", "URL a)", " UTF8 (~{5"] {
        assert!(next(line).is_err(), "{line}");
    }
    let many = format!("{})", " URL a".repeat(600));
    assert_eq!(next(&many), Err(ParseError::TooMany("parts")));
    let long = format!(" URL {})", "a".repeat(5000));
    assert!(next(&long).is_err());
}

fn append_steps() -> impl Strategy<Value = Vec<AppendStep>> {
    let message = |catenated| {
        (flags(), prop::option::of(-9_999_999_i64..99_999_999_999)).prop_map(move |(flags, seconds)| {
            let internal_date = seconds.map(DateTime::from_unix_seconds);
            AppendStep::Message(AppendMessage { flags, internal_date, catenated })
        })
    };
    let literal = || {
        (0_u64..1000, any::<bool>()).prop_map(|(octets, wait)| {
            let mode = if wait { LiteralMode::Synchronizing } else { LiteralMode::NonSynchronizing };
            let (binary, utf8) = (octets % 3 == 0, octets % 3 == 1);
            AppendStep::Literal(AppendLiteral { octets, mode, binary, utf8 })
        })
    };
    let urls = || prop::collection::vec("[/;=a-z \"]{0,9}".prop_map(AppendStep::Url), 1..4);
    let whole = || {
        (message(true), urls())
            .prop_map(|(message, urls)| [vec![message], urls, vec![AppendStep::End]].concat())
    };
    let last = prop_oneof![
        (message(false), literal()).prop_map(|(message, literal)| vec![message, literal]),
        (message(true), prop::option::of(urls()), literal()).prop_map(|(message, urls, literal)| [
            vec![message],
            urls.unwrap_or_default(),
            vec![literal]
        ]
        .concat()),
        whole(),
    ];
    (prop::collection::vec(whole(), 0..2), last).prop_map(|(whole, last)| [whole.concat(), last].concat())
}

proptest! {
    #[test]
    fn appends_read_back(mailbox in name(), steps in append_steps(), replaces: bool) {
        let replaces = replaces.then_some((By::Uid, 7));
        let append = Append { replaces, mailbox, steps };
        let tag = Tag::new("A1").unwrap();
        let encoded = encode_append(&tag, &append);
        prop_assert_eq!(received(&encoded, &[3]), vec![Received::Append(tag, Box::new(append))], "{}", String::from_utf8_lossy(&encoded));
    }
}
