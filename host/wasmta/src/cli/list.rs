//! `wasmta list …`: tokens of one-click unsubscription, for the service that takes members out.

use clap::Subcommand;
use mail_types::Address;

use super::{DONE, FAILED};
use crate::config::Config;
use crate::serve::{self, Place};

/// Commands about lists.
#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// Say whose token it is: list and member. Ends with 1 where the token is none of ours.
    #[command(after_help = "\
Examples:
  wasmta list member bmV3c0BsaXN0cy50ZXN0…     news@lists.test anna@elsewhere.example")]
    Member {
        /// The token, out of the URI.
        token: String,
    },
    /// Make the token of a member, as the list's copies have it.
    Token {
        /// The list's address.
        list: Address,
        /// The member's address.
        member: Address,
    },
}

/// Performs a command, with the configuration alone.
pub(super) fn perform(command: ListCommand, place: &Place) -> Result<(String, u8), String> {
    let config = Config::load(&place.config).map_err(|problems| problems.to_string())?;
    let unsubscribe = serve::unsubscribe(&config)?
        .ok_or("routing.unsubscribe-url and routing.unsubscribe-key-file are not set")?;
    Ok(match command {
        ListCommand::Token { list, member } => (unsubscribe.token(&list, &member), DONE),
        ListCommand::Member { token } => match unsubscribe.read(&token) {
            Some((list, member)) => (format!("{list} {member}"), DONE),
            None => ("this token is none of ours".to_owned(), FAILED),
        },
    })
}
