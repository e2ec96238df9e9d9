//! The DNS: answers about mail hosts, and records published for mail domains.
//!
//! *What:* the [`Resolver`] port and its one real implementation, [`Dns`]: the static table of the
//! configuration first, then the DNS by hickory, with timeouts and a bounded cache. *Why:* the rules of
//! RFC 5321 §5.1 (preference, shuffling, implicit MX, ourselves in the list) and RFC 7505 stand here
//! once, and a name server that does not answer is never taken for a domain that does not exist.
//! The [`Publisher`] port, with an embedded authoritative server ([`Authority`]) and dynamic updates of others
//! ([`UpdateServer`], RFC 2136): records of ours are changed, and nobody else's.
//! *Layer 2:* must not know channels, queue or routes.

mod authority;
mod client;
mod hosts;
mod mx;
mod publish;
mod record;
mod resolver;
mod update;

pub use authority::{Authority, AuthorityOptions};
pub use client::{DnsError, Servers};
pub use hosts::{HostError, Hosts};
pub use mx::{MailHost, MailHosts};
pub use publish::{PublishError, Publisher, RecordChange};
pub use record::{Data, Record};
pub use resolver::{BoxFuture, Dns, Options, Resolver};
pub use update::{TsigKey, UpdateOptions, UpdateServer};
