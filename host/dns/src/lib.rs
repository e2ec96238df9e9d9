//! Answers about mail hosts: MX and addresses, from a static table or the DNS.
//!
//! *What:* the [`Resolver`] port and its one real implementation, [`Dns`]: the static table of the
//! configuration first, then the DNS by hickory, with timeouts and a bounded cache. *Why:* the rules of
//! RFC 5321 §5.1 (preference, shuffling, implicit MX, ourselves in the list) and RFC 7505 stand here
//! once, and a name server that does not answer is never taken for a domain that does not exist.
//! *Layer 2:* must not know channels, queue or routes.

mod client;
mod hosts;
mod mx;
mod resolver;

pub use client::{DnsError, Servers};
pub use hosts::{HostError, Hosts};
pub use mx::{MailHost, MailHosts};
pub use resolver::{BoxFuture, Dns, Options, Resolver};
