//! What a failure at a provider means, and how to mend it.

use dns::PublishError;
use dns_update::Error;

use crate::credentials::Credentials;

/// Most characters of what a provider says that are told.
const SAID_MAX: usize = 400;

/// A failure of one change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: PublishError,
    /// Whether other changes would fail likewise, so that they need not be tried at once.
    pub(crate) is_general: bool,
}

impl Failure {
    /// Of this change alone: somebody has to mend something.
    pub(crate) fn refused(why: String) -> Self {
        Self { error: PublishError::Refused(why), is_general: false }
    }

    /// Of all changes: somebody has to mend something.
    pub(crate) fn refused_all(why: String) -> Self {
        Self { error: PublishError::Refused(why), is_general: true }
    }

    /// Of all changes: it is not to be had now.
    pub(crate) fn unavailable(why: String) -> Self {
        Self { error: PublishError::Unavailable(why), is_general: true }
    }

    /// What the library says, in our words.
    pub(crate) fn of(error: &Error, zone: &str, credentials: &Credentials) -> Self {
        let title = credentials.provider().title;
        let clean = |text: &str| shortened(&credentials.redacted(&without_queries(text)));
        let rights = || {
            Self::refused(format!(
                "{title} does not let these credentials change {zone}: give them the right there, or mend \
                 dns.publish.credentials-file"
            ))
        };
        let (Error::Api(said)
        | Error::Client(said)
        | Error::Protocol(said)
        | Error::Response(said)
        | Error::Parse(said)
        | Error::Serialize(said)
        | Error::Unsupported(said)) = error
        else {
            return match error {
                Error::Unauthorized => Self::refused_all(format!(
                    "{title} does not accept the credentials: compare dns.publish.credentials-file with what it gave you"
                )),
                Error::NotFound => Self::refused(format!(
                    "{title} has no zone {zone}, or does not show it to these credentials: make it there, or mend \
                     dns.publish.zones"
                )),
                other => Self::refused(format!(
                    "{title} refuses the records in {zone}: {}",
                    clean(&other.to_string())
                )),
            };
        };
        match (error, status(said)) {
            (_, Some(403)) => rights(),
            (_, Some(408 | 425 | 429 | 500..=599)) => Self::unavailable(format!("{title}: {}", clean(said))),
            (Error::Protocol(_), _) => Self::unavailable(format!("{title}: {}", clean(said))),
            (Error::Api(_) | Error::Client(_) | Error::Response(_), None) if is_of_the_way(said) => {
                // The library does not say why.
                Self::unavailable(format!(
                    "{title} cannot be reached: {}; look at its address, at the way there, and whether this system knows the \
                     authority of its certificate",
                    clean(said)
                ))
            }
            (Error::Parse(_) | Error::Serialize(_), _) => Self::refused(format!(
                "{title} answers what is not understood: {}; look whether another program answers in its place",
                clean(said)
            )),
            (Error::Unsupported(_), _) => Self::refused(format!(
                "{title} cannot hold such a record: {}; take it out of dns.publish.texts or dns.publish.services",
                clean(said)
            )),
            _ => Self::refused(format!("{title} refuses the records in {zone}: {}", clean(said))),
        }
    }
}

/// The status of an answer that the library tells of: `HTTP 503: …`.
fn status(said: &str) -> Option<u16> {
    let digits = said.split("HTTP ").nth(1)?;
    digits.get(..3)?.parse().ok()
}

/// Whether no answer came, as the library and its HTTP client say it.
fn is_of_the_way(said: &str) -> bool {
    const WORDS: [&str; 5] = [
        "Failed to send request",
        "Failed to read response",
        "error sending request",
        "timed out",
        "Failed to build HTTP",
    ];
    WORDS.iter().any(|words| said.contains(words))
}

/// A text in which addresses of the Web end before their queries, where some providers want secrets to stand.
fn without_queries(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("http") {
        let (before, address) = rest.split_at(at);
        kept.push_str(before);
        let end = address.find(|c: char| c.is_whitespace() || ")\"'<>".contains(c)).unwrap_or(address.len());
        let (address, after) = address.split_at(end);
        kept.push_str(address.split_once('?').map_or(address, |(path, _)| path));
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// On one line, and no longer than fits into a log.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SAID_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;

    #[test]
    fn failures_say_what_to_mend_and_no_secret() {
        let pdns = Provider::named("pdns").unwrap();
        let credentials = Credentials::new(pdns, [("api-key", "s3cr3t-key".to_owned())]).unwrap();
        let api = |text: &str| Error::Api(text.to_owned());
        let sent = "Failed to send request to https://h/x?key=s3cr3t%2Dkey: error sending request for url (https://h/x?key=1)";
        let cases = [
            (Error::Unauthorized, false, true, "does not accept the credentials"),
            (Error::NotFound, false, false, "has no zone a.test"),
            (api("HTTP 403: no"), false, false, "does not let these credentials change a.test"),
            (api("HTTP 429: slowly"), true, true, "PowerDNS Authoritative: HTTP 429: slowly"),
            (api("HTTP 503"), true, true, "HTTP 503"),
            (api("HTTP 422: what is s3cr3t-key\n?"), false, false, "in a.test: HTTP 422: what is … ?"),
            (api("BadRequest no"), false, false, "refuses the records in a.test: BadRequest no"),
            (api(sent), true, true, "to https://h/x error sending request for url (https://h/x)"),
            (Error::Serialize("body: <html>".into()), false, false, "not understood"),
            (Error::Unsupported("SRV".into()), false, false, "dns.publish.services"),
        ];
        for (error, is_unavailable, is_general, says) in cases {
            let found = Failure::of(&error, "a.test", &credentials);
            let text = found.error.to_string();
            assert!(text.contains(says) && !text.contains("s3cr3t") && !text.contains('\n'), "{text}");
            let is = (matches!(found.error, PublishError::Unavailable(_)), found.is_general);
            assert_eq!(is, (is_unavailable, is_general), "{text}");
        }
    }
}
