//! Who is named by the values of `mgrpAllowedBroadcaster` and `mgrpDisallowedBroadcaster` (requirements §2.3).

use mail_types::Address;

use crate::dn::Dn;
use crate::search::{Scope, Search, SearchError};

/// Somebody who may post to a group, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broadcaster {
    /// `mailto:address`, or the address alone.
    Address(Address),
    /// `ldap:///DN`: an entry, or the members of the group that it is.
    Entry(Dn),
}

/// Why a value names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BroadcasterError {
    /// It is no address, and no URL that could be one's.
    #[error("it is no address: write mailto:ADDRESS, or ldap:///DN of an entry or a group")]
    Address,
    /// It is no LDAP URL.
    #[error(transparent)]
    Url(#[from] SearchError),
    /// It is a search.
    #[error(
        "who may post is not searched for: write ldap:///DN of an entry, or of a group with these members"
    )]
    Search,
}

impl Broadcaster {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BroadcasterError> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        if is("ldap") || is("ldaps") {
            let search = Search::parse(text)?;
            return match search.scope {
                Scope::Base => Ok(Self::Entry(search.base)),
                Scope::One | Scope::Subtree => Err(BroadcasterError::Search),
            };
        }
        let address = if is("mailto") { rest } else { text };
        Address::parse(address).map(Self::Address).map_err(|_| BroadcasterError::Address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_entries_are_named_and_what_names_nobody_says_why() {
        let address = |text: &str| Ok(Broadcaster::Address(Address::parse(text).unwrap()));
        let entry = |text: &str| Ok(Broadcaster::Entry(Dn::parse(text).unwrap()));
        assert_eq!(Broadcaster::parse("MAILTO:boss@far.example"), address("boss@far.example"));
        assert_eq!(Broadcaster::parse("boss@far.example"), address("boss@far.example"));
        assert_eq!(Broadcaster::parse("ldap:///cn=a%20b,o=x"), entry("cn=a b,o=x"));
        assert_eq!(Broadcaster::parse("ldaps://any.example/cn=a,o=x??base?(mail=*)"), entry("cn=a,o=x"));
        assert_eq!(Broadcaster::parse("mailto:boss"), Err(BroadcasterError::Address));
        assert_eq!(Broadcaster::parse("the boss"), Err(BroadcasterError::Address));
        assert_eq!(Broadcaster::parse("ldap:///o=x??sub?(mail=*)"), Err(BroadcasterError::Search));
        assert!(matches!(Broadcaster::parse("ldap:///boss"), Err(BroadcasterError::Url(_))));
    }
}
