//! Which command is valid in which state (RFC 1939 §3): the whole rule, in one table.

use crate::wire::command::Command;

/// The states of a session between which commands choose. UPDATE takes no command: QUIT in TRANSACTION goes
/// through it to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateName {
    /// Nobody is logged in.
    Authorization,
    /// Somebody is, and holds the maildrop.
    Transaction,
}

use StateName::{Authorization, Transaction};

/// Keyword, states, and where that is written.
const COMMANDS: [(&str, &[StateName], &str); 17] = [
    ("CAPA", &[Authorization, Transaction], "RFC 2449 §5"),
    ("USER", &[Authorization], "RFC 1939 §7"),
    ("PASS", &[Authorization], "RFC 1939 §7"),
    ("APOP", &[Authorization], "RFC 1939 §7"),
    ("AUTH", &[Authorization], "RFC 5034 §4"),
    ("STLS", &[Authorization], "RFC 2595 §4"),
    ("UTF8", &[Authorization], "RFC 6856 §2"),
    ("LANG", &[Authorization, Transaction], "RFC 6856 §3"),
    ("STAT", &[Transaction], "RFC 1939 §5"),
    ("LIST", &[Transaction], "RFC 1939 §5"),
    ("RETR", &[Transaction], "RFC 1939 §5"),
    ("DELE", &[Transaction], "RFC 1939 §5"),
    ("NOOP", &[Transaction], "RFC 1939 §5"),
    ("RSET", &[Transaction], "RFC 1939 §5"),
    ("TOP", &[Transaction], "RFC 1939 §7"),
    ("UIDL", &[Transaction], "RFC 1939 §7"),
    ("QUIT", &[Authorization, Transaction], "RFC 1939 §4 and §6"),
];

/// Whether the command is valid in the state.
#[must_use]
pub(crate) fn admits(state: StateName, command: &Command) -> bool {
    COMMANDS.iter().any(|(keyword, states, _)| *keyword == command.keyword() && states.contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_row() {
        for line in ["CAPA", "USER a", "PASS a", "APOP a b", "AUTH PLAIN", "STLS", "UTF8", "LANG", "QUIT"] {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert!(admits(Authorization, &command), "{line}");
        }
        for line in
            ["CAPA", "LANG", "STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL", "QUIT"]
        {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert!(admits(Transaction, &command), "{line}");
        }
    }

    #[test]
    fn nothing_of_one_state_is_valid_in_the_other() {
        for line in ["USER a", "PASS a", "APOP a b", "AUTH PLAIN", "STLS", "UTF8"] {
            assert!(!admits(Transaction, &Command::parse(line.as_bytes()).unwrap()), "{line}");
        }
        for line in ["STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL"] {
            assert!(!admits(Authorization, &Command::parse(line.as_bytes()).unwrap()), "{line}");
        }
    }
}
