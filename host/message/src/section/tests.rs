use super::*;
use proptest::prelude::*;

/// The shape of the example in RFC 3501 §6.4.5.
const MESSAGE: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\
    --o\r\nContent-Type: text/plain\r\n\r\none\r\n--o\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n\
    --o\r\nContent-Type: message/rfc822\r\n\r\nSubject: three\r\nX: y\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n\
    --i\r\nContent-Type: text/plain\r\n\r\nthree.one\r\n--i\r\nContent-Type: application/octet-stream\r\n\r\nthree.two\r\n--i--\r\n\
    --o\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: image/gif\r\n\r\nfour.one\r\n\
    --m\r\nContent-Type: message/rfc822\r\nContent-Description: d\r\n\r\nSubject: inner\r\n\r\nfour.two body\r\n--m--\r\n--o--\r\n";

fn section(path: &[u32], text: SectionText<'_>) -> Option<String> {
    let structure = Structure::parse(MESSAGE.as_bytes());
    let found = part_section(&structure, path, text);
    if path.is_empty() {
        assert_eq!(found, message_section(MESSAGE.as_bytes(), text), "both ways agree");
    }
    found.map(|octets| String::from_utf8(octets.into_owned()).unwrap())
}

#[test]
fn part_numbers_lead_where_rfc_3501_says() {
    let whole = |path: &[u32]| section(path, SectionText::Whole);
    assert_eq!(whole(&[]).as_deref(), Some(MESSAGE));
    assert_eq!(whole(&[1]).as_deref(), Some("one"));
    assert_eq!(whole(&[2]).as_deref(), Some("two"));
    assert!(whole(&[3]).unwrap().starts_with("Subject: three\r\n"));
    assert_eq!(whole(&[3, 1]).as_deref(), Some("three.one"));
    assert_eq!(whole(&[3, 2]).as_deref(), Some("three.two"));
    assert_eq!(whole(&[4, 1]).as_deref(), Some("four.one"));
    assert_eq!(whole(&[4, 2]).as_deref(), Some("Subject: inner\r\n\r\nfour.two body"));
    assert_eq!(whole(&[4, 2, 1]).as_deref(), Some("four.two body"));
    for path in [&[0][..], &[5], &[1, 1], &[4, 2, 2], &[4, 2, 1, 1], &[3, 3], &[u32::MAX]] {
        assert_eq!(whole(path), None, "{path:?}");
    }
}

#[test]
fn words_apply_to_messages_and_mime_to_parts() {
    assert_eq!(
        section(&[], SectionText::Header).as_deref(),
        Some("Subject: top\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n")
    );
    assert!(section(&[], SectionText::Text).unwrap().starts_with("--o\r\n"));
    assert!(section(&[3], SectionText::Header).unwrap().starts_with("Subject: three\r\nX: y\r\n"));
    assert!(section(&[3], SectionText::Text).unwrap().starts_with("--i\r\n"));
    assert_eq!(section(&[4, 2], SectionText::Text).as_deref(), Some("four.two body"));
    assert_eq!(
        section(&[4, 2], SectionText::Mime).as_deref(),
        Some("Content-Type: message/rfc822\r\nContent-Description: d\r\n\r\n")
    );
    for path in [&[1][..], &[4], &[4, 1]] {
        assert_eq!(section(path, SectionText::Header), None, "{path:?}");
        assert_eq!(section(path, SectionText::Text), None, "{path:?}");
    }
    assert_eq!(section(&[], SectionText::Mime), None);
}

#[test]
fn header_fields_are_chosen_by_name() {
    let names = ["SUBJECT".to_owned(), "x".to_owned()];
    assert_eq!(
        section(&[3], SectionText::HeaderFields(&names)).as_deref(),
        Some("Subject: three\r\nX: y\r\n\r\n")
    );
    assert_eq!(
        section(&[3], SectionText::HeaderFieldsNot(&names)).as_deref(),
        Some("Content-Type: multipart/mixed; boundary=i\r\n\r\n")
    );
    assert_eq!(section(&[], SectionText::HeaderFields(&["None".to_owned()])).as_deref(), Some("\r\n"));
    let open = message_section(b"Subject: x", SectionText::HeaderFields(&names)).unwrap();
    assert_eq!(open.as_ref(), b"Subject: x\r\n\r\n");
}

#[test]
fn partials_are_cut_at_the_ends() {
    assert_eq!(partial(b"hello", 1, 3), b"ell");
    assert_eq!(partial(b"hello", 3, 100), b"lo");
    assert_eq!(partial(b"hello", 5, 1), b"");
    assert_eq!(partial(b"hello", u64::MAX, u64::MAX), b"");
}

proptest! {
    #[test]
    fn any_section_of_any_octets_is_taken(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        path in proptest::collection::vec(any::<u32>(), 0..4),
        start: u64, length: u64,
    ) {
        let structure = Structure::parse(&octets);
        for text in [SectionText::Whole, SectionText::Header, SectionText::Text, SectionText::Mime] {
            if let Some(found) = part_section(&structure, &path, text) {
                let _ = partial(&found, start, length);
            }
        }
    }
}
