//! `wasmta mailbox`: the grammar, and what it asks.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::arguments::Format;
use super::password::given_or_asked;
use super::{absolute, input};
use crate::control::{ExportFormat, ImapFrom, ImapSecret, ImportOrder, ImportSource, MailboxRequest};
use crate::serve::Place;

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
    /// Check mailboxes: counters, names, messages and all of their content. `wasmta check` looks at everything else too.
    Check {
        /// Only this user's: the address, or the login. References to content are counted for all together only.
        user: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Mend what `wasmta mailbox check` finds; without --apply, only say what would be done.
    ///
    /// What cannot stay in the store (a record that cannot be read or is of nothing that is there, what is known of a message
    /// whose content is gone, content that no message names) is kept in a folder repaired-TIME of the data directory first,
    /// and each step is told. Of damaged content, what can be read stays in its message; the damaged file and a list of the
    /// messages that are hurt are kept there, too. Where content is missing or damaged, look for it in a backup before: with its file back in
    /// place, there is nothing to mend.
    #[command(after_help = "\
Examples:
  wasmta mailbox repair                          what is wrong, and what would be done?
  wasmta mailbox repair anna@example.org --apply")]
    Repair {
        /// Only this user's: the address, or the login.
        user: Option<String>,
        /// Do it.
        #[arg(long)]
        apply: bool,
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
    /// Take mail over from a Maildir, from mbox files, or from another IMAP server, with flags, keywords, dates and hierarchy.
    ///
    /// What came is remembered in the same commit: an import that was interrupted, or is given again later, takes only what
    /// has not come before. Mailboxes that are missing are made; nothing that is there is changed or removed, and nothing at
    /// the source.
    ///
    /// The password of another server is read from --password-file, from the environment (WASMTA_IMPORT_PASSWORD), or from
    /// standard input. It goes over the network under TLS only; between programs of one machine also in clear. Where that
    /// server has a master user, --master moves many people with one password; where it wants OAuth 2.0, --token-file has
    /// the access token.
    #[command(after_help = "\
Examples:
  wasmta mailbox import anna@example.org --from maildir:/home/anna/Maildir --dry-run
  wasmta mailbox import anna@example.org --from maildir:/home/anna/Maildir
  wasmta mailbox import anna@example.org --from mbox:/var/mail/anna
  wasmta mailbox import anna@example.org --from mbox:/home/anna/mail --into Old
  wasmta mailbox import anna@example.org --from imaps://anna@imap.old.example --password-file pw
  wasmta mailbox import anna@example.org --from imaps://anna@imap.old.example --master admin --password-file pw
  wasmta mailbox import anna@example.org --from imaps://anna@old.example@imap.old.example --token-file token
  wasmta mailbox import anna@example.org --from imap://anna@old.example@192.0.2.1:143 --tls-trust old.pem")]
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
    /// maildir:DIR; mbox:FILE, or mbox:DIR with a file for each mailbox; imaps://LOGIN@HOST[:PORT], or imap://… for
    /// STARTTLS.
    #[arg(long, value_name = "SOURCE")]
    from: String,
    /// The file whose first line is the other server's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Sign in as this login, which may read the mail of the one in --from (a master user): by AUTHENTICATE PLAIN with an
    /// authorization identity. The password is this login's.
    #[arg(long, value_name = "LOGIN")]
    master: Option<String>,
    /// The file whose first line is an access token of OAuth 2.0, instead of a password: OAUTHBEARER, or XOAUTH2.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "master"])]
    token_file: Option<PathBuf>,
    /// The authorities, in PEM, under which the other server's certificate must be; the machine's where absent.
    #[arg(long, value_name = "FILE")]
    tls_trust: Option<PathBuf>,
    /// Send the password in clear where the other server offers no TLS.
    #[arg(long)]
    clear: bool,
    /// Put all mailboxes, the INBOX too, below this one.
    #[arg(long, value_name = "MAILBOX")]
    into: Option<String>,
    /// Change nothing, and say what would come.
    #[arg(long)]
    dry_run: bool,
    /// Take again what came from this source before: all of it, or what goes to this mailbox, by its name here. What came then
    /// stays: take it out first. What came from other sources is none of it.
    #[arg(long, value_name = "MAILBOX", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    anew: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: MailboxCommand, place: &Place) -> Result<(MailboxRequest, bool), String> {
    Ok(match command {
        MailboxCommand::List { user, format } => (MailboxRequest::List { user }, format.json),
        MailboxCommand::Show { user, mailbox, format } => {
            (MailboxRequest::Show { user, mailbox }, format.json)
        }
        MailboxCommand::Check { user, format } => (MailboxRequest::Check { user }, format.json),
        MailboxCommand::Repair { user, apply, format } => {
            (MailboxRequest::Repair { user, apply, data: absolute(&place.data) }, format.json)
        }
        MailboxCommand::Export { user, mailbox, to, format, output } => {
            let format = match format {
                ExportKind::Maildir => ExportFormat::Maildir,
                ExportKind::Mbox => ExportFormat::Mbox,
            };
            (MailboxRequest::Export { user, mailbox, folder: absolute(&to), format }, output.json)
        }
        MailboxCommand::Import(given) => {
            let source = source(&given)?;
            let Importing { user, into, dry_run, anew, format, .. } = *given;
            let order = ImportOrder { user, source, below: into, dry_run, anew };
            (MailboxRequest::Import(Box::new(order)), format.json)
        }
    })
}

/// Where the password may stand, so that no list of processes shows it.
const PASSWORD_VARIABLE: &str = "WASMTA_IMPORT_PASSWORD";
/// Longest file of a password, in octets.
const PASSWORD_FILE_MAX: u64 = 4096;
/// Longest file of an access token, in octets: some carry a whole signed document.
const TOKEN_FILE_MAX: u64 = 32 * 1024;

fn source(given: &Importing) -> Result<ImportSource, String> {
    let Importing { from, tls_trust, clear, .. } = given;
    let (kind, place) = from.split_once(':').unwrap_or_default();
    let implicit_tls = match kind {
        "maildir" => return Ok(ImportSource::Maildir(absolute(place.as_ref()))),
        "mbox" => return Ok(ImportSource::Mbox(input::for_the_server(place.as_ref())?)),
        "imaps" => true,
        "imap" => false,
        _ => {
            return Err(format!(
                "--from {from:?} is no source: say maildir:DIR, mbox:FILE or imaps://LOGIN@HOST"
            ));
        }
    };
    let (user, host, port) = server(place, implicit_tls).ok_or_else(|| {
        format!("--from {from:?} names no server: say {kind}://LOGIN@HOST or {kind}://LOGIN@HOST:PORT")
    })?;
    Ok(ImportSource::Imap(ImapFrom {
        secret: secret(given, &user)?,
        host,
        port,
        implicit_tls,
        trust: tls_trust.as_deref().map(input::for_the_server).transpose()?,
        clear: *clear,
        user,
    }))
}

/// `//LOGIN@HOST:PORT`; the login may have an `@` itself, and an address of IPv6 stands in brackets.
fn server(place: &str, implicit_tls: bool) -> Option<(String, String, u16)> {
    let (user, at) = place.strip_prefix("//")?.trim_end_matches('/').rsplit_once('@')?;
    // RFC 3501 §2.1, RFC 8314 §3.2.
    let usual = if implicit_tls { 993 } else { 143 };
    let (host, port) = match at.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, usual),
        Some((host, rest)) => (host, rest.strip_prefix(':')?.parse().ok()?),
        None => match at.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (at, usual),
        },
    };
    let fits = !user.is_empty() && !host.is_empty();
    fits.then(|| (user.to_owned(), host.to_owned(), port))
}

/// What the other server asks for, by the options.
fn secret(given: &Importing, user: &str) -> Result<ImapSecret, String> {
    if let Some(file) = &given.token_file {
        let token = first_line("--token-file", file, TOKEN_FILE_MAX)?;
        // RFC 6750 §2.1, b64token; the exchange has control characters of its own.
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(format!("--token-file {}: its first line is no access token", file.display()));
        }
        return Ok(ImapSecret::Token(token));
    }
    let file = given.password_file.as_deref();
    match &given.master {
        Some(login) => Ok(ImapSecret::Master { login: login.clone(), password: password(file, login)? }),
        None => password(file, user).map(ImapSecret::Password),
    }
}

fn password(file: Option<&Path>, user: &str) -> Result<String, String> {
    let given = match file {
        Some(file) => Some(first_line("--password-file", file, PASSWORD_FILE_MAX)?),
        None => std::env::var(PASSWORD_VARIABLE).ok(),
    };
    given_or_asked(given, user)
}

fn first_line(option: &str, file: &Path, max: u64) -> Result<String, String> {
    let octets = input::octets(file, max, "is this the right file?");
    let octets = octets.map_err(|why| format!("{option} {why}"))?;
    Ok(String::from_utf8_lossy(&octets).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (place, expected) in [
            ("//anna@imap.example", Some(("anna", "imap.example", 993))),
            ("//anna@old.example@imap.example:1993/", Some(("anna@old.example", "imap.example", 1993))),
            ("//anna@[::1]:143", Some(("anna", "::1", 143))),
            ("//anna@[::1]", Some(("anna", "::1", 993))),
            ("//imap.example", None),
            ("//@imap.example", None),
            ("anna@imap.example", None),
            ("//anna@imap.example:many", None),
        ] {
            let found = server(place, true);
            let found = found.as_ref().map(|(user, host, port)| (user.as_str(), host.as_str(), *port));
            assert_eq!(found, expected, "{place}");
        }
    }
}
