//! Which command is legal when (RFC 3501 §3), as a table.

/// The states of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateName {
    NotAuthenticated,
    Authenticated,
    Selected,
}

/// Legal in every state (RFC 3501 §6.1, RFC 2971).
const ANY: &[&str] = &["CAPABILITY", "NOOP", "LOGOUT", "ID"];

/// Legal before login only (RFC 3501 §6.2).
const NOT_AUTHENTICATED: &[&str] = &["STARTTLS", "AUTHENTICATE", "LOGIN"];

/// Legal after login, with or without a selected mailbox (RFC 3501 §6.3, RFC 2177, RFC 2342, RFC 4314, RFC 4978,
/// RFC 5161, RFC 5464, RFC 5465, RFC 9208).
const AUTHENTICATED: &[&str] = &[
    "ENABLE",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "NAMESPACE",
    "SETACL",
    "DELETEACL",
    "GETACL",
    "LISTRIGHTS",
    "MYRIGHTS",
    "NOTIFY",
    "GETMETADATA",
    "SETMETADATA",
    "STATUS",
    "APPEND",
    "IDLE",
    "COMPRESS",
    "GETQUOTA",
    "GETQUOTAROOT",
];

/// Legal with a selected mailbox only (RFC 3501 §6.4, RFC 3691, RFC 4315, RFC 5256, RFC 5267, RFC 6851).
const SELECTED: &[&str] = &[
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "UID EXPUNGE",
    "SEARCH",
    "CANCELUPDATE",
    "SORT",
    "THREAD",
    "FETCH",
    "STORE",
    "COPY",
    "MOVE",
];

/// Whether a command may be given now; else why not.
pub(crate) fn admit(state: StateName, verb: &str) -> Result<(), &'static str> {
    if ANY.contains(&verb) {
        return Ok(());
    }
    match state {
        StateName::NotAuthenticated if NOT_AUTHENTICATED.contains(&verb) => Ok(()),
        StateName::NotAuthenticated => Err("log in first"),
        _ if NOT_AUTHENTICATED.contains(&verb) => Err("already logged in"),
        _ if AUTHENTICATED.contains(&verb) => Ok(()),
        StateName::Selected if SELECTED.contains(&verb) => Ok(()),
        StateName::Authenticated if SELECTED.contains(&verb) => Err("select a mailbox first"),
        _ => Err("unknown command"),
    }
}

/// While answering these, no EXPUNGE may be sent: the client's sequence numbers have to hold
/// (RFC 3501 §7.4.1, RFC 5256 §3). Their UID forms have no such bound.
pub(crate) fn forbids_expunge(verb: &str, by_sequence_number: bool) -> bool {
    by_sequence_number && matches!(verb, "FETCH" | "STORE" | "SEARCH" | "SORT" | "THREAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_standards_diagram() {
        use StateName::{Authenticated, NotAuthenticated, Selected};
        for (verb, not_authenticated, authenticated, selected) in [
            ("CAPABILITY", true, true, true),
            ("LOGIN", true, false, false),
            ("STARTTLS", true, false, false),
            ("SELECT", false, true, true),
            ("APPEND", false, true, true),
            ("FETCH", false, false, true),
            ("UID EXPUNGE", false, false, true),
            ("XYZZY", false, false, false),
        ] {
            let admitted =
                [NotAuthenticated, Authenticated, Selected].map(|state| admit(state, verb).is_ok());
            assert_eq!(admitted, [not_authenticated, authenticated, selected], "{verb}");
        }
    }
}
