//! What a terminal gets to see: texts of strangers stand in what commands print, and must not move its cursor, nor turn the order
//! of what stands beside them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that are not seen, and have effects nevertheless: those of Unicode's category Cf, and its separators of lines and
/// paragraphs.
const UNSEEN: [(char, char); 19] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e007f}'),
];

fn is_unseen(c: char) -> bool {
    let is_within = |(first, last): &(char, char)| (*first..=*last).contains(&c);
    c.is_control() || !c.is_ascii() && UNSEEN.iter().any(is_within)
}

/// A text of lines: whatever else is unseen shows as U+FFFD.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| is_unseen(c) && c != '\n' && c != '\t';
    if text.contains(is_hidden) {
        Cow::Owned(text.replace(is_hidden, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON, which says the same with its own escapes.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    // Line feeds are between values alone.
    let is_hidden = |c: char| is_unseen(c) && c != '\n';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_hidden(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_reaches_no_terminal() {
        for (text, shown) in [
            ("plain \u{fc}\n\tand \u{6f22}", "plain \u{fc}\n\tand \u{6f22}"),
            ("a\u{1b}[2Jb\r\u{7f}\u{9b}", "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}"),
            ("<\u{202e}moc.elpmaxe@ann>", "<\u{fffd}moc.elpmaxe@ann>"),
            (
                "\u{2066}x\u{2069}\u{200b}\u{feff}\u{e0041}\u{2028}",
                "\u{fffd}x\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
        ] {
            assert_eq!(lines(text), shown);
        }
    }

    #[test]
    fn json_says_the_same_in_escapes() {
        let value = serde_json::json!({"from": "\u{202e}\u{1b}\u{9b}\u{e0041} \u{fc}\n"});
        let text = format!("{value:#}");
        let shown = json(&text);
        assert!(
            shown.contains(r"\u202e\u001b\u009b\udb40\udc41 \u{fc}\n".replace(r"\u{fc}", "\u{fc}").as_str()),
            "{shown}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
