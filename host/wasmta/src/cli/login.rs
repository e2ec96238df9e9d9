//! `wasmta login`.

use clap::Subcommand;

use super::arguments::Format;
use crate::control::{LoginRequest, Request};

#[derive(Debug, Subcommand)]
pub(crate) enum LoginCommand {
    /// List the sessions of who is logged in, by all protocols. The numbers stand in the log, too.
    Sessions {
        /// Only those of this user, by login or address.
        user: Option<String>,
        /// Those that nobody has logged in by, too: mail from other hosts.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// End sessions: their connections are closed. Who may log in may come again; shut the account first.
    #[command(after_help = "\
Examples:
  wasmta login end 1748
  wasmta login end --user anna@example.org")]
    End {
        /// Numbers of sessions.
        #[arg(value_name = "NUMBER", required_unless_present = "user")]
        numbers: Vec<u64>,
        /// All of this user, by login or address.
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
    /// List from where log-ins are refused now, after too many wrong passwords.
    Refused {
        /// Counts that refuse nobody yet, too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Forget wrong passwords: who was refused for them is admitted again.
    #[command(after_help = "\
Examples:
  wasmta login lift 192.0.2.7             all that is counted of log-ins from there
  wasmta login lift anna@example.org      all that is counted of this login, wherever from")]
    Lift {
        /// Networks, by an address of theirs, and logins as they were given.
        #[arg(value_name = "ADDRESS|LOGIN", required_unless_present = "all")]
        whom: Vec<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
}

/// The request of a command, and whether the answer is wanted as JSON.
pub(super) fn question(command: LoginCommand) -> (Request, bool) {
    let (request, json) = match command {
        LoginCommand::Sessions { user, all, format } => (LoginRequest::Sessions { user, all }, format.json),
        LoginCommand::End { numbers, user } => (LoginRequest::End { numbers, user }, false),
        LoginCommand::Refused { all, format } => (LoginRequest::Refused { all }, format.json),
        LoginCommand::Lift { whom, all } => (LoginRequest::Lift { whom, all }, false),
    };
    (Request::Login(request), json)
}
