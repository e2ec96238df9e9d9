//! Patterns of LIST and LSUB (RFC 3501 §6.3.8): `*` is any text, `%` any text without the delimiter.

use imap_wire::MailboxName;

/// The hierarchy delimiter.
pub(crate) const DELIMITER: char = '/';
/// Wildcards in one pattern: beyond, nothing matches, since time could grow with each.
const WILDCARDS_MAX: usize = 32;
/// Other characters in one pattern: no name has so many, with its owner's name in front.
const LITERALS_MAX: usize = 1_000;

/// A pattern with its reference before it, ready to be matched.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Vec<char>,
    too_long: bool,
}

impl Pattern {
    /// The reference is where a relative pattern begins (RFC 3501 §6.3.8).
    pub(crate) fn new(reference: &MailboxName, pattern: &str) -> Self {
        let whole = MailboxName::new(&format!("{}{pattern}", reference.as_str()));
        let mut text: Vec<char> = Vec::new();
        for character in whole.as_str().chars() {
            match (text.last_mut(), character) {
                // Of wildcards side by side the wider one tells all.
                (Some(last @ ('*' | '%')), '*') => *last = '*',
                (Some('*'), '%') => {}
                _ => text.push(character),
            }
        }
        let wildcards = text.iter().filter(|c| matches!(c, '*' | '%')).count();
        let too_long = wildcards > WILDCARDS_MAX || text.len() - wildcards > LITERALS_MAX;
        Self { text: if too_long { Vec::new() } else { text }, too_long }
    }

    /// Steps that it takes at most to match a name of so many octets.
    pub(crate) fn steps(&self, octets: usize) -> usize {
        (self.text.len() + 1) * (octets + 1)
    }

    /// Whether a name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if self.too_long {
            return false;
        }
        // The places in the pattern that the name read so far can have reached, rising.
        let (mut reached, mut next) = (Vec::new(), Vec::new());
        self.reach(0, &mut reached);
        for character in name.chars() {
            next.clear();
            for place in &reached {
                match self.text.get(*place) {
                    Some('*') => self.reach(*place, &mut next),
                    Some('%') if character != DELIMITER => self.reach(*place, &mut next),
                    Some('%') | None => {}
                    Some(exact) if *exact == character => self.reach(place + 1, &mut next),
                    Some(_) => {}
                }
            }
            std::mem::swap(&mut reached, &mut next);
            if reached.is_empty() {
                return false;
            }
        }
        reached.last() == Some(&self.text.len())
    }

    /// Adds a place, and those behind it that are reached since a wildcard may stand for nothing.
    fn reach(&self, place: usize, reached: &mut Vec<usize>) {
        for place in place..=self.text.len() {
            if reached.last().is_none_or(|last| *last < place) {
                reached.push(place);
            }
            if !matches!(self.text.get(place), Some('*' | '%')) {
                return;
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
            ("", "%%", "ab", true),
            ("", "%%/%%c", "ab/cc", true),
            ("", "a%*%d", "a/b/cd", true),
            ("", "a%*%d", "a/b/c", false),
            ("", "%a%a", "aaa", true),
        ] {
            let pattern = Pattern::new(&MailboxName::new(reference), pattern);
            assert_eq!(pattern.matches(name), matches, "{pattern:?} {name}");
        }
    }

    #[test]
    fn a_pattern_of_wildcards_ends_soon() {
        let pattern = Pattern::new(&MailboxName::new(""), &"%a*".repeat(300));
        assert!(!pattern.matches(&"a".repeat(900)));
        // What stands for more than any name has is not even held.
        let long = Pattern::new(&MailboxName::new(""), &"b".repeat(60_000));
        assert!(long.steps(400) < 1_000 && !long.matches(&"b".repeat(400)));
    }

    #[test]
    fn parents_are_above() {
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(parents("a").count(), 0);
    }
}
