//! Interests: selectors that the host tests itself, so that a call happens only where it can matter.

use hooks::{Direction, Position, Role};
use mail_types::Address;

use crate::bindings::wasmta::policy::config::Value;
use crate::call::Values;

/// Most interests of one plugin, and conditions of one interest.
pub(crate) const INTERESTS_MAX: usize = 64;
const CONDITIONS_MAX: usize = 8;
/// Longest selector, in octets.
pub(crate) const SELECTOR_MAX: usize = 512;

/// What a selector is tested against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) address: &'a Address,
    pub(crate) position: Position,
    pub(crate) direction: Direction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    DomainIs(String),
    DomainBelow(String),
    LocalPrefix(String),
    LocalContains(String),
    Position(Position),
    Direction(Direction),
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is no condition KEY=VALUE"))?;
        if value.is_empty() {
            return Err(format!("{text:?} has no value"));
        }
        let lower = value.to_lowercase();
        Ok(match (key, value) {
            ("domain", _) if lower.starts_with('.') => Self::DomainBelow(lower),
            ("domain", _) => Self::DomainIs(lower),
            ("local-prefix", _) => Self::LocalPrefix(lower),
            ("local-contains", _) => Self::LocalContains(lower),
            ("position", "envelope") => Self::Position(Position::Envelope),
            ("position", "header") => Self::Position(Position::Header),
            ("direction", "to") => Self::Direction(Direction::To),
            ("direction", "from") => Self::Direction(Direction::From),
            _ => {
                return Err(format!(
                    "{text:?} is not known: write domain=…, local-prefix=…, local-contains=…, \
                     position=envelope|header or direction=to|from"
                ));
            }
        })
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        let domain = subject.address.domain.as_str();
        let local = subject.address.local.as_str();
        match self {
            Self::DomainIs(name) => domain == name,
            Self::DomainBelow(suffix) => domain.ends_with(suffix.as_str()),
            Self::LocalPrefix(prefix) => starts_with(local, prefix),
            Self::LocalContains(part) => contains(local, part),
            Self::Position(position) => *position == subject.position,
            Self::Direction(direction) => *direction == subject.direction,
        }
    }
}

/// Without case; without an allocation where both are ASCII, as they nearly always are.
fn starts_with(text: &str, lower_prefix: &str) -> bool {
    match text.as_bytes().get(..lower_prefix.len()) {
        Some(head) if head.is_ascii() => head.eq_ignore_ascii_case(lower_prefix.as_bytes()),
        _ => text.to_lowercase().starts_with(lower_prefix),
    }
}

fn contains(text: &str, lower_part: &str) -> bool {
    if text.is_ascii() && lower_part.is_ascii() {
        let part = lower_part.as_bytes();
        return text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    }
    text.to_lowercase().contains(lower_part)
}

/// A condition with the texts of the configuration put in.
pub(crate) fn configured(text: &str, values: &Values) -> Result<String, String> {
    let Some((before, rest)) = text.split_once('{') else { return Ok(text.to_owned()) };
    let Some((key, after)) = rest.split_once('}') else {
        return Err(format!("{text:?} has no closing brace"));
    };
    match values.get(key) {
        Some(Value::Text(value)) if !value.contains(char::is_whitespace) => {
            Ok(format!("{before}{value}{after}"))
        }
        Some(_) => Err(format!("{text:?}: {key} is no text without spaces")),
        None => Err(format!("{text:?}: the configuration has no {key}: give it a default in config-schema")),
    }
}

/// The interests of a plugin: by role, a list of alternatives, each a list of conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interests(Vec<(Role, Vec<Condition>)>);

impl Interests {
    /// Reads what `describe` gave: role and selector; `{key}` stands for a text of the configuration.
    pub(crate) fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        values: &Values,
    ) -> Result<Self, String> {
        let mut all = Vec::new();
        for (role, selector) in pairs {
            let in_words = |why: String| format!("interest of {role:?}: {why}");
            let known: Role = role.parse().map_err(in_words)?;
            if known == Role::RouteTable {
                return Err(in_words("route-table is asked for whole domains, and has no interests".into()));
            }
            if selector.len() > SELECTOR_MAX {
                return Err(in_words(format!("a selector has at most {SELECTOR_MAX} octets")));
            }
            let conditions: Result<Vec<_>, _> = selector
                .split_whitespace()
                .map(|text| configured(text, values).and_then(|text| Condition::parse(&text)))
                .collect();
            let conditions = conditions.map_err(in_words)?;
            if conditions.len() > CONDITIONS_MAX {
                return Err(in_words(format!("a selector has at most {CONDITIONS_MAX} conditions")));
            }
            all.push((known, conditions));
        }
        if all.len() > INTERESTS_MAX {
            return Err(format!("a plugin has at most {INTERESTS_MAX} interests"));
        }
        Ok(Self(all))
    }

    /// Whether a call can matter. Without an interest for the role, it always can.
    pub(crate) fn matter(&self, role: Role, subject: &Subject<'_>) -> bool {
        let mut any = false;
        for (other, conditions) in &self.0 {
            if *other != role {
                continue;
            }
            if conditions.iter().all(|condition| condition.holds(subject)) {
                return true;
            }
            any = true;
        }
        !any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matter(interests: &[(&str, &str)], role: Role, address: &str, direction: Direction) -> bool {
        let interests = Interests::parse(interests.iter().copied(), &Values::new()).unwrap();
        let address = Address::parse(address).unwrap();
        interests.matter(role, &Subject { address: &address, position: Position::Envelope, direction })
    }

    #[test]
    fn conditions_join_and_interests_are_alternatives() {
        let both = [("rewrite", "domain=example.org local-contains=+"), ("rewrite", "local-prefix=SRS0=")];
        let cases = [
            ("a+b@example.org", true),
            ("a@example.org", false),
            ("a+b@x.example.org", false),
            ("srs0=x@other.example", true),
            ("Ää+x@example.org", true),
        ];
        for (address, wanted) in cases {
            assert_eq!(matter(&both, Role::Rewrite, address, Direction::To), wanted, "{address}");
        }
        // No interest for a role means always.
        assert!(matter(&both, Role::Reverse, "a@b.example", Direction::From));
        let below = [("rewrite", "domain=.example.org direction=from position=envelope")];
        assert!(matter(&below, Role::Rewrite, "a@x.example.org", Direction::From));
        assert!(!matter(&below, Role::Rewrite, "a@x.example.org", Direction::To));
        assert!(!matter(&below, Role::Rewrite, "a@example.org", Direction::From));
        assert!(matter(&[("rewrite", "")], Role::Rewrite, "a@b.example", Direction::To));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (role, selector) in [
            ("rewrites", ""),
            ("route-table", ""),
            ("rewrite", "domain"),
            ("rewrite", "domain="),
            ("rewrite", "direction=up"),
            ("rewrite", "size=3"),
        ] {
            assert!(Interests::parse([(role, selector)], &Values::new()).is_err(), "{role} {selector}");
        }
    }

    #[test]
    fn texts_of_the_configuration_are_put_in() {
        let values = Values::from([
            ("separator".to_owned(), Value::Text("-".to_owned())),
            ("number".to_owned(), Value::Number(3)),
        ]);
        let interests = Interests::parse([("rewrite", "local-contains={separator}")], &values).unwrap();
        let holds = |address: &str| {
            let address = Address::parse(address).unwrap();
            let (position, direction) = (Position::Envelope, Direction::To);
            interests.matter(Role::Rewrite, &Subject { address: &address, position, direction })
        };
        assert!(holds("a-b@c.example") && !holds("a+b@c.example"));
        for bad in ["local-contains={other}", "local-contains={number}", "local-contains={separator"] {
            assert!(Interests::parse([("rewrite", bad)], &values).is_err(), "{bad}");
        }
    }
}
