//! A provider of DNS: its name, and what it has to know of us.

use std::fmt;
use std::time::Duration;

use dns_update::DnsUpdater;

use crate::catalogue::PROVIDERS;
use crate::credentials::Credentials;

/// How long one request may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A provider whose zones we can write to.
pub struct Provider {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its own name.
    pub title: &'static str,
    /// The keys of its credentials.
    pub keys: &'static [Key],
    pub(crate) make: fn(&Credentials) -> dns_update::Result<DnsUpdater>,
}

/// One key of a provider's credentials.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// Whether nothing works without it.
    pub is_required: bool,
    /// What it means.
    pub about: &'static str,
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A text that anybody may see.
    Text,
    /// A text that nobody but the provider may see.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
}

impl Provider {
    /// The provider of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.is_required { ("", "") } else { ("[", "]") };
        let kind = match self.kind {
            KeyKind::Text | KeyKind::Secret => "",
            KeyKind::Flag => " (true or false)",
            KeyKind::Number => " (a number)",
        };
        write!(f, "{open}`{}`{kind}: {}{close}", self.name, self.about)
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_all_of_them() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dns-providers.md");
        let text = std::fs::read_to_string(file).unwrap();
        let row = |provider: &Provider| {
            let keys: Vec<String> = provider.keys.iter().map(ToString::to_string).collect();
            format!("| `{}` | {} | {} |\n", provider.name, provider.title, keys.join("; "))
        };
        let rows: String = PROVIDERS.iter().map(row).collect();
        let head = "|---|---|---|\n";
        let (before, listed) = text.split_at(text.find(head).unwrap() + head.len());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, format!("{before}{rows}")).unwrap();
        } else {
            assert_eq!(listed, rows, "UPDATE=1 writes the rows anew");
        }
    }
}
