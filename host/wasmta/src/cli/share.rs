//! `wasmta share`: the grammar, and what it asks.

use clap::Subcommand;

use super::arguments::Format;
use crate::control::ShareRequest;

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// List the shared mailboxes, and who may do what with them.
    List(Format),
    /// Make a shared mailbox.
    Create {
        /// Its name below shared/, such as `support` or `lists/dev`.
        name: String,
    },
    /// Give somebody these rights to a mailbox, and no others.
    ///
    /// Rights are the letters of RFC 4314: l look up, r read, s keep what is seen, w other flags, i insert, p post by mail, k make
    /// mailboxes below, x delete it, t mark as deleted, e expunge, a give rights to others.
    #[command(after_help = "\
Examples:
  wasmta share grant support anna@example.org lrswipkxtea
  wasmta share grant support anyone lrs
  wasmta share grant support group:team@example.org lrsi the group's members may read and put in
  wasmta share grant support team@example.org p          the group's mail may go there
  wasmta share grant user/anna@example.org/Plans ben@example.org lrs")]
    Grant {
        /// A name below shared/, or user/OWNER/NAME.
        name: String,
        /// An account; `group:ADDRESS` for the members of a group, the group itself included; the address of a group for its
        /// mail alone; or `anyone`. With `-` before it, from whom the rights are taken.
        #[arg(allow_hyphen_values = true)]
        who: String,
        /// The letters.
        rights: String,
    },
    /// Take somebody off a mailbox's list.
    Revoke {
        /// A name below shared/, or user/OWNER/NAME.
        name: String,
        /// As it was granted.
        #[arg(allow_hyphen_values = true)]
        who: String,
    },
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: ShareCommand) -> (ShareRequest, bool) {
    match command {
        ShareCommand::List(format) => (ShareRequest::List, format.json),
        ShareCommand::Create { name } => (ShareRequest::Create { name }, false),
        ShareCommand::Grant { name, who, rights } => {
            (ShareRequest::Grant { name, who, rights: Some(rights) }, false)
        }
        ShareCommand::Revoke { name, who } => (ShareRequest::Grant { name, who, rights: None }, false),
    }
}
