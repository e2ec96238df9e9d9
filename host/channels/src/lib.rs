//! The ways out: smtp, lmtp, local delivery, programs, files, shared mailboxes, lists, reprocess, bitbucket.
//!
//! *What:* the agents behind the queue's ports. [`RemoteChannel`] hands over to other hosts by SMTP or
//! LMTP, [`ProgramChannel`] runs what the operator registered, [`FileChannel`] appends to files, [`Lists`] sends to the
//! members of groups. *Why:* an agent knows how to hand over and what the peer's words mean for each recipient; when to
//! try, and how often, is the queue's business.
//! *Layer 5:* must not know listeners or sessions of ours; of the directory, only
//! [`Lists`] knows, whose members may be found by a search.

mod bitbucket;
mod file;
mod final_copy;
mod list;
mod local;
mod named;
mod outcome;
mod program;
mod remote;
mod reprocess;
mod shared;

pub use bitbucket::Bitbucket;
pub use file::{FileChannel, FileOptions, FilePath};
pub use final_copy::LineEnds;
pub use list::Lists;
pub use local::StoreDelivery;
pub use program::{Argument, Program, ProgramChannel, Tried};
pub use remote::{Credentials, Dialect, RemoteChannel, RemoteOptions, RemoteTls, Timeouts, TlsPolicy};
pub use reprocess::Reprocess;
pub use shared::SharedChannel;
