//! What is said of a name that nobody and nothing here goes by. Before the first full sync of its source has ended, the source may
//! well have it.

use directory::{EditError, Mirror};
use mail_types::Domain;

use crate::serve::Parts;

/// That there is no user, group or domain of a name: none, or none yet.
pub(super) fn absent(parts: &Parts, what: &str, name: &str) -> String {
    match incomplete(parts, name) {
        None => format!("there is no {what} {name}"),
        Some(source) => format!(
            "there is no {what} {name} here yet, and there may be one: the first full sync of the source {source} has not ended; \
             ask again when \"wasmta sync status\" names a last full sync, or make one with \"wasmta sync full\"",
            source = source.name()
        ),
    }
}

/// The same of whom an edit has not found; what else was in its way as it is.
pub(super) fn refused(parts: &Parts, why: &EditError) -> String {
    match why {
        EditError::NoUser(name) => absent(parts, "user", name),
        EditError::NoGroup(address) => absent(parts, "group", &address.to_string()),
        // Nobody is to add one that the source has.
        EditError::NoDomain(domain) if incomplete(parts, domain.as_str()).is_some() => {
            absent(parts, "domain", domain.as_str())
        }
        other => other.to_string(),
    }
}

/// Refuses what is done only to what nobody owns, where the owner may have yet to come.
///
/// # Errors
/// The first full sync has not ended.
pub(super) fn is_known_absent(parts: &Parts, what: &str, name: &str) -> Result<(), String> {
    match incomplete(parts, name) {
        None => Ok(()),
        Some(_) => Err(absent(parts, what, name)),
    }
}

/// That a list may lack some, of a domain or of all.
pub(super) fn note(parts: &Parts, domain: Option<&Domain>) -> Option<String> {
    let source = incomplete(parts, domain.map_or("", |domain| domain.as_str()))?;
    Some(format!("there may be more: the first full sync of the source {} has not ended", source.name()))
}

/// The source that the name's domain belongs to, else any one, if it has not been seen as a whole yet.
fn incomplete<'p>(parts: &'p Parts, name: &str) -> Option<&'p Mirror> {
    let mirrors = parts.mirror.as_ref()?;
    let domain = name.rsplit_once('@').map_or(name, |(_, domain)| domain);
    // A login may look like a domain; then none has it.
    let own = Domain::parse(domain).ok().and_then(|domain| mirrors.of_domain(&domain));
    // What cannot be read now has told of itself by another way.
    let is_incomplete = |mirror: &&Mirror| !mirror.is_complete().unwrap_or(true);
    match own {
        Some(own) => Some(own).filter(is_incomplete),
        None => mirrors.all().iter().find(is_incomplete),
    }
}
