//! The subject without what replies and forwards put around it (RFC 5256 §2.1).

use crate::decode::decode_header;

/// A subject, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseSubject {
    /// The base subject; empty where nothing is left.
    pub text: String,
    /// Something was removed that marks a reply or a forward.
    pub is_reply: bool,
}

/// Most rounds of step (6): each takes one `[fwd: …]` off.
const FORWARDS_MAX: usize = 100;

impl BaseSubject {
    /// Takes the value of a Subject field.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        // Step (1).
        let decoded = decode_header(value);
        let subject = decoded.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let subject = subject.collect::<Vec<_>>().join(" ");
        let mut found = Self::default();
        let mut rest = subject.as_str();
        for _ in 0..FORWARDS_MAX {
            rest = found.without_trailers(rest);
            rest = found.without_leaders(rest);
            // Step (6).
            match strip_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
                Some(inner) => rest = inner,
                None => break,
            }
            found.is_reply = true;
        }
        found.text = rest.to_owned();
        found
    }

    /// Step (2): `subj-trailer = "(fwd)" / WSP`.
    fn without_trailers<'t>(&mut self, mut text: &'t str) -> &'t str {
        loop {
            let trimmed = text.trim_end_matches(' ');
            let Some(rest) = strip_suffix(trimmed, "(fwd)") else { return trimmed };
            self.is_reply = true;
            text = rest;
        }
    }

    /// Steps (3) to (5).
    fn without_leaders<'t>(&mut self, mut text: &'t str) -> &'t str {
        loop {
            text = text.trim_start_matches(' ');
            if let Some(rest) = after_leader(text) {
                self.is_reply = true;
                text = rest;
                continue;
            }
            // Step (4): a blob goes only where something is left.
            match after_blob(text) {
                Some(rest) if !rest.is_empty() => text = rest,
                _ => return text,
            }
        }
    }
}

/// `subj-leader = *subj-blob subj-refwd`
fn after_leader(mut text: &str) -> Option<&str> {
    loop {
        if let Some(rest) = after_reply_mark(text) {
            return Some(rest);
        }
        text = after_blob(text)?;
    }
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn after_reply_mark(text: &str) -> Option<&str> {
    let marks = ["re", "fwd", "fw"];
    marks.iter().find_map(|mark| {
        let rest = strip_prefix(text, mark)?.trim_start_matches(' ');
        let rest = after_blob(rest).unwrap_or(rest);
        rest.strip_prefix(':')
    })
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn after_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner[end..].strip_prefix(']')?.trim_start_matches(' '))
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn strip_suffix<'t>(text: &'t str, suffix: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_replies_and_forwards_add_is_taken_off() {
        for (subject, base, is_reply) in [
            ("Hello", "Hello", false),
            ("Re: Hello", "Hello", true),
            ("RE:  re: Fwd: fw: Hello  (fwd) (FWD) ", "Hello", true),
            ("Re[2]: Hello", "Hello", true),
            ("Re [list] : Hello", "Hello", true),
            ("[list] Hello", "Hello", false),
            ("[list] Re: [list] Hello", "Hello", true),
            ("[a][b] Re: Hello", "Hello", true),
            ("[fwd: Re: Hello]", "Hello", true),
            ("[Fwd: [fwd: Hello (fwd)]]", "Hello", true),
            ("[only a blob]", "[only a blob]", false),
            ("Re: [only a blob]", "[only a blob]", true),
            ("Re:", "", true),
            ("", "", false),
            ("a\t b\r\n c", "a b c", false),
            ("Reply", "Reply", false),
            ("=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Grüße", true),
            ("[a[b] Hello", "[a[b] Hello", false),
        ] {
            let expected = BaseSubject { text: base.to_owned(), is_reply };
            assert_eq!(BaseSubject::of(subject.as_bytes()), expected, "{subject}");
        }
    }

    proptest! {
        #[test]
        fn no_subject_panics(subject in "(re|fw|fwd|\\[|\\]|:|\\(fwd\\)|[ aäß\t]){0,30}") {
            let base = BaseSubject::of(subject.as_bytes());
            prop_assert!(base.text.len() <= subject.len() && base.text.trim() == base.text);
        }
    }
}
