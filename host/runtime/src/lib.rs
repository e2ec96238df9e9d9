//! Clock, randomness, listeners, TLS, bounded streams, durable files, graceful stop.
//!
//! *What:* the machine as values: time, chance, sockets with or without TLS, limits on connections, files
//! that survive a power cut, and the order to stop. *Why:* everything above can run under a simulated
//! clock and a seed, and one place bounds what a client can make us hold.
//! *Layer 1:* must not know mail: no command, no reply, no address of a person passes through it.

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
