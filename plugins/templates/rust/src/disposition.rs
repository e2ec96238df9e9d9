//! `disposition`: marked spam into Junk, and a folder for each subaddress that the operator names.
//!
//! `to.sender` is the envelope sender; none for the null sender, which nobody may answer.

use crate::bindings::exports::wasmta::policy::disposition::{Action, Filing, Guest, Recipient};
use crate::bindings::wasmta::policy::headers;
use crate::bindings::wasmta::policy::types::{Context, Failure};
use crate::settings::strings;
use crate::{Plugin, trace};

impl Guest for Plugin {
    fn decide(_about: Context, to: Recipient) -> Result<Vec<Action>, Failure> {
        // The header is asked for when it is needed: it costs nothing unread.
        let flag = headers::text("X-Spam-Flag", 0).unwrap_or_default();
        if flag.trim().eq_ignore_ascii_case("yes") {
            return Ok(vec![keep("Junk")]);
        }
        // Only folders that the operator named: a stranger chooses the subaddress.
        if strings("folders").contains(&to.detail) {
            trace(&format!("{} has a folder", to.detail));
            return Ok(vec![keep(&to.detail)]);
        }
        // Nothing says where the mail goes: one copy in INBOX, or where the next plugin wants it.
        Ok(vec![])
    }
}

fn keep(mailbox: &str) -> Action {
    Action::Keep(Filing { mailbox: mailbox.into(), labels: vec![] })
}
