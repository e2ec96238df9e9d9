//! `wasmta store`: the grammar, and what it asks.

use std::path::PathBuf;

use clap::Subcommand;

use super::arguments::Format;
use super::{DONE, FAILED, absolute, print};
use crate::control::{Answer, StoreRequest};
use crate::operate::{self, Restoring};
use crate::serve::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// What is in the store, and what it takes up on the disk.
    Stats(Format),
    /// How much an account or a domain takes up, and of which limits: its own, its domain's, its tenant's.
    Quota {
        /// An account, as user@domain, or a domain.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Compress the content of messages that came since this was done last, while mail goes on.
    ///
    /// Deliveries are never slowed down by it; readers take some tens of microseconds more for a message. What does not get
    /// smaller by an eighth stays as it is. A nightly task is a good place for it; the room that it frees within the storage
    /// is used before that grows, and files get smaller at once. Older versions cannot open a storage with compressed content.
    Compress(Format),
    /// Copy the data directory while the server runs: mail, queue, directory, plugins, certificates.
    ///
    /// Each part is copied as of one moment. The folder must be empty or not there, or have what an interrupted backup has left,
    /// and be outside of the data directory; the server writes it, as its own user. It holds a list of all files with their SHA-256, keys and hashes of passwords. The configuration is not in it.
    #[command(after_help = "\
Examples:
  wasmta store backup /var/backups/wasmta/2026-11-27
  wasmta store restore /var/backups/wasmta/2026-11-27 --replace")]
    Backup {
        /// The folder.
        folder: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    #[command(flatten)]
    Stopped(StoppedCommand),
}

/// What is done while no server runs.
#[derive(Debug, Subcommand)]
pub(crate) enum StoppedCommand {
    /// Bring a backup back, while no server runs.
    ///
    /// It is held against its list of files, copied, opened and checked as `wasmta check` does before it takes the place of the data; what is wrong leaves the
    /// data as they are. All mailboxes get new UIDVALIDITYs, so that no client takes new messages for others that it
    /// read since the backup.
    Restore {
        /// The folder that `wasmta store backup` made.
        folder: PathBuf,
        /// Where there are data already: keep them aside, in the folder before-restore-TIME of the data directory.
        #[arg(long)]
        replace: bool,
        /// Keep the UIDVALIDITYs: right only where nothing was delivered or changed since the backup, as in a move to another
        /// machine.
        #[arg(long)]
        keep_uids: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Make the files of the storage as small as what is in them, while no server runs.
    ///
    /// A smaller copy is written beside each file and put in its place at once; the disk has to hold both.
    Compact(Format),
}

/// What a command asks of a server, and whether in JSON.
pub(super) fn question(command: StoreCommand, place: &Place) -> (StoreRequest, bool) {
    match command {
        StoreCommand::Stats(format) => (StoreRequest::Stats, format.json),
        StoreCommand::Quota { name, format } => (StoreRequest::Quota { name }, format.json),
        StoreCommand::Compress(format) => (StoreRequest::Compress, format.json),
        StoreCommand::Backup { folder, format } => {
            (StoreRequest::Backup { folder: absolute(&folder), data: absolute(&place.data) }, format.json)
        }
        StoreCommand::Stopped(_) => unreachable!("these ask nothing"),
    }
}

/// Does what is done here.
pub(super) fn perform(command: StoppedCommand, place: &Place) -> Result<(String, u8), String> {
    let (answer, json): (Answer, bool) = match command {
        StoppedCommand::Restore { folder, replace, keep_uids, format } => {
            (operate::restore(place, &folder, Restoring { replace, keep_uids })?, format.json)
        }
        StoppedCommand::Compact(format) => (operate::compact(place)?, format.json),
    };
    Ok((print(&answer, json), if answer.faulty { FAILED } else { DONE }))
}
