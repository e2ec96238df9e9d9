//! What a route names: which registered thing, and on whose behalf.

use mail_types::{NextHop, Recipient, Route};

/// What is registered, and whose mail it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The account that chose it; where a rewrite rule did, the recipient's address.
    pub(crate) account: String,
    /// The name: of a program or file, or a file's URL.
    pub(crate) name: String,
}

impl Named {
    /// Of a route: `program:anna@example.org/filter` by an account's profile, `program:filter` by a rewrite rule, whose
    /// template has the name as domain (`$U%filter@program`). `None` where it names nothing.
    pub(crate) fn of(route: &Route, recipient: &Recipient) -> Option<Self> {
        let by_rule = |name: &mail_types::Domain| Self {
            account: recipient.address.to_string(),
            name: name.as_str().to_owned(),
        };
        match &route.next_hop {
            NextHop::Named { account, name } => {
                Some(Self { account: account.as_str().to_owned(), name: name.clone() })
            }
            NextHop::Domain(name) | NextHop::Host { host: name, .. } => Some(by_rule(name)),
            NextHop::Account(_) | NextHop::Mailbox { .. } | NextHop::Answer { .. } | NextHop::Nobody => None,
        }
    }
}
