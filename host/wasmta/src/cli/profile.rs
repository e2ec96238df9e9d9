//! `wasmta profile`.

use clap::{Args, Subcommand};

use super::arguments::Format;
use crate::control::{ProfileValue, Request};

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Show what becomes of a user's mail.
    Show {
        /// The address, or the login.
        user: String,
        #[command(flatten)]
        format: Format,
    },
    /// Change it: checked as a whole, written to the directory, in force at once. What is not named stays; an empty value
    /// takes something out.
    #[command(after_help = "\
Examples:
  wasmta profile set anna@example.org --deliver mailbox,forward --forward bob@far.example
  wasmta profile set anna@example.org --deliver mailbox,autoreply --reply-text 'Away, $FROM.$Back on Monday.' \\
      --reply-text-in de='Bin weg.' --away-until 20270104000000Z
  wasmta profile set anna@example.org --deliver mailbox --forward ''")]
    Set(Box<ProfileSet>),
}

#[derive(Debug, Args)]
pub(crate) struct ProfileSet {
    /// The address, or the login.
    user: String,
    /// What happens to the mail: mailbox, forward, autoreply, program, file, shared, hold; several by commas.
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    deliver: Option<Vec<String>>,
    /// Addresses that get a copy, for `forward`; several by commas.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    forward: Option<Vec<String>>,
    /// Programs that the operator has registered, for `program`; several by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    program: Option<Vec<String>>,
    /// A file that the operator has registered, or a path below one of the operator's folders, for `file`.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Shared mailboxes that get a copy, for `shared`: names below shared/, or user/OWNER/NAME; several by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    shared: Option<Vec<String>>,
    /// What the automatic reply is for: vacation (once a week to whoever writes to the user), reply (to all), echo (reply,
    /// with what was written).
    #[arg(long, value_name = "MODE")]
    reply_mode: Option<String>,
    /// Whom it is from, where that is not the user: an address that the user may send as, or a name and an address in <>.
    #[arg(long, value_name = "ADDRESS")]
    reply_from: Option<String>,
    /// Its subject; $SUBJECT and $FROM are those of the message.
    #[arg(long, value_name = "TEXT")]
    reply_subject: Option<String>,
    /// Its text; $ ends a line.
    #[arg(long, value_name = "TEXT")]
    reply_text: Option<String>,
    /// Its text for senders who prefer a language; may be given several times.
    #[arg(long, value_name = "LANGUAGE=TEXT")]
    reply_text_in: Vec<String>,
    /// Its text for senders of the same domain.
    #[arg(long, value_name = "TEXT")]
    reply_text_internal: Option<String>,
    /// Hours before the same sender gets another one.
    #[arg(long, value_name = "HOURS")]
    reply_hours: Option<String>,
    /// When it begins, in UTC, as 20261224000000Z.
    #[arg(long, value_name = "TIME")]
    away_from: Option<String>,
    /// When it ends.
    #[arg(long, value_name = "TIME")]
    away_until: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// The request of a command, and whether the answer is wanted as JSON.
pub(super) fn question(command: ProfileCommand) -> Result<(Request, bool), String> {
    match command {
        ProfileCommand::Show { user, format } => Ok((Request::ProfileShow { user }, format.json)),
        ProfileCommand::Set(set) => {
            let (user, json) = (set.user.clone(), set.format.json);
            let values = values(*set)?;
            if values.is_empty() {
                return Err("nothing is to be changed: see `wasmta profile set --help`".to_owned());
            }
            Ok((Request::ProfileSet { user, values }, json))
        }
    }
}

fn values(set: ProfileSet) -> Result<Vec<ProfileValue>, String> {
    let one = |value: Option<String>| value.map(|value| vec![value]);
    let mut values = Vec::new();
    for (attribute, given) in [
        ("mailDeliveryOption", set.deliver),
        ("mailForwardingAddress", set.forward),
        ("mailProgramDeliveryInfo", set.program),
        ("mailDeliveryFileURL", one(set.file)),
        ("wasmtaSharedMailbox", set.shared),
        ("mailAutoReplyMode", one(set.reply_mode)),
        ("wasmtaAutoReplyFrom", one(set.reply_from)),
        ("mailAutoReplySubject", one(set.reply_subject)),
        ("mailAutoReplyText", one(set.reply_text)),
        ("mailAutoReplyTextInternal", one(set.reply_text_internal)),
        ("mailAutoReplyTimeOut", one(set.reply_hours)),
        ("vacationStartDate", one(set.away_from)),
        ("vacationEndDate", one(set.away_until)),
    ] {
        let Some(given) = given else { continue };
        values.push(value(attribute, "", given));
    }
    for text in set.reply_text_in {
        let (language, text) = text
            .split_once('=')
            .ok_or_else(|| format!("--reply-text-in {text:?}: write LANGUAGE=TEXT, as de=Weg"))?;
        values.push(value("mailAutoReplyText", language, vec![text.to_owned()]));
    }
    Ok(values)
}

/// An empty text is no value.
fn value(attribute: &str, language: &str, given: Vec<String>) -> ProfileValue {
    let values =
        given.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    ProfileValue { attribute: attribute.to_owned(), language: language.to_owned(), values }
}
