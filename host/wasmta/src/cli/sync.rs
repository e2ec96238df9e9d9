//! `wasmta sync`: the grammar, and what it asks.

use clap::{Args, Subcommand};

use super::arguments::Format;
use crate::control::{SyncRequest, SyncScope};

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Compare everything that the source has with everything that is here, and make it alike.
    ///
    /// Only a complete answer counts. Where the source lacks more entries than the configuration believes, nothing changes;
    /// --force says that it is right. What lies in no source's bases any more, because one was taken out of the configuration,
    /// goes by itself where that is little, and else by --left-over.
    #[command(after_help = "\
Examples:
  wasmta sync full --dry-run               what would change?
  wasmta sync full --domain example.org    one domain alone
  wasmta sync full --source acme           one tenant's LDAP directory alone")]
    Full(FullScope),
    /// Take over what was modified since the last sync. Deleted users are seen by a full sync alone.
    Incremental(Scope),
    /// How servers and syncs do, which entries are refused, the history of syncs, and how DNS tables stand; or one domain.
    Status(StatusScope),
    /// Read DNS tables now, whatever their versions: one, or all.
    ///
    /// Where more domains would go than the configuration believes, nothing changes; --force says that it is right.
    Dns(DnsScope),
}

#[derive(Debug, Args)]
pub(crate) struct DnsScope {
    /// The table, as [dns.tables] names it.
    #[arg(value_name = "TABLE")]
    table: Option<String>,
    /// Believe the answer, whatever it lacks.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct StatusScope {
    /// How this domain stands: its source, what brought it, its entries, those that are refused, its syncs.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Scope {
    /// Only this LDAP directory: "ldap", or a tenant's name; without it, all.
    #[arg(long, value_name = "SOURCE", conflicts_with = "domain")]
    source: Option<String>,
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
}

#[derive(Debug, Args)]
pub(crate) struct FullScope {
    #[command(flatten)]
    scope: Scope,
    /// Remove what lies in no source's bases any more, however much that is.
    #[arg(long, conflicts_with = "domain")]
    left_over: bool,
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: SyncCommand) -> (SyncRequest, bool) {
    let scope = |scope: Scope| {
        let Scope { source, domain, dry_run, force, format } = scope;
        (SyncScope { domain, source, dry_run, force, left_over: false }, format.json)
    };
    match command {
        SyncCommand::Full(FullScope { scope: given, left_over }) => {
            let (scope, json) = scope(given);
            (SyncRequest::Full(SyncScope { left_over, ..scope }), json)
        }
        SyncCommand::Incremental(given) => {
            let (scope, json) = scope(given);
            (SyncRequest::Incremental(scope), json)
        }
        SyncCommand::Status(StatusScope { domain, format }) => (SyncRequest::Status { domain }, format.json),
        SyncCommand::Dns(DnsScope { table, force, format }) => {
            (SyncRequest::Dns { table, force }, format.json)
        }
    }
}
