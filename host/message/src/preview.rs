//! The beginning of a message as a list shows it (RFC 8970).

use crate::decode::{TransferEncoding, decode_charset};
use crate::structure::{Part, PartKind, Structure};

/// Most characters of a preview (RFC 8970 §3.3).
pub const PREVIEW_CHARS_MAX: usize = 200;
/// Octets of a part that are looked at for it.
const OCTETS_SEEN_MAX: usize = 16 * 1024;

/// The first words of a message: of its first text that is no attachment, plain text before HTML.
/// Empty where it has no text.
#[must_use]
pub fn preview(structure: &Structure<'_>) -> String {
    let texts = || structure.parts().filter(|part| part.kind() == PartKind::Leaf && is_shown_text(part));
    let of =
        |subtype: &'static [u8]| texts().find(|part| part.content_type().sub.eq_ignore_ascii_case(subtype));
    if let Some(part) = of(b"plain") {
        return first_words(&text_of(&part));
    }
    match of(b"html") {
        Some(part) => first_words(&without_markup(&text_of(&part))),
        None => texts().next().map(|part| first_words(&text_of(&part))).unwrap_or_default(),
    }
}

fn is_shown_text(part: &Part<'_>) -> bool {
    let attached = part.disposition().is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(b"attachment"));
    part.content_type().is_text() && !attached
}

fn text_of(part: &Part<'_>) -> String {
    let body = part.body();
    let seen = &body[..body.len().min(OCTETS_SEEN_MAX)];
    let encoding = TransferEncoding::parse(&part.encoding()).unwrap_or(TransferEncoding::Identity);
    let content_type = part.content_type();
    let charset = content_type.parameter("charset").unwrap_or_default();
    decode_charset(charset, &encoding.decode(seen)).into_owned()
}

/// Words with single spaces between them.
fn first_words(text: &str) -> String {
    let mut preview = String::new();
    let mut chars = 0;
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() {
            continue;
        }
        let space = usize::from(chars > 0);
        let length = word.chars().count();
        if chars + space + length > PREVIEW_CHARS_MAX {
            if chars == 0 {
                preview.extend(word.chars().take(PREVIEW_CHARS_MAX));
            }
            break;
        }
        preview.push_str(&" "[..space]);
        preview.push_str(word);
        chars += space + length;
    }
    preview
}

/// Elements whose text is not for people.
const HIDDEN: [&str; 4] = ["head", "style", "script", "title"];
/// The references that text cannot do without.
const REFERENCES: [(&str, &str); 6] =
    [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("nbsp", " ")];

/// HTML's text: tags become spaces, what they hide goes.
fn without_markup(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find(['<', '&']) {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix('&') {
            let reference = REFERENCES.iter().find_map(|(name, character)| {
                Some((after.strip_prefix(name)?.strip_prefix(';')?, *character))
            });
            let (after, character) = reference.unwrap_or((after, "&"));
            text.push_str(character);
            rest = after;
            continue;
        }
        text.push(' ');
        rest = after_tag(rest);
    }
    text.push_str(rest);
    text
}

/// What follows a tag; of a comment and of a hidden element, what follows their end.
fn after_tag(tag: &str) -> &str {
    let after = |end: &str| tag.find(end).map_or("", |at| &tag[at + end.len()..]);
    if tag.starts_with("<!--") {
        return after("-->");
    }
    let name: String = tag[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
    let name = name.to_ascii_lowercase();
    if !HIDDEN.contains(&name.as_str()) {
        return after(">");
    }
    let close = format!("</{name}");
    let found = tag
        .char_indices()
        .find(|(at, _)| tag.get(*at..at + close.len()).is_some_and(|text| text.eq_ignore_ascii_case(&close)));
    let closing = found.map_or("", |(at, _)| &tag[at..]);
    closing.find('>').map_or("", |at| &closing[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(message: &str) -> String {
        preview(&Structure::parse(message.as_bytes()))
    }

    #[test]
    fn the_first_text_is_shown() {
        assert_eq!(of("Subject: x\r\n\r\nHello\r\n\r\n  world \t!\r\n"), "Hello world !");
        assert_eq!(of("Subject: x\r\n\r\n"), "");
        let alternative = "Content-Type: multipart/alternative; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<p>rich</p>\r\n\
            --b\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr=C3=BCn\r\n--b--\r\n";
        assert_eq!(of(alternative), "grün");
        let html = "Content-Type: text/html\r\n\r\n<html><HEAD><title>no</title></HEAD><!-- <b> --><style>p {}</style>\
            <p>Tom&amp;Jerry&nbsp;<b>run</b> &unknown; 1 &lt; 2</p>";
        assert_eq!(of(html), "Tom&Jerry run &unknown; 1 < 2");
        let attached = "Content-Disposition: attachment\r\nContent-Type: text/plain\r\n\r\nsecret";
        assert_eq!(of(attached), "");
        assert_eq!(of("Content-Type: image/png\r\n\r\nPNG"), "");
    }

    #[test]
    fn it_ends_at_a_word() {
        let words = "word ".repeat(100);
        let shown = of(&format!("A: b\r\n\r\n{words}"));
        assert!(shown.ends_with("word") && shown.chars().count() <= PREVIEW_CHARS_MAX && shown.len() > 190);
        assert_eq!(of(&format!("A: b\r\n\r\n{}", "ü".repeat(500))).chars().count(), PREVIEW_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn no_markup_panics(html in "(<|>|</|head|style|<!--|-->|&|amp;|[ aü]){0,40}") {
            let _ = without_markup(&html);
        }
    }
}
