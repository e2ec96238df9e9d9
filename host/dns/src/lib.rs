//! The DNS: answers about mail hosts, and records published for mail domains.
//!
//! *What:* the [`Resolver`] port and its one real implementation, [`Dns`]: the static table of the
//! configuration first, then the DNS by hickory, with timeouts and a bounded cache. *Why:* the rules of
//! RFC 5321 §5.1 (preference, shuffling, implicit MX, ourselves in the list) and RFC 7505 stand here
//! once, and a name server that does not answer is never taken for a domain that does not exist.
//! The [`Publisher`] port, with an embedded authoritative server ([`Authority`]) and dynamic updates of others
//! ([`UpdateServer`], RFC 2136): records of ours are changed, and nobody else's. And the [`TableSource`] port: the mail hosts
//! of many domains at once, of a zone ([`Primary`]: transfers, RFC 5936 and 1995; [`Notices`], RFC 1996) or of a list
//! ([`Watch`]).
//! *Layer 2:* must not know channels, queue or routes.

mod authority;
mod client;
mod conversation;
mod hosts;
mod listening;
mod mx;
mod notify;
mod primary;
mod publish;
mod record;
mod resolver;
mod table_source;
mod transfer;
mod tsig;
mod update;
mod watch;

pub use authority::{Authority, AuthorityOptions, is_within};
pub use client::{DnsError, Servers};
pub use hosts::{HostError, Hosts};
pub use listening::Listening;
pub use mx::{MailHost, MailHosts};
pub use notify::{NoticedZone, Notices};
pub use primary::{Primary, PrimaryOptions};
pub use publish::{PublishError, Publisher, RecordChange};
pub use record::{Data, Record};
pub use resolver::{BoxFuture, Dns, Options, Resolver};
pub use table_source::{
    Asked, Content, FetchError, Fetched, Known, MxRecord, MxSet, TABLE_DOMAINS_MAX, TableSource,
};
pub use tsig::TsigKey;
pub use update::{UpdateOptions, UpdateServer};
pub use watch::{WATCHED_MAX, Watch, WatchOptions};
