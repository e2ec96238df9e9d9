//! `reverse`: mail from our machines leaves in the name of our domain: `anna@pc7.example.org` as `anna@example.org`.

use crate::bindings::exports::wasmta::policy::reverse::{Guest, Request, Verdict};
use crate::bindings::wasmta::policy::types::{Address, Context, Failure};
use crate::{Plugin, trace};

impl Guest for Plugin {
    fn reverse(about: Context, batch: Vec<Request>) -> Result<Vec<Verdict>, Failure> {
        // One verdict for each request, in order.
        Ok(batch.into_iter().map(|request| answer(&about.tenant, request)).collect())
    }
}

fn answer(tenant: &str, request: Request) -> Verdict {
    let Request { address, forwarded, .. } = request;
    let machine = address.domain.strip_suffix(tenant).and_then(|rest| rest.strip_suffix('.'));
    // Mail that is handed on is another's: its sender stays. An empty tenant means the server's own rules: no domain.
    if forwarded || tenant.is_empty() || machine.is_none() {
        return Verdict::Unchanged;
    }
    trace(&format!("{} is hidden", address.domain));
    Verdict::Changed(Address { local: address.local, domain: tenant.to_owned() })
}
