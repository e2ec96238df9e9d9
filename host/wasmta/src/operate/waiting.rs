//! Entries whose rows a plugin has yet to build, in words: a lasting failure holds a domain's unknown addresses up, and is
//! mended by who sees it.

use mail_types::Timestamp;
use routing::tables::{FailingEntry, Waiting, WaitingOf};

use super::queue::moment;
use crate::serve::Parts;

/// What waits; nothing where the tables are not there yet.
pub(super) fn waiting(parts: &Parts, of: WaitingOf<'_>) -> Result<Waiting, String> {
    match parts.routing.tables().reader() {
        Ok(reader) => reader.waiting(of).map_err(|e| e.to_string()),
        Err(routing::TableError::NotBuilt) => Ok(Waiting::default()),
        Err(error) => Err(error.to_string()),
    }
}

/// Lines for people; none where nothing waits. Of a plugin those are found that it failed on: the others of a domain, not asked
/// about yet, are the domain's.
pub(super) fn lines(found: &Waiting, of: WaitingOf<'_>) -> Vec<String> {
    let Waiting { waiting, failing, entries } = found;
    if *waiting == 0 {
        return Vec::new();
    }
    let until = "until then addresses that are not known are answered with 451";
    let mut lines = vec![match of {
        WaitingOf::Domain(_) => format!(
            "{waiting} entries wait for their rows, {failing} of them because a plugin fails on them; {until}"
        ),
        WaitingOf::Plugin(_) => format!(
            "{failing} entries wait because it fails on them, and others of their domains may wait beside them (`wasmta \
             domain show DOMAIN`); {until}"
        ),
    }];
    lines.extend(entries.iter().map(one));
    let left = failing.saturating_sub(entries.len() as u64);
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    lines
}

fn one(of: &FailingEntry) -> String {
    let FailingEntry { entry, domain, plugin, failures, again, cause } = of;
    let again = moment(Timestamp(0).plus(std::time::Duration::from_secs(*again)));
    format!("{entry} ({domain}): plugin {plugin} failed ({failures} so far), asked again at {again}: {cause}")
}
