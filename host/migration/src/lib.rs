//! Moving in and out.
//!
//! *What:* [`export`] writes an account's mailboxes as a Maildir++ tree or as mbox files; [`import`] takes mail over from
//! those, and from another IMAP server, with flags, keywords, dates and hierarchy. *Why:* who cannot leave will not come,
//! and who moves in must neither lose a message nor get one twice, however often the move is interrupted: each batch of
//! messages carries, in the same commit, the mark of how far it reaches. *Layer 6.* *Must not know* SMTP, the queue or the
//! directory: it moves mail that was delivered already, and nothing that it does sends any.
//!
//! | file | is |
//! |---|---|
//! | `maildir_name` | names of message files (flags, keywords) and of folders (Maildir++) |
//! | `maildir_source`, `maildir_sink` | a Maildir++ tree, read and written |
//! | `mbox_reader`, `mbox_source`, `mbox_sink` | mbox files (RFC 4155, mboxrd), read and written |
//! | `imap_response`, `imap_client`, `sign_in`, `imap_source` | another server, read only |
//! | `filing` | batches on their way into the store, with their marks |

mod calendar;
mod error;
mod export;
mod filing;
mod given_names;
mod imap_client;
mod imap_response;
mod imap_source;
mod import;
mod lines;
mod maildir_name;
mod maildir_sink;
mod maildir_source;
mod mbox_reader;
mod mbox_sink;
mod mbox_source;
mod sign_in;
mod tell;

pub use error::MigrationError;
pub use export::{Exported, Format, export};
pub use filing::{FAULTS_MAX, Imported, MailboxImported};
pub use imap_client::ImapServer;
pub use import::{Anew, Import, Source, import};
pub use lines::with_crlf;
pub use sign_in::Credentials;
pub use tell::{Tell, Told};

#[cfg(test)]
mod tests;
