//! The port that plugins may ask, as far as it is granted.

use std::sync::Arc;

use mail_types::{AccountName, ChannelName, Domain, Lookup};

use crate::Attributes;
use crate::plugins::BoxFuture;

/// Whose a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The tenant's own.
    Own,
    /// Another tenant's.
    Other,
    /// Not hosted here.
    Foreign,
}

/// What the host knows and may tell.
pub trait World: Send + Sync + 'static {
    /// Whose a domain is, as seen by a tenant (its canonical domain).
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership>;

    /// Whether there is a channel.
    fn has_channel(&self, channel: &ChannelName) -> bool;

    /// Whether what is chosen by name for mail of an account is there: the channel is `program` or `file`, where it has to be
    /// registered, or `shared`, where the account has to be let post.
    ///
    /// # Errors
    /// Why mail would not be carried there.
    fn target(&self, channel: &str, name: &str, account: &AccountName) -> Result<(), String> {
        let _ = (channel, name, account);
        Ok(())
    }

    /// Another number whenever a row of a cached table, or whose a domain is, may be another than before. What was read
    /// holds as long as the number that was asked for before it was read.
    fn generation(&self) -> u64;

    /// A row of a cached table (`users`, `domains`, `aliases`) of a tenant; without a tenant, of any. Reads memory or a
    /// mapped file, never the network.
    fn table_row(&self, tenant: Option<&Domain>, table: &str, key: &str) -> Lookup<Arc<Attributes>>;

    /// DNS records as text; an empty list where there are none.
    fn dns<'a>(&'a self, name: &'a str, kind: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>>;
}

/// A world that knows nothing, for where there are no plugins.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWorld;

impl World for NoWorld {
    fn ownership(&self, _: &Domain, _: &Domain) -> Lookup<Ownership> {
        Lookup::Found(Ownership::Foreign)
    }

    fn has_channel(&self, _: &ChannelName) -> bool {
        false
    }

    fn generation(&self) -> u64 {
        0
    }

    fn table_row(&self, _: Option<&Domain>, _: &str, _: &str) -> Lookup<Arc<Attributes>> {
        Lookup::NotFound
    }

    fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        Box::pin(async { Lookup::NotFound })
    }
}
