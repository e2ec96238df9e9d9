//! Domains by DNS tables, where an operator asks for one: what each table says, and what is in force of it.

use directory::{DnsDomain, TableMeans, TableSays};
use mail_types::{Domain, Lookup};
use serde_json::{Value, json};

use super::published::Finding;
use crate::control::Answer;
use crate::serve::Parts;

/// Asks the tables about a domain that the directory does not have and that is not led here, as mail for it does. Why that
/// cannot be said, where nobody answers.
pub(super) async fn ask(parts: &Parts, domain: &Domain) -> Result<Option<String>, String> {
    if !matches!(parts.directory.dns_domain(domain), Lookup::NotFound) {
        return Ok(None);
    }
    match parts.followed.tables.look_up(domain).await {
        Lookup::Found(()) => parts.follow_directory().await.map(|()| None),
        Lookup::NotFound => Ok(None),
        Lookup::Unavailable(why) => Ok(Some(why)),
    }
}

/// In one word: what follows for its mail.
pub(super) fn word(found: &DnsDomain) -> &'static str {
    if found.relay { "backup" } else { "local" }
}

/// For programs, as [`super::directory`] has it of an entry.
pub(super) fn as_json(found: &DnsDomain) -> Value {
    json!({
        "domain": found.domain,
        "dn": found.dn.to_string(),
        "status": "active",
        "aliases": Vec::<String>::new(),
        "dns": found.origin,
        "decision": word(found),
    })
}

/// What each table says; `has_entry`: the directory decides. Empty where no table may have the domain.
pub(super) async fn findings(
    parts: &Parts,
    domain: &Domain,
    has_entry: bool,
) -> Result<Vec<Finding>, String> {
    let failure = if has_entry { None } else { ask(parts, domain).await? };
    let said = parts.followed.tables.said_of(domain);
    let decides = |one: &TableSays| !matches!(one.means, TableMeans::Unread | TableMeans::Nothing);
    let decider = said.iter().position(decides);
    let findings = said.iter().enumerate().map(|(nth, one)| {
        let is_decided = has_entry || decider.is_some_and(|decider| decider < nth);
        // That it has none says nothing where another table has some, or it may have some by now.
        let is_open = one.means == TableMeans::Nothing && (decider.is_some() || failure.is_some());
        finding(one, is_decided, is_open)
    });
    let mut findings: Vec<Finding> = findings.collect();
    findings.extend(failure.map(|why| {
        Finding::wrong("dns", why, "see that the name servers answer: its mail is told 451 until they do")
    }));
    Ok(findings)
}

fn finding(one: &TableSays, is_decided: bool, is_open: bool) -> Finding {
    let TableSays { table, place, records, means, held } = one;
    let from = format!("table {table} ({place})");
    let says = match means {
        TableMeans::Unread => format!("{from} does not know of it yet"),
        TableMeans::Nothing => format!("{from} has no MX of it"),
        TableMeans::NotOurs => format!("{from} has {records}: none of them is this host"),
        TableMeans::Local => format!("{from} has {records}: this host is the best, the domain is local"),
        TableMeans::Backup => format!("{from} has {records}: others are better, its mail goes on to them"),
    };
    if is_decided {
        return Finding::good("dns", format!("{says}; what stands above decides"));
    }
    if let Some(held) = held {
        let says =
            format!("{says}; the DNS says {held} now, and so of too many domains of the list to be believed");
        return Finding::wrong("dns", says, format!("if that is right, `wasmta sync dns {table} --force`"));
    }
    match means {
        TableMeans::Local | TableMeans::Backup => Finding::good("dns", says),
        _ if is_open => Finding::good("dns", says),
        TableMeans::Unread => {
            Finding::wrong("dns", says, format!("`wasmta sync status` says why; `wasmta sync dns {table}`"))
        }
        TableMeans::Nothing | TableMeans::NotOurs => {
            let mend = "publish an MX with the name of this host (server.name, routing.own-names) there";
            Finding::wrong("dns", says, mend)
        }
    }
}

/// The rows of a domain of the DNS: its own alone, for its users' entries may be anywhere.
pub(super) fn rows(parts: &Parts, found: &DnsDomain) -> Result<Answer, String> {
    let reader = parts.routing.tables().reader().map_err(|why| why.to_string())?;
    let rows = reader.rows_of_entry(&found.dn).map_err(|why| why.to_string())?;
    let (domain, dn) = (&found.domain, &found.dn);
    let mut text = format!("{} rows of {domain}, which the DNS leads here ({}):", rows.len(), word(found));
    for row in &rows {
        text.push_str(&format!("\n{:<8} {:<32} {}  [{}]", row.table, row.key, row.says, found.origin));
    }
    let rows = rows
        .iter()
        .map(|row| json!({ "table": row.table, "key": row.key, "says": row.says, "entry": dn.to_string() }));
    let rows: Vec<Value> = rows.collect();
    let mut json = as_json(found);
    json["complete"] = true.into();
    json["rows"] = rows.into();
    Ok(Answer::new(json, text))
}
