//! The records of mail domains: after a command, and compared.

use directory::Publication;
use dns::{Data, Record};
use mail_types::{Domain, Lookup};
use serde_json::{Value, json};

use super::domain_parts;
use crate::control::Answer;
use crate::serve::Parts;

/// Publishes what an edit has changed, and says how that went, in lines.
pub(super) async fn after_edit(parts: &Parts, domain: &Domain) -> Vec<String> {
    let Some(publishing) = &parts.publishing else { return Vec::new() };
    let publication = &publishing.publication;
    if !publication.lasts() {
        // Of a domain that is gone there is nothing to publish.
        if !parts.directory.domain(domain).is_found() {
            return Vec::new();
        }
        return vec![format!("its records are published by {} when the server runs", publication.place())];
    }
    publication.settle().await;
    stands(publication, domain)
}

/// Publishes a domain's records again: nobody tells us when they are lost at the server that has them.
pub(super) async fn publish_again(parts: &Parts, name: &str) -> Result<Answer, String> {
    let domain = Domain::parse(name).map_err(|why| why.to_string())?;
    let Some(publishing) = &parts.publishing else {
        return Err("nothing is published: [dns.publish] is not configured".to_owned());
    };
    let publication = &publishing.publication;
    if publication.wanted(&domain).map_err(|why| why.to_string())?.is_empty() {
        return Err(format!("{domain} has no records to publish: `wasmta domain show {domain}`"));
    }
    if !publication.lasts() {
        let place = publication.place();
        return Err(format!("{domain} is published by {place}, each time the server starts"));
    }
    publication.again(&domain).await;
    let faulty = publication.of(&domain).failure.is_some();
    let text = stands(publication, &domain).join("\n");
    Ok(Answer { faulty, ..Answer::new(json!({ "domain": domain, "ok": !faulty }), text) })
}

/// How a domain's records stand, in lines.
fn stands(publication: &Publication, domain: &Domain) -> Vec<String> {
    let now = publication.of(domain);
    let mut lines = match (&now.failure, now.records.is_empty()) {
        (Some(why), _) => vec![format!("its records are not published yet: {why}; it is tried again")],
        (None, true) => vec![format!("{} has no records of it", publication.place())],
        (None, false) => vec![format!("published by {}:", publication.place())],
    };
    if now.failure.is_none() {
        lines.extend(now.records.iter().map(|record| format!("  {record}")));
    }
    lines
}

/// One thing that was compared.
pub(super) struct Finding {
    what: &'static str,
    says: String,
    grade: Grade,
    /// What to do, where that is not nothing.
    mend: Option<String>,
}

/// How it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    /// Mail works; something may be done all the same.
    Note,
    Wrong,
}

impl Finding {
    pub(super) fn good(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, says: says.into(), grade: Grade::Good, mend: None }
    }

    pub(super) fn note(what: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what, says: says.into(), grade: Grade::Note, mend: Some(mend.into()) }
    }

    pub(super) fn wrong(what: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what, says: says.into(), grade: Grade::Wrong, mend: Some(mend.into()) }
    }

    fn is_wrong(&self) -> bool {
        self.grade == Grade::Wrong
    }
}

/// Compares a domain's entries, the tables, what is published and what others see (R13-R17).
pub(super) async fn check_domain(parts: &Parts, name: &str) -> Result<Answer, String> {
    let domain = Domain::parse(name).map_err(|why| why.to_string())?;
    let mut findings = domain_parts::findings(parts, &domain).await?;
    // Where there is no entry, nothing can follow it. What the DNS leads here is published by others.
    if matches!(parts.directory.domain(&domain), Lookup::NotFound) {
        if parts.directory.dns_domain(&domain).is_found() {
            findings.push(table(parts, &domain));
            findings.push(seen(parts, &domain, &[]).await);
        }
    } else {
        findings.push(table(parts, &domain));
        let wanted = match &parts.publishing {
            None => {
                findings.push(Finding::good("published", "nothing: [dns.publish] is not configured"));
                Vec::new()
            }
            Some(publishing) => {
                let publication = &publishing.publication;
                let wanted = publication.wanted(&domain).map_err(|why| why.to_string())?;
                findings.push(published(publication, &domain, &wanted));
                wanted
            }
        };
        findings.push(seen(parts, &domain, &wanted).await);
    }
    let wrong = findings.iter().filter(|one| one.is_wrong()).count();
    let mut text: Vec<String> = Vec::new();
    for one in &findings {
        let sign = match one.grade {
            Grade::Good => "ok",
            Grade::Note => "note",
            Grade::Wrong => "WRONG",
        };
        text.push(format!("{:<10} {sign:<6} {}", one.what, one.says));
        text.extend(one.mend.iter().map(|mend| format!("{:<17} mend: {mend}", "")));
    }
    text.push(match wrong {
        0 => format!("{domain} is in order"),
        1 => format!("{domain}: 1 thing is wrong"),
        more => format!("{domain}: {more} things are wrong"),
    });
    let json: Vec<Value> = findings
        .iter()
        .map(|one| json!({ "what": one.what, "says": one.says, "ok": !one.is_wrong(), "mend": one.mend }))
        .collect();
    let json = json!({ "domain": domain, "ok": wrong == 0, "findings": json });
    Ok(Answer { faulty: wrong > 0, ..Answer::new(json, text.join("\n")) })
}

fn table(parts: &Parts, domain: &Domain) -> Finding {
    match parts.routing.tables().domain_attributes(domain) {
        Lookup::Found(_) => Finding::good("tables", "there is a row"),
        Lookup::NotFound => Finding::wrong("tables", "there is no row", "look for tables_failed in the log"),
        Lookup::Unavailable(why) => Finding::wrong("tables", why, "look for tables_failed in the log"),
    }
}

fn published(publication: &Publication, domain: &Domain, wanted: &[Record]) -> Finding {
    let now = publication.of(domain);
    let place = publication.place();
    match now.failure {
        Some(why) => Finding::wrong("published", why, format!("{place} is asked again every 30 s")),
        None if !publication.lasts() => {
            Finding::good("published", format!("by {place}, when the server runs"))
        }
        None if now.is_open => {
            let says = format!("a change at {place} is not done");
            Finding::wrong("published", says, "wait a moment: it is done when the server runs")
        }
        None if now.records == wanted => {
            Finding::good("published", format!("{} records by {place}", wanted.len()))
        }
        None => {
            let says = format!("{} of {} records by {place}", now.records.len(), wanted.len());
            Finding::wrong("published", says, "wait a moment: the directory has just changed")
        }
    }
}

/// What the resolver says, which is what others see.
async fn seen(parts: &Parts, domain: &Domain, wanted: &[Record]) -> Finding {
    let again = match wanted.is_empty() {
        true => String::new(),
        false => format!(", or `wasmta domain publish {domain}`, if they are lost there"),
    };
    let of_mx = |record: &Record| match &record.data {
        Data::Mx { .. } => Some(record.data.to_string()),
        _ => None,
    };
    let mut wanted: Vec<String> =
        wanted.iter().filter(|one| one.name == domain.as_str()).filter_map(of_mx).collect();
    wanted.sort();
    // As it is now: who has just mended something asks what came of it.
    match parts.dns().mx_now(domain).await {
        Lookup::Found(found) => {
            let mut found: Vec<String> = found.0.iter().map(ToString::to_string).collect();
            found.sort();
            let says = format!("MX {}", found.join(", "));
            if wanted.is_empty() || found == wanted {
                return Finding::good("seen", says);
            }
            let mend = format!(
                "others should see MX {}: delegate the zone to where it is published{again}",
                wanted.join(", ")
            );
            Finding::wrong("seen", says, mend)
        }
        Lookup::NotFound => {
            let mend = match again.is_empty() {
                true => "delegate the zone to where it is published, or publish an MX there".to_owned(),
                false => format!("delegate the zone to where it is published{again}"),
            };
            Finding::wrong("seen", "others see no MX", mend)
        }
        Lookup::Unavailable(why) => {
            Finding::wrong("seen", why, "wait until the name servers answer (dns.servers)")
        }
    }
}
