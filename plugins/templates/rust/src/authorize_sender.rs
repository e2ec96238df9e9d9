//! `authorize-sender`: shared addresses are open to everybody of their domain, and nobody sends as no-reply.

use crate::bindings::exports::wasmta::policy::authorize_sender::{Guest, Request, Verdict};
use crate::bindings::wasmta::policy::types::{Context, Failure, Reply};
use crate::settings::strings;
use crate::{Plugin, trace};

impl Guest for Plugin {
    fn authorize(_about: Context, question: Request) -> Result<Verdict, Failure> {
        let Request { account, address, .. } = question;
        if address.local.eq_ignore_ascii_case("no-reply") {
            return Ok(Verdict::Deny(Reply {
                code: 550,
                enhanced: "5.7.1".into(),
                text: "Nobody sends as no-reply".into(),
            }));
        }
        let wanted = format!("{}@{}", address.local, address.domain);
        let colleague = account.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(&address.domain));
        if colleague && strings("shared").iter().any(|one| one.eq_ignore_ascii_case(&wanted)) {
            trace(&format!("{account} sends as {wanted}"));
            return Ok(Verdict::Allow);
        }
        // The host's own rule holds. `Allow` here would let anybody send as anybody.
        Ok(Verdict::NoOpinion)
    }
}
