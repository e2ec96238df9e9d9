//! The policy itself, without a host: which user a local part names, and whether the tag is allowed.

/// At how many separators a local part is tried: `a-b-c-d-e-f@` must not cost a look-up for each sign.
const SPLITS_MAX: usize = 4;

/// The contract's limit for the text of a reply, in octets.
const REPLY_TEXT_MAX: usize = 400;

pub struct Policy {
    pub separator: char,
    pub lower_case: bool,
    pub unknown: Unknown,
    pub default_tags: Vec<String>,
    pub tag_length_max: usize,
}

/// What becomes of a tag that is not allowed.
pub enum Unknown {
    Remove,
    Refuse,
    Keep,
}

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Unchanged,
    Becomes(String),
    Refused,
}

impl Policy {
    /// Whom a local part may name, in lower case, as the tables have it: itself, then ever less of it. Nobody where it
    /// has no tag.
    pub fn names(&self, local: &str) -> Vec<String> {
        let users: Vec<&str> = splits(local, self.separator).map(|(user, _)| user).collect();
        let whole = [local].into_iter().filter(|_| !users.is_empty());
        whole.chain(users.iter().copied()).map(str::to_lowercase).collect()
    }

    /// Decides on a local part; `known` has the tags of each of its `names`, or nothing for names that are nobody's.
    pub fn decide(&self, local: &str, known: &[Option<Vec<String>>]) -> Outcome {
        let mut known = known.iter();
        if known.next().is_some_and(Option::is_some) {
            return self.becomes(local, local); // somebody's whole name, separator and all
        }
        // Who is not here at all is not ours to judge: the directory will.
        let mut users = splits(local, self.separator).zip(known);
        let Some(((user, tag), tags)) = users.find_map(|(split, tags)| Some((split, tags.as_ref()?))) else {
            return Outcome::Unchanged;
        };
        if tag.is_empty() {
            return self.becomes(local, user);
        }
        match self.unknown {
            _ if self.allows(tag, tags) => self.becomes(local, local),
            Unknown::Keep => self.becomes(local, local),
            Unknown::Remove => self.becomes(local, user),
            Unknown::Refuse => Outcome::Refused,
        }
    }

    fn allows(&self, tag: &str, own: &[String]) -> bool {
        let tags = if own.is_empty() { &self.default_tags[..] } else { own };
        tag.len() <= self.tag_length_max && tags.iter().any(|pattern| matches_tag(pattern, tag))
    }

    /// The new local part, unless it is the old one: an address that is "again" itself would go round for ever.
    fn becomes(&self, old: &str, new: &str) -> Outcome {
        let new = if self.lower_case { new.to_lowercase() } else { new.to_owned() };
        if new == old { Outcome::Unchanged } else { Outcome::Becomes(new) }
    }
}

/// User and tag, the longest user first: `anna-maria-news` may be Anna-Maria's news.
fn splits(local: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    let cut = local.rmatch_indices(separator).filter(|(at, _)| *at > 0).take(SPLITS_MAX);
    cut.map(move |(at, sign)| (&local[..at], &local[at + sign.len()..]))
}

/// `news`, `news*` or `*`; letters compare without case.
fn matches_tag(pattern: &str, tag: &str) -> bool {
    let (pattern, tag) = (pattern.to_lowercase(), tag.to_lowercase());
    match pattern.strip_suffix('*') {
        Some(beginning) => tag.starts_with(beginning),
        None => tag == pattern,
    }
}

/// Text as a reply may have it: one line of printable ASCII.
pub fn printable(text: &str) -> String {
    let sign = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(REPLY_TEXT_MAX).map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(separator: char) -> Policy {
        let default_tags = vec!["news*".to_owned(), "shop".to_owned()];
        Policy { separator, lower_case: true, unknown: Unknown::Refuse, default_tags, tag_length_max: 8 }
    }

    #[test]
    fn names_are_tried_from_the_longest_and_are_bounded() {
        assert_eq!(policy('-').names("A-b-c"), ["a-b-c", "a-b", "a"]);
        assert_eq!(policy('+').names(&"a+".repeat(1000)).len(), 1 + SPLITS_MAX);
    }

    #[test]
    fn nobody_is_looked_for_where_there_is_no_tag() {
        for local in ["Anna", "+tag", "+", ""] {
            assert!(policy('+').names(local).is_empty(), "{local}");
        }
    }

    #[test]
    fn a_tag_is_allowed_by_word_by_beginning_and_by_length() {
        let none = vec![];
        for (tag, allowed) in
            [("shop", true), ("SHOP", true), ("shops", false), ("news-1", true), ("news-12345", false)]
        {
            assert_eq!(policy('+').allows(tag, &none), allowed, "{tag}");
        }
        assert!(!policy('+').allows("shop", &["only".to_owned()]), "own tags replace the default ones");
    }

    #[test]
    fn nothing_becomes_itself_again() {
        assert_eq!(policy('+').decide("anna+shop", &[None, Some(vec![])]), Outcome::Unchanged);
        assert_eq!(
            policy('+').decide("Anna+shop", &[None, Some(vec![])]),
            Outcome::Becomes("anna+shop".into())
        );
    }
}
