//! The arguments of a registered program: fixed by the operator, but for a closed set of values.

use std::str::FromStr;

/// Longest argument as the operator writes it, in octets.
const ARGUMENT_MAX: usize = 4096;

/// What may be filled in. Each stays within its argument: no shell, no splitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blank {
    /// `{recipient}`: the final address.
    Recipient,
    /// `{sender}`: the reverse path, `<>` where there is none.
    Sender,
    /// `{account}`: whose mail it is.
    Account,
    /// `{detail}`: the subaddress, empty where there is none.
    Detail,
    /// `{id}`: the queue id.
    Id,
}

const BLANKS: [(&str, Blank); 5] = [
    ("recipient", Blank::Recipient),
    ("sender", Blank::Sender),
    ("account", Blank::Account),
    ("detail", Blank::Detail),
    ("id", Blank::Id),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Blank(Blank),
}

/// One argument as the operator wrote it. `{{` and `}}` stand for the braces themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    text: String,
    parts: Vec<Part>,
}

/// Why a value is not filled in: it would be more than a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Which.
    pub(crate) blank: Blank,
    /// What is wrong with it.
    pub(crate) what: &'static str,
}

impl Argument {
    /// Whether anything is filled in.
    #[must_use]
    pub fn has_blanks(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Blank(_)))
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills in. A value that stands first and begins with `-` would be an option to the program, and one with control
    /// characters more lines than one: neither is handed over.
    pub(crate) fn filled<'v>(&self, value: impl Fn(Blank) -> &'v str) -> Result<String, Unfit> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Blank(blank) => {
                    let value = value(*blank);
                    let unfit = |what| Err(Unfit { blank: *blank, what });
                    if value.chars().any(char::is_control) {
                        return unfit("has control characters");
                    }
                    if filled.is_empty() && value.starts_with('-') {
                        return unfit("begins with \"-\", as an option does");
                    }
                    filled.push_str(value);
                }
            }
        }
        Ok(filled)
    }
}

impl FromStr for Argument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > ARGUMENT_MAX || text.contains('\0') {
            return Err(format!("an argument has at most {ARGUMENT_MAX} octets, and no NUL"));
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = after.find('}').filter(|_| brace == "{");
            let Some(end) = end else { return Err(format!("{text:?} has a {brace:?} too many")) };
            let (_, blank) = BLANKS
                .iter()
                .find(|(name, _)| *name == &after[..end])
                .ok_or_else(|| format!("{{{}}} is not filled in", &after[..end]))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Blank(*blank));
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(argument: &str, value: &str) -> Result<String, Unfit> {
        argument.parse::<Argument>().unwrap().filled(|_| value)
    }

    #[test]
    fn values_stay_within_their_argument() {
        for (argument, value, whole) in [
            ("-q", "x", "-q"),
            ("{recipient}", "$(rm -rf /)@x", "$(rm -rf /)@x"),
            ("--for={recipient}", "-x@y", "--for=-x@y"),
            ("a{{b}}{id}", "1", "a{b}1"),
            ("{detail}", "", ""),
            ("{sender} {sender}", "a b", "a b a b"),
        ] {
            assert_eq!(filled(argument, value).as_deref(), Ok(whole), "{argument}");
        }
    }

    #[test]
    fn values_are_no_options_and_no_lines() {
        assert_eq!(filled("{sender}", "-f").unwrap_err().blank, Blank::Sender);
        assert_eq!(filled("{detail}{sender}", "-f").unwrap_err().blank, Blank::Detail);
        assert!(filled("x{id}", "a\nb").is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["{", "}", "{recipent}", "{}", "a{b", "{recipient", "a\0"] {
            assert!(text.parse::<Argument>().is_err(), "{text:?}");
        }
    }
}
