//! Clock, randomness, listeners, TLS, bounded streams, durable files, graceful stop.
//!
//! Layer *ground*. The only crate that touches the machine: sockets, time, chance and plain files come
//! from here as values, so that everything above can be run under a simulated clock and a seed.
//! It must not know mail: no command, no reply, no address of a person passes through it.

mod clock;
pub mod files;
mod limits;
mod listener;
mod random;
mod shutdown;
mod stream;
mod tls;

pub use clock::Clock;
pub use limits::{ConnectionLimits, Network, Permit, RefusedWhy};
pub use listener::{Accepted, Connection, Listener, ListenerOptions, Refused};
pub use random::Random;
pub use shutdown::{SessionGuard, Shutdown};
pub use stream::{Stream, connect};
pub use tls::{TlsClient, TlsError, TlsInfo, TlsServer, make_self_signed};
