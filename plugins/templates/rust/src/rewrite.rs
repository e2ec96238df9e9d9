//! `rewrite`: where mail goes for people who moved to another name, and who has left.

use crate::bindings::exports::wasmta::policy::rewrite::{Guest, Request, Verdict};
use crate::bindings::wasmta::policy::types::{Address, Context, Failure, Reply};
use crate::settings::strings;
use crate::{Plugin, trace};

impl Guest for Plugin {
    fn rewrite(_about: Context, batch: Vec<Request>) -> Result<Vec<Verdict>, Failure> {
        let (moved, gone) = (moves()?, strings("gone"));
        // One verdict for each request, in order.
        Ok(batch.into_iter().map(|request| answer(request.address, &moved, gone)).collect())
    }
}

fn moves() -> Result<Vec<(String, String)>, Failure> {
    let pair = |line: &String| line.split_once('=').map(|(old, new)| (old.trim().to_owned(), new.trim().to_owned()));
    // The operator's slip, and no bug: a failure, whose message goes to the log.
    let fault = |line: &String| Failure { permanent: false, message: format!("moved: no = in {line}") };
    strings("moved").iter().map(|line| pair(line).ok_or_else(|| fault(line))).collect()
}

fn answer(address: Address, moved: &[(String, String)], gone: &[String]) -> Verdict {
    if let Some((old, new)) = moved.iter().find(|(old, _)| old.eq_ignore_ascii_case(&address.local)) {
        trace(&format!("{old} moved to {new}"));
        // `again`: the rules look at the new address too. It must differ, or they would do so for ever.
        return Verdict::Again(Address { local: new.clone(), domain: address.domain });
    }
    if gone.iter().any(|name| name.eq_ignore_ascii_case(&address.local)) {
        // A reply is printable ASCII: so no part of the address is in it.
        return Verdict::Refuse(Reply {
            code: 550,
            enhanced: "5.1.6".into(),
            text: "This person has left".into(),
        });
    }
    Verdict::NoMatch
}
