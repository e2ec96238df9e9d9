//! Patterns of LIST and LSUB (RFC 3501 §6.3.8): `*` is any text, `%` any text without the delimiter.

use imap_wire::MailboxName;

/// The hierarchy delimiter.
pub(crate) const DELIMITER: char = '/';
/// Wildcards in one pattern: beyond, nothing matches, since time could grow with each.
const WILDCARDS_MAX: usize = 32;

/// A pattern with its reference before it, ready to be matched.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Vec<char>,
    too_many: bool,
}

impl Pattern {
    /// The reference is where a relative pattern begins (RFC 3501 §6.3.8).
    pub(crate) fn new(reference: &MailboxName, pattern: &str) -> Self {
        let whole = MailboxName::new(&format!("{}{pattern}", reference.as_str()));
        let mut text: Vec<char> = whole.as_str().chars().collect();
        text.dedup_by(|a, b| *a == '*' && *b == '*');
        let wildcards = text.iter().filter(|c| matches!(c, '*' | '%')).count();
        Self { text, too_many: wildcards > WILDCARDS_MAX }
    }

    /// Whether a name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if self.too_many {
            return false;
        }
        // The set of places in the pattern that the name read so far can have reached.
        let mut reached = vec![false; self.text.len() + 1];
        reached[0] = true;
        self.skip_wildcards(&mut reached);
        for character in name.chars() {
            let mut next = vec![false; self.text.len() + 1];
            for (place, wanted) in self.text.iter().enumerate().filter(|(place, _)| reached[*place]) {
                match wanted {
                    '*' => next[place] = true,
                    '%' if character != DELIMITER => next[place] = true,
                    '%' => {}
                    exact if *exact == character => next[place + 1] = true,
                    _ => {}
                }
            }
            self.skip_wildcards(&mut next);
            reached = next;
        }
        reached[self.text.len()]
    }

    /// A wildcard may stand for nothing.
    fn skip_wildcards(&self, reached: &mut [bool]) {
        for (place, wanted) in self.text.iter().enumerate() {
            if reached[place] && matches!(wanted, '*' | '%') {
                reached[place + 1] = true;
            }
        }
    }
}

/// The names above a name in the hierarchy: `a/b/c` has `a` and `a/b`.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(DELIMITER).map(|(at, _)| &name[..at]).filter(|parent| !parent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_standard_says() {
        for (reference, pattern, name, matches) in [
            ("", "*", "INBOX", true),
            ("", "*", "a/b/c", true),
            ("", "%", "a", true),
            ("", "%", "a/b", false),
            ("", "a/%", "a/b", true),
            ("", "a/%", "a/b/c", false),
            ("", "%/%", "a/b", true),
            ("a/", "*", "a/b/c", true),
            ("a/", "%", "b", false),
            ("", "inbox", "INBOX", true),
            ("", "*b*", "a/b/c", true),
            ("", "%b%c", "xbyc", true),
            ("", "%b%c", "xb/c", false),
            ("", "Entwürfe", "Entwürfe", true),
            ("", "", "", true),
            ("", "", "a", false),
            ("", "a%", "a", true),
        ] {
            let pattern = Pattern::new(&MailboxName::new(reference), pattern);
            assert_eq!(pattern.matches(name), matches, "{pattern:?} {name}");
        }
    }

    #[test]
    fn a_pattern_of_wildcards_ends_soon() {
        let pattern = Pattern::new(&MailboxName::new(""), &"%a*".repeat(300));
        assert!(!pattern.matches(&"a".repeat(900)));
    }

    #[test]
    fn parents_are_above() {
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(parents("a").count(), 0);
    }
}
