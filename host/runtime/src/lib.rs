//! Clock, randomness, listeners, TLS, bounded streams, durable files, programs of others, graceful stop.
//!
//! *What:* the machine as values: time, chance, sockets with or without TLS, limits on connections, files
//! that survive a power cut, folders in which nothing leads astray, programs within limits, and the order to stop. *Why:* everything above can run under a simulated
//! clock and a seed, and one place bounds what a client can make us hold.
//! *Layer 1:* must not know mail: no command, no reply, no address of a person passes through it.

mod background;
mod beneath;
mod clock;
mod confinement;
pub mod files;
mod limits;
mod listener;
mod mailbox_lock;
mod memory;
mod process;
mod program;
mod random;
mod shutdown;
mod stream;
mod supervisor;
mod terminal;
mod tls;
mod users;

pub use background::{Background, busy};
pub use beneath::{BeneathError, Folder, open_beneath};
pub use clock::Clock;
pub use confinement::{Confinement, check_command, is_root};
pub use limits::{ConnectionLimits, Network, Permit, RefusedWhy};
pub use listener::{Accepted, BoundSocket, Connection, Listener, ListenerOptions, Refused};
pub use mailbox_lock::MailboxLock;
pub use memory::give_back_large_blocks;
pub use process::ProcessUse;
pub use program::{Ended, Job, Launcher, Pieces, Run, RunError, run};
pub use random::Random;
pub use shutdown::{SessionGuard, Shutdown};
pub use stream::{Stream, connect, connect_host};
pub use supervisor::supervise;
pub use terminal::ask_unseen;
pub use tls::{
    CertificateFacts, CertificateFiles, TlsClient, TlsError, TlsInfo, TlsServer, make_self_signed,
};
pub use users::{find_group, find_user};
