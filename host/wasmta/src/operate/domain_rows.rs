//! The table of a virtual mail server: the rows of one domain (R29).

use std::fmt::Write as _;
use std::ops::ControlFlow;

use directory::Dn;
use mail_types::{Domain, Lookup};
use routing::tables::{Reader, ShownRow};
use serde_json::{Value, json};

use super::absent::absent;
use super::domain_dns;
use crate::control::Answer;
use crate::serve::Parts;

/// Rows that the text lists.
const ROWS_TEXT_MAX: usize = 1_000;
/// Rows that JSON lists.
const ROWS_MAX: usize = 100_000;

/// What one look at the entries came to.
#[derive(Default)]
struct Shown {
    rows: Vec<(ShownRow, Dn)>,
    /// There are more than may be listed.
    cut: bool,
    failure: Option<String>,
}

/// Shows the rows of all entries of a domain, those that describe it first.
pub(super) async fn show(parts: &Parts, name: &str) -> Result<Answer, String> {
    let domain = Domain::parse(name).map_err(|why| why.to_string())?;
    let known = match parts.directory.domain(&domain) {
        Lookup::Found(known) => known,
        Lookup::NotFound => {
            let failure = domain_dns::ask(parts, &domain).await?;
            return match parts.directory.dns_domain(&domain) {
                Lookup::Found(found) => domain_dns::rows(parts, &found),
                Lookup::NotFound => Err(failure.unwrap_or_else(|| absent(parts, "domain", name))),
                Lookup::Unavailable(why) => Err(why),
            };
        }
        Lookup::Unavailable(why) => return Err(why),
    };
    let reader = parts.routing.tables().reader().map_err(|why| why.to_string())?;
    let described: Vec<Dn> = std::iter::once(known.dn).chain(known.further).collect();
    let mut shown = Shown::default();
    for dn in &described {
        shown.take(&reader, dn);
    }
    let scanned = parts.directory.scan_under(&known.base, &mut |entry| {
        if !described.contains(&entry.dn) {
            shown.take(&reader, &entry.dn);
        }
        if shown.cut || shown.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    scanned.map_err(|why| why.to_string())?;
    match shown.failure {
        Some(why) => Err(why),
        None => Ok(answer(&known.domain, &shown)),
    }
}

impl Shown {
    fn take(&mut self, reader: &Reader, dn: &Dn) {
        match reader.rows_of_entry(dn) {
            Ok(rows) => self.rows.extend(rows.into_iter().map(|row| (row, dn.clone()))),
            Err(why) => self.failure = Some(why.to_string()),
        }
        if self.rows.len() > ROWS_MAX {
            self.rows.truncate(ROWS_MAX);
            self.cut = true;
        }
    }
}

fn answer(domain: &Domain, shown: &Shown) -> Answer {
    let more = if shown.cut { "more than " } else { "" };
    let mut text = format!("{more}{} rows of {domain}:", shown.rows.len());
    for (row, dn) in shown.rows.iter().take(ROWS_TEXT_MAX) {
        let _ = write!(text, "\n{:<8} {:<32} {}  [{dn}]", row.table, row.key, row.says);
    }
    if shown.rows.len() > ROWS_TEXT_MAX {
        let _ = write!(text, "\nand {} more (--json)", shown.rows.len() - ROWS_TEXT_MAX);
    }
    let rows = shown.rows.iter().map(
        |(row, dn)| json!({ "table": row.table, "key": row.key, "says": row.says, "entry": dn.to_string() }),
    );
    let rows: Vec<Value> = rows.collect();
    Answer::new(json!({ "domain": domain.to_string(), "complete": !shown.cut, "rows": rows }), text)
}
