use super::*;
use proptest::prelude::*;

/// The parts as an outline: nesting, kind, media type, body.
fn outline(octets: &[u8]) -> Vec<String> {
    fn walk(part: Part<'_>, depth: usize, lines: &mut Vec<String>) {
        let media = part.content_type();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let body = if part.kind() == PartKind::Leaf {
            format!("{:?}", text(part.body()))
        } else {
            format!("{}", part.body().len())
        };
        lines.push(format!("{}{}/{} {body}", "  ".repeat(depth), text(&media.main), text(&media.sub)));
        part.children().for_each(|child| walk(child, depth + 1, lines));
    }
    let structure = Structure::parse(octets);
    let mut lines = Vec::new();
    walk(structure.root(), 0, &mut lines);
    lines
}

#[test]
fn the_simple_multipart_of_rfc_2046_is_taken_apart() {
    let message = b"From: Nathaniel Borenstein <nsb@bellcore.com>\r\nMIME-Version: 1.0\r\n\
        Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n\
        This is the preamble.\r\n\r\n--simple boundary\r\n\r\n\
        This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.\r\n\
        --simple boundary \r\nContent-type: text/plain; charset=us-ascii\r\n\r\n\
        This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n\r\n\
        --simple boundary--\r\n\r\nThis is the epilogue.\r\n--simple boundary\r\n\r\nnot a part\r\n";
    let lines = outline(message);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("multipart/mixed"));
    assert_eq!(
        lines[1],
        "  text/plain \"This is implicitly typed plain US-ASCII text.\\r\\nIt does NOT end with a linebreak.\""
    );
    assert_eq!(
        lines[2],
        "  text/plain \"This is explicitly typed plain US-ASCII text.\\r\\nIt DOES end with a linebreak.\\r\\n\""
    );
    let structure = Structure::parse(message);
    assert_eq!(structure.root().body_range().end, message.len());
}

#[test]
fn nesting_digests_and_messages_are_followed() {
    let message = b"Content-Type: multipart/mixed; boundary=outer\n\n--outer\n\
        Content-Type: multipart/digest; boundary=\"outer-in\"\n\n--outer-in\n\nSubject: one\n\nfirst\n--outer-in\n\
        Content-Type: text/html\n\nsecond\n--outer\nContent-Type: message/rfc822\n\n\
        Content-Type: multipart/alternative; boundary=x\n\n--x\n\na\n--x--\nrest\n--outer--\n";
    assert_eq!(
        outline(message),
        [
            "multipart/mixed 251",
            "  multipart/digest 74",
            "    message/rfc822 19",
            "      text/plain \"first\"",
            "    text/html \"second\"",
            "  message/rfc822 66",
            "    multipart/alternative 17",
            "      text/plain \"a\"",
        ]
    );
}

#[test]
fn broken_structures_are_bodies() {
    assert_eq!(outline(b""), ["text/plain \"\""]);
    assert_eq!(outline(b"Content-Type: multipart/mixed\r\n\r\n--x\r\n"), ["text/plain \"--x\\r\\n\""]);
    assert_eq!(outline(b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno part"), ["multipart/mixed 7"]);
    // A header that its delimiter ends; a part without any octet.
    assert_eq!(
        outline(b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n--x\n--x--"),
        ["multipart/mixed 37", "  text/html \"\"", "  text/plain \"\""]
    );
    assert_eq!(outline(b"Content-Type: multipart/mixed; boundary=x"), ["multipart/mixed 0"]);
}

#[test]
fn nesting_bombs_cost_little() {
    let mut deep = Vec::new();
    for level in 0..100_000 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level:06}\n\n--b{level:06}\n").as_bytes(),
        );
    }
    assert_eq!(Structure::parse(&deep).part_count(), NESTING_MAX + 1);
    let messages = b"Content-Type: message/rfc822\n\n".repeat(100_000);
    let structure = Structure::parse(&messages);
    assert_eq!(structure.part_count(), NESTING_MAX + 1);
    assert_eq!(structure.parts().last().unwrap().content_type(), ContentType::octet_stream());
    let mut wide = b"Content-Type: multipart/mixed; boundary=b\n\n".to_vec();
    wide.extend_from_slice(&b"--b\nA: header without end\n".repeat(100_000));
    let structure = Structure::parse(&wide);
    assert_eq!(structure.part_count(), PARTS_MAX);
    assert_eq!(structure.root().body_range().end, wide.len());
}

#[test]
fn the_fields_of_a_part_are_read() {
    let message = b"Content-Type: text/plain; charset=utf-8\r\nContent-ID: <1@x>\r\nContent-Transfer-Encoding: (c) BASE64 ; x\r\n\
        Content-Disposition: attachment; filename=\"a b.txt\"\r\nContent-Language: de, en\r\n\r\nYQ==\r\n";
    let structure = Structure::parse(message);
    let root = structure.root();
    assert_eq!(root.encoding(), b"BASE64");
    assert_eq!(root.field("content-id").as_deref(), Some(&b"<1@x>"[..]));
    assert_eq!(
        root.disposition(),
        Some((b"attachment".to_vec(), vec![(b"filename".to_vec(), b"a b.txt".to_vec())]))
    );
    assert_eq!(root.languages(), [b"de".to_vec(), b"en".to_vec()]);
    assert_eq!(root.body_lines(), 1);
}

proptest! {
    #[test]
    fn parts_lie_within_their_parents(
        message in "(Content-Type: multipart/(mixed|digest); boundary=[ab]\r?\n|Content-Type: message/rfc822\n|\r?\n|--a|--b|--|x|: |\t){0,60}"
    ) {
        let structure = Structure::parse(message.as_bytes());
        prop_assert_eq!(structure.root().body_range().end, message.len());
        for part in structure.parts() {
            prop_assert!(part.header_range().end == part.body_range().start);
            for child in part.children() {
                prop_assert!(child.header_range().start >= part.body_range().start);
                prop_assert!(child.body_range().end <= part.body_range().end);
            }
            let _ = (part.envelope(), part.disposition(), part.languages(), part.encoding(), part.content_type());
        }
    }

    #[test]
    fn any_octets_are_taken(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Structure::parse(&octets).root().body_range().end, octets.len());
    }
}
