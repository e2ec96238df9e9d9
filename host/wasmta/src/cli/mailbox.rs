//! `wasmta mailbox`: the grammar, and what it asks.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::absolute;
use super::arguments::Format;
use crate::control::{ExportFormat, ImportOrder, ImportSource, MailboxRequest};

#[derive(Debug, Subcommand)]
pub(crate) enum MailboxCommand {
    /// List a user's mailboxes.
    List {
        /// The address, or the login.
        user: String,
        #[command(flatten)]
        format: Format,
    },
    /// Show one mailbox: its UIDVALIDITY, UIDNEXT, highest mod-sequence, counts, octets, keywords.
    Show {
        /// The address, or the login.
        user: String,
        /// The mailbox, as INBOX or Archive/2026.
        mailbox: String,
        #[command(flatten)]
        format: Format,
    },
    /// Write mailboxes as a Maildir++ tree or as mbox files, while mail goes on.
    ///
    /// Flags, keywords and dates go along. The folder must be empty or not there: nothing is overwritten. The server writes
    /// the files, where it runs, as its own user. `docs/operator.md` says what is where.
    #[command(after_help = "\
Examples:
  wasmta mailbox export anna@example.org --to /var/tmp/anna
  wasmta mailbox export anna@example.org Archive --to /var/tmp/archive --format mbox")]
    Export {
        /// The address, or the login.
        user: String,
        /// Only this mailbox, and those below it.
        mailbox: Option<String>,
        /// The folder.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// What is written.
        #[arg(long, value_enum, default_value = "maildir")]
        format: ExportKind,
        #[command(flatten)]
        output: Format,
    },
    /// Take mail over from a Maildir or mbox files, with flags, keywords, dates and hierarchy.
    ///
    /// What came is remembered in the same commit: an import that was interrupted, or is given again later, takes only what
    /// has not come before. Mailboxes that are missing are made; nothing that is there is changed or removed.
    #[command(after_help = "\
Examples:
  wasmta mailbox import anna@example.org --from maildir:/home/anna/Maildir --dry-run
  wasmta mailbox import anna@example.org --from maildir:/home/anna/Maildir
  wasmta mailbox import anna@example.org --from mbox:/var/mail/anna
  wasmta mailbox import anna@example.org --from mbox:/home/anna/mail --into Old")]
    Import(Box<Importing>),
}

/// What an export writes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportKind {
    /// A Maildir++ tree.
    Maildir,
    /// A file of type mboxrd for each mailbox.
    Mbox,
}

#[derive(Debug, Args)]
pub(crate) struct Importing {
    /// Whose mailboxes are filled: the address, or the login.
    user: String,
    /// maildir:DIR, or mbox:FILE, or mbox:DIR with a file for each mailbox.
    #[arg(long, value_name = "SOURCE")]
    from: String,
    /// Put all mailboxes, the INBOX too, below this one.
    #[arg(long, value_name = "MAILBOX")]
    into: Option<String>,
    /// Change nothing, and say what would come.
    #[arg(long)]
    dry_run: bool,
    /// Forget which messages came before: all come again.
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    format: Format,
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: MailboxCommand) -> Result<(MailboxRequest, bool), String> {
    Ok(match command {
        MailboxCommand::List { user, format } => (MailboxRequest::List { user }, format.json),
        MailboxCommand::Show { user, mailbox, format } => {
            (MailboxRequest::Show { user, mailbox }, format.json)
        }
        MailboxCommand::Export { user, mailbox, to, format, output } => {
            let format = match format {
                ExportKind::Maildir => ExportFormat::Maildir,
                ExportKind::Mbox => ExportFormat::Mbox,
            };
            (MailboxRequest::Export { user, mailbox, folder: absolute(&to), format }, output.json)
        }
        MailboxCommand::Import(given) => {
            let Importing { user, from, into, dry_run, anew, format } = *given;
            let source = source(&from)?;
            (
                MailboxRequest::Import(Box::new(ImportOrder { user, source, below: into, dry_run, anew })),
                format.json,
            )
        }
    })
}

fn source(from: &str) -> Result<ImportSource, String> {
    match from.split_once(':') {
        Some(("maildir", place)) => Ok(ImportSource::Maildir(absolute(place.as_ref()))),
        Some(("mbox", place)) => Ok(ImportSource::Mbox(absolute(place.as_ref()))),
        _ => Err(format!("--from {from:?} is no source: say maildir:DIR or mbox:FILE")),
    }
}
