//! The name of a plugin.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name, in octets.
pub const NAME_MAX: usize = 64;

/// By which a plugin is installed, bound and told in the log: lower-case letters, digits and hyphens, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(Arc<str>);

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a plugin: lower-case letters, digits and hyphens, a letter first, at most {NAME_MAX}"
)]
pub struct NameError(String);

impl PluginName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let letter = |c: u8| c.is_ascii_lowercase();
        let rest = |c: u8| letter(c) || c.is_ascii_digit() || c == b'-';
        let octets = text.as_bytes();
        let good = octets.first().is_some_and(|first| letter(*first)) && octets.iter().all(|c| rest(*c));
        if good && octets.len() <= NAME_MAX { Ok(Self(text.into())) } else { Err(NameError(text.to_owned())) }
    }
}

impl TryFrom<String> for PluginName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PluginName> for String {
    fn from(name: PluginName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_and_keys() {
        for good in ["srs", "vacation-plus", "a1"] {
            assert_eq!(PluginName::from_str(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(NAME_MAX + 1);
        for bad in ["", "-a", "1a", "A", "a/b", "a.b", "..", "a b", "ä", long.as_str()] {
            assert!(PluginName::from_str(bad).is_err(), "{bad}");
        }
    }
}
