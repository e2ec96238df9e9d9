//! Rows of the tables, as a builder gives them.

use std::fmt;

/// An address that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AliasRow {
    /// `user@domain`, or `@domain`.
    pub address: String,
    /// Whose mailbox it leads to; empty: its own.
    pub primary: String,
    /// `user` or `group`.
    pub kind: String,
    /// `primary`, `alternate` or `equivalent`.
    pub relation: String,
    /// A status of the schema.
    pub status: String,
    /// Delivery options.
    pub options: Vec<String>,
    /// Where `forward` and `members` lead.
    pub targets: Vec<String>,
}

impl fmt::Display for AliasRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, primary, kind, relation, status, options, targets } = self;
        write!(f, "alias {address} {kind} {relation} {status} {}", options.join(","))?;
        if !primary.is_empty() {
            write!(f, " of {primary}")?;
        }
        if targets.is_empty() { Ok(()) } else { write!(f, " -> {}", targets.join(",")) }
    }
}

/// How a domain is served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteRow {
    /// The domain.
    pub domain: String,
    /// A status of the schema.
    pub status: String,
    /// The hosts that serve it; none: this one.
    pub hosts: Vec<String>,
    /// Who gets what is not found; empty: nobody.
    pub smart_host: String,
}

impl fmt::Display for RouteRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {} {}", self.domain, self.status)?;
        if !self.hosts.is_empty() {
            write!(f, " hosts {}", self.hosts.join(","))?;
        }
        if self.smart_host.is_empty() { Ok(()) } else { write!(f, " smart-host {}", self.smart_host) }
    }
}

/// The rows of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryRows {
    /// Alias table.
    pub aliases: Vec<AliasRow>,
    /// Routing table.
    pub routes: Vec<RouteRow>,
}
