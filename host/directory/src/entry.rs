//! Entries: a name and its attributes (RFC 4512 §2.2).

use std::fmt;
use std::sync::Arc;

use crate::dn::Dn;

/// An attribute: its description as written (type, and options like `;lang-fr`) and its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The description. Compared without case.
    pub name: String,
    /// The values, at least one, in the order given.
    pub values: Vec<Vec<u8>>,
}

/// An entry, as its source has it. A clone shares the attributes until one of both is changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub dn: Dn,
    attributes: Arc<Vec<Attribute>>,
}

impl Entry {
    /// An entry without attributes.
    #[must_use]
    pub fn new(dn: Dn) -> Self {
        Self { dn, attributes: Arc::default() }
    }

    /// The attributes, in the order in which they were first given.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The values of an attribute; empty where it is absent.
    #[must_use]
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name)).map_or(&[], |a| &a.values)
    }

    /// The values that are UTF-8, without the blanks around them.
    pub fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// The first value that is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// Whether the attribute has that value, without case.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.texts(name).any(|text| text.eq_ignore_ascii_case(value))
    }

    /// Adds a value; one that is there already is not added again.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let value = value.into();
        let attributes = Arc::make_mut(&mut self.attributes);
        match attributes.iter_mut().find(|a| a.name.eq_ignore_ascii_case(name)) {
            Some(attribute) if attribute.values.contains(&value) => {}
            Some(attribute) => attribute.values.push(value),
            None => attributes.push(Attribute { name: name.to_owned(), values: vec![value] }),
        }
    }

    /// The entry as plugins see it: one pair a value, in order; without secrets, and without what is no text.
    #[must_use]
    pub fn shown(&self) -> hooks::Attributes {
        let shown = self.attributes.iter().filter(|attribute| !is_hidden(&attribute.name));
        shown
            .flat_map(|attribute| {
                let texts = attribute.values.iter().filter_map(|value| std::str::from_utf8(value).ok());
                texts.map(|text| (attribute.name.clone(), text.to_owned()))
            })
            .collect()
    }

    /// Octets of all values.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.attributes.iter().flat_map(|a| &a.values).map(Vec::len).sum()
    }

    /// Takes an attribute as it was stored, without looking for doubles.
    pub(crate) fn push(&mut self, name: String, values: Vec<Vec<u8>>) {
        Arc::make_mut(&mut self.attributes).push(Attribute { name, values });
    }

    /// The entry with one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.add(name, value);
        self
    }

    /// Replaces all values; none removes the attribute.
    pub fn replace(&mut self, name: &str, values: Vec<Vec<u8>>) {
        Arc::make_mut(&mut self.attributes).retain(|a| !a.name.eq_ignore_ascii_case(name));
        for value in values {
            self.add(name, value);
        }
    }
}

/// Attributes whose values no log and no listing may show.
fn is_secret(name: &str) -> bool {
    let name = name.split(';').next().unwrap_or(name);
    ["userPassword", "mgrpAuthPassword", "mgrpApprovePassword"].iter().any(|s| s.eq_ignore_ascii_case(name))
}

/// Attributes that no plugin may see, whatever a schema calls them.
fn is_hidden(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.contains("password") || lower.starts_with("scram") || lower.contains("secret")
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_secret(&self.name) {
            return write!(f, "{}: [{} hidden]", self.name, self.values.len());
        }
        let values: Vec<_> = self.values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        write!(f, "{}: {values:?}", self.name)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} {:?})", self.dn, self.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_without_case_and_values_are_a_set() {
        let mut entry = Entry::new(Dn::parse("uid=a,o=b").unwrap()).with("Mail", "a@b").with("mail", "a@b");
        entry.add("MAIL", " c@d ");
        assert_eq!(entry.texts("mail").collect::<Vec<_>>(), ["a@b", "c@d"]);
        assert!(entry.has("mail", "A@B"));
        entry.replace("mail", vec![]);
        assert!(entry.values("mail").is_empty() && entry.attributes().is_empty());
    }

    #[test]
    fn passwords_are_nobodys_to_see() {
        for (name, hidden) in [("userPassword", true), ("scramKey", true), ("mail", false)] {
            assert_eq!(is_hidden(name), hidden, "{name}");
        }
        let entry = Entry::new(Dn::root()).with("mail", "a@b").with("userPassword", "x").with("mail", [0xff]);
        assert_eq!(entry.shown(), [("mail".to_owned(), "a@b".to_owned())]);
    }

    #[test]
    fn passwords_are_never_shown() {
        let entry = Entry::new(Dn::root()).with("userPassword", "{SSHA}secret");
        assert!(!format!("{entry:?}").contains("secret"));
    }
}
