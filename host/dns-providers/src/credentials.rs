//! What a provider knows us by.

use std::collections::BTreeMap;
use std::fmt;

use crate::provider::{KeyKind, Provider};

/// Shortest secret that is looked for in what is told: a shorter one would stand in words by chance.
const REDACTED_MIN: usize = 4;

/// The values of a provider's keys. Those that are secrets are shown to the provider alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    provider: &'static Provider,
    values: BTreeMap<&'static str, String>,
}

impl Credentials {
    /// Values by their keys; what is no key of the provider is not taken.
    ///
    /// # Errors
    /// The first key that is needed and has no value.
    pub fn new(
        provider: &'static Provider,
        values: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, &'static str> {
        let values: BTreeMap<_, _> = values
            .into_iter()
            .filter(|(name, value)| provider.key(name).is_some() && !value.is_empty())
            .collect();
        match provider.keys.iter().find(|key| key.is_required && !values.contains_key(key.name)) {
            Some(missing) => Err(missing.name),
            None => Ok(Self { provider, values }),
        }
    }

    /// Whose they are.
    #[must_use]
    pub fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// A value; empty where there is none, which keys that are needed have.
    pub(crate) fn text(&self, key: &'static str) -> &str {
        self.optional(key).unwrap_or_default()
    }

    /// A value as the library's own.
    pub(crate) fn owned(&self, key: &'static str) -> String {
        self.text(key).to_owned()
    }

    /// A value, where there is one.
    pub(crate) fn optional(&self, key: &'static str) -> Option<&str> {
        debug_assert!(self.provider.key(key).is_some(), "{key} is no key of {}", self.provider.name);
        self.values.get(key).map(String::as_str)
    }

    /// Whether a flag is set.
    pub(crate) fn is_set(&self, key: &'static str) -> bool {
        self.optional(key) == Some("true")
    }

    /// A text without what must not be told.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let secret = |name: &str| self.provider.key(name).is_some_and(|key| key.kind == KeyKind::Secret);
        let secrets = self.values.iter().filter(|(name, value)| secret(name) && value.len() >= REDACTED_MIN);
        secrets.fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), "…"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.values.keys().copied().collect();
        write!(f, "Credentials({}: {})", self.provider.name, names.join(", "))
    }
}
