//! What an automatic reply says: the user's texts, in the sender's language where there is one.

use directory::Tagged;
use mail_types::{Address, Words};
use message::{Fields, decode_header};

use super::{Responder, is_internal};

/// Signs of the answered subject that are repeated.
const SUBJECT_MAX: usize = 200;
/// Octets of a text that are sent; a text that is longer is cut.
const TEXT_MAX: usize = 16 << 10;
/// Languages that are looked at of a message.
const LANGUAGES_MAX: usize = 20;

/// Subject and text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wording {
    /// On one line.
    pub(super) subject: String,
    /// Lines ended by LF.
    pub(super) text: String,
}

impl Wording {
    /// As a policy gave it.
    pub(super) fn given(words: &Words, header: &[u8]) -> Self {
        let subject =
            if words.subject.is_empty() { usual_subject(&asked(header)) } else { words.subject.clone() };
        Self { subject: one_line(&subject), text: cut(&words.text).to_owned() }
    }

    /// From the user's entry (requirements §2.2): another text for senders of the same domain, in the language that the
    /// sender prefers, `$SUBJECT` and `$FROM` replaced, `$` a line's end.
    pub(super) fn of(responder: &Responder, header: &[u8], sender: &Address) -> Self {
        let reply = &responder.user.auto_reply;
        let languages = languages(header);
        let internal = is_internal(responder, &sender.domain);
        let text = internal.then(|| choose(&reply.texts_internal, &languages)).flatten();
        let text = text.or_else(|| choose(&reply.texts, &languages)).unwrap_or("");
        let asked = asked(header);
        let from = sender.to_string();
        let subject = match choose(&reply.subjects, &languages) {
            Some(subject) => subject.replace("$SUBJECT", &asked).replace("$FROM", &from),
            None => usual_subject(&asked),
        };
        Self { subject: one_line(&subject), text: cut(&expanded(text, &asked, &from)).to_owned() }
    }
}

/// RFC 3834 §3.1.5.
fn usual_subject(asked: &str) -> String {
    format!("Auto: {asked}").trim_end().to_owned()
}

/// The subject that is answered, decoded, on one line.
fn asked(header: &[u8]) -> String {
    let subject = Fields::of(header).first("Subject").map(|field| decode_header(&field.unfolded()));
    one_line(subject.as_deref().unwrap_or_default().trim())
}

/// Without line ends and other controls, and not too long.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_MAX).collect()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

/// `$SUBJECT` and `$FROM` replaced; `$$` is a dollar, and any other `$` a line's end, as the product has it.
fn expanded(text: &str, subject: &str, from: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = after.strip_prefix("SUBJECT") {
            out.push_str(subject);
            rest = behind;
        } else if let Some(behind) = after.strip_prefix("FROM") {
            out.push_str(from);
            rest = behind;
        } else if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else {
            out.push('\n');
            rest = after;
        }
        if out.len() > TEXT_MAX {
            return out;
        }
    }
    out.push_str(rest);
    out
}

/// The languages of the sender, the preferred one first: Accept-Language (RFC 3282 §3), then the language of the message.
fn languages(header: &[u8]) -> Vec<String> {
    let mut found: Vec<(u16, String)> = Vec::new();
    for (name, weight) in [("Accept-Language", 1000), ("Content-Language", 0)] {
        let Some(field) = Fields::of(header).first(name) else { continue };
        let value = String::from_utf8_lossy(&field.unfolded()).to_ascii_lowercase();
        for part in value.split(',').take(LANGUAGES_MAX) {
            let (language, quality) = part.split_once(';').unwrap_or((part, ""));
            found.push((weight + quality_of(quality), language.trim().to_owned()));
        }
    }
    // Stable: of equal ones, the first.
    found.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    found.into_iter().map(|(_, language)| language).filter(|language| !language.is_empty()).collect()
}

/// `q=0.8` as 800; 1000 where nothing is said.
fn quality_of(text: &str) -> u16 {
    let Some(number) = text.trim().strip_prefix("q=") else { return 1000 };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.trim() != "0" {
        return 1000;
    }
    let digits: String = part.chars().chain("000".chars()).take(3).collect();
    digits.parse().unwrap_or(0)
}

/// The text in the first language that there is one in (`de` serves `de-AT`), else the one without a language, else any.
fn choose<'a>(texts: &'a [Tagged], languages: &[String]) -> Option<&'a str> {
    let primary = |language: &str| language.split('-').next().unwrap_or_default().to_owned();
    let fits = |wanted: &String| {
        let exact = texts.iter().find(|tagged| tagged.language == *wanted);
        exact.or_else(|| {
            texts
                .iter()
                .find(|tagged| !tagged.language.is_empty() && primary(&tagged.language) == primary(wanted))
        })
    };
    let chosen = languages.iter().find_map(fits);
    let chosen = chosen.or_else(|| texts.iter().find(|tagged| tagged.language.is_empty()));
    chosen.or_else(|| texts.first()).map(|tagged| tagged.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_ends_a_line_and_words_are_replaced() {
        assert_eq!(expanded("I am away.$Back on Monday.", "x", "y"), "I am away.\nBack on Monday.");
        assert_eq!(expanded("$FROM wrote $SUBJECT$5 $$", "hi", "a@b"), "a@b wrote hi\n5 $");
    }

    #[test]
    fn the_language_of_the_sender_is_chosen() {
        let tagged = |language: &str, text: &str| Tagged { language: language.into(), text: text.into() };
        let texts = [tagged("", "away"), tagged("de", "weg"), tagged("fr", "parti")];
        for (header, expected) in [
            ("Accept-Language: de-AT, en;q=0.5\r\n\r\n", "weg"),
            ("Accept-Language: en;q=0.9, fr;q=0.8\r\n\r\n", "parti"),
            ("Content-Language: fr\r\n\r\n", "parti"),
            ("Accept-Language: xx\r\nContent-Language: de\r\n\r\n", "weg"),
            ("Subject: x\r\n\r\n", "away"),
            ("Accept-Language: it\r\n\r\n", "away"),
        ] {
            assert_eq!(choose(&texts, &languages(header.as_bytes())), Some(expected), "{header}");
        }
        assert_eq!(choose(&texts[1..2], &[]), Some("weg"));
    }
}
