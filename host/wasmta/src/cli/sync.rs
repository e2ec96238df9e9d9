//! `wasmta sync`: the grammar, and what it asks.

use clap::Subcommand;

use super::arguments::Format;
use crate::control::SyncRequest;

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Compare everything that the source has with everything that is here, and make it alike.
    ///
    /// Only a complete answer counts. Where the source lacks more entries than the configuration believes, nothing changes;
    /// --force says that it is right.
    #[command(after_help = "\
Examples:
  wasmta sync full --dry-run               what would change?
  wasmta sync full --domain example.org    one domain alone")]
    Full {
        /// Only the entries of this domain.
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        /// Change nothing, and list what would change.
        #[arg(long)]
        dry_run: bool,
        /// Believe the source, whatever it lacks.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Take over what was modified since the last sync. Deleted users are seen by a full sync alone.
    Incremental {
        /// Believe the source, whatever lists it lacks.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        format: Format,
    },
    /// How servers and syncs do, which entries are refused, and the history of syncs.
    Status(Format),
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: SyncCommand) -> (SyncRequest, bool) {
    match command {
        SyncCommand::Full { domain, dry_run, force, format } => {
            (SyncRequest::Full { domain, dry_run, force }, format.json)
        }
        SyncCommand::Incremental { force, format } => (SyncRequest::Incremental { force }, format.json),
        SyncCommand::Status(format) => (SyncRequest::Status, format.json),
    }
}
