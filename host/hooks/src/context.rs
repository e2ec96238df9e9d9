//! On whose behalf and where a question arises.

use mail_types::{AccountName, Domain};

/// The surroundings of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CallContext {
    /// The tenant: its canonical mail domain; none for the server's own rules.
    pub tenant: Option<Domain>,
    /// The channel by which the mail came.
    pub channel: String,
    /// As whom the client logged in.
    pub authenticated: Option<AccountName>,
    /// The id of message or session, as the log has it. Answers do not depend on it.
    pub id: String,
}
