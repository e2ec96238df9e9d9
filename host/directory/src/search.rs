//! Searches that entries name by LDAP URLs (RFC 4516): the members of a dynamic group, among the entries that are here.

use std::ops::ControlFlow;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::entry_filter::{EntryFilter, EntryFilterError};
use crate::error::DirectoryError;

/// Longest URL that is read, in octets.
const URL_OCTETS_MAX: usize = 4096;

/// How far below its base a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// What is right below it.
    One,
    /// The base and all below it.
    Subtree,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Where it begins.
    pub base: Dn,
    /// How far it looks.
    pub scope: Scope,
    /// What it finds.
    pub filter: EntryFilter,
}

/// Why a text is no search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// It is no LDAP URL.
    #[error("{0:?} is no LDAP URL: write ldap:///BASE??sub?FILTER")]
    Url(String),
    /// Its base is no name.
    #[error("the base {0:?} is no name of an entry")]
    Base(String),
    /// Its scope is none.
    #[error("the scope {0:?} is none of base, one, sub")]
    Scope(String),
    /// It has an extension that may not be left out, and is not known.
    #[error("the extensions {0:?} are not known here")]
    Critical(String),
    /// Its filter is none.
    #[error(transparent)]
    Filter(#[from] EntryFilterError),
}

impl Search {
    /// Reads `ldap://host/base?attributes?scope?filter` (RFC 4516 §2). The host is not looked at: what is searched is the
    /// directory here, which follows the servers that the operator named. Without a scope it is the base alone, without a
    /// filter every entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, SearchError> {
        let no_url = || SearchError::Url(url.chars().take(100).collect());
        if url.len() > URL_OCTETS_MAX {
            return Err(no_url());
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
        if !["ldap", "ldaps"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return Err(no_url());
        }
        let (_, rest) = rest.split_once('/').ok_or_else(no_url)?;
        let mut parts = rest.splitn(5, '?').map(decoded);
        let base = parts.next().flatten().ok_or_else(no_url)?;
        let base = Dn::parse(&base).map_err(|_| SearchError::Base(base))?;
        let _attributes = parts.next();
        let scope = parts.next().flatten().unwrap_or_default();
        let scope = match scope.to_ascii_lowercase().as_str() {
            "" | "base" => Scope::Base,
            "one" => Scope::One,
            "sub" => Scope::Subtree,
            _ => return Err(SearchError::Scope(scope)),
        };
        let filter = parts.next().flatten().filter(|filter| !filter.is_empty());
        let extensions = parts.next().flatten().unwrap_or_default();
        // A critical one that is not known forbids the URL (RFC 4516 §2), and none is.
        if extensions.split(',').any(|one| one.starts_with('!')) {
            return Err(SearchError::Critical(extensions));
        }
        let filter = EntryFilter::parse(filter.as_deref().unwrap_or("(objectClass=*)"))?;
        Ok(Self { base, scope, filter })
    }

    fn reaches(&self, dn: &Dn) -> bool {
        match self.scope {
            Scope::Base => *dn == self.base,
            Scope::One => dn.parent().is_some_and(|parent| parent == self.base),
            Scope::Subtree => true,
        }
    }
}

impl Directory {
    /// Visits the entries that a search finds. Reads every entry below the base: the time goes with their number.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn search(&self, search: &Search, visit: &mut dyn FnMut(Entry)) -> Result<(), DirectoryError> {
        self.scan_under(&search.base, &mut |entry| {
            if search.reaches(&entry.dn) && search.filter.matches(&entry) {
                visit(entry);
            }
            ControlFlow::Continue(())
        })
    }
}

/// Undoes percent-encoding (RFC 4516 §2.1); `None` where the result is no text.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'%'
            && let Some(hex) = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())
            && let Ok(octet) = u8::from_str_radix(hex, 16)
        {
            octets.push(octet);
            rest = &behind[2..];
        } else {
            octets.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let search = Search::parse("ldap:///ou=People,o=d0.test,o=isp??sub?(uid=u1*)").unwrap();
        assert_eq!(
            (search.base.to_string().as_str(), search.scope),
            ("ou=People,o=d0.test,o=isp", Scope::Subtree)
        );
        let search = Search::parse("LDAP://host:389/o=x%20y?mail?one?(l=a%3fb)").unwrap();
        assert_eq!((search.base.to_string().as_str(), search.scope), ("o=x y", Scope::One));
        assert_eq!(search.filter.to_string(), "(l=a?b)");
        assert_eq!(Search::parse("ldap:///o=x").unwrap().scope, Scope::Base);
        for (url, expected) in [
            ("mailto:a@b", "is no LDAP URL"),
            ("ldap:///nothing", "is no name of an entry"),
            ("ldap:///o=x??all", "is none of base, one, sub"),
            ("ldap:///o=x??sub?uid=1", "has no \"(\""),
            ("ldap:///o=x??sub??!x-mine=1", "are not known"),
        ] {
            let error = Search::parse(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
