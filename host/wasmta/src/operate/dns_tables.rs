//! Domains by DNS tables, by command: how they stand, and reading them now (R25).

use directory::{TableRead, TableStatus};
use serde_json::{Value, json};

use super::age_text;
use crate::control::Answer;
use crate::serve::Parts;

/// How all tables stand: for programs, and for people.
pub(super) fn status(parts: &Parts) -> (Value, String) {
    let all = parts.followed.tables.status();
    let json: Vec<Value> = all.iter().map(as_json).collect();
    let lines: Vec<String> = all.iter().map(|one| line(parts, one)).collect();
    (Value::from(json), lines.join("\n"))
}

fn as_json(one: &TableStatus) -> Value {
    json!({
        "table": one.name,
        "place": one.place,
        "state": state(one),
        "serial": one.serial,
        "domains": one.domains,
        "ours": one.ours,
        "relayed": one.relayed,
        "left_out": one.left_out,
        "success_at": one.success_at.map(|at| at.0),
        "failure_at": one.failure.as_ref().map(|(at, _)| at.0),
        "failure": one.failure.as_ref().map(|(_, why)| why),
        "next_at": one.next.map(|at| at.0),
    })
}

/// In one word.
fn state(one: &TableStatus) -> &'static str {
    match (one.success_at, &one.failure) {
        (None, _) => "never-read",
        _ if one.is_expired => "expired",
        (Some(_), Some(_)) => "failing",
        (Some(_), None) => "good",
    }
}

fn line(parts: &Parts, one: &TableStatus) -> String {
    let now = parts.clock.now();
    let serial = one.serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
    let read =
        one.success_at.map_or("never read".to_owned(), |at| format!("read {} ago", age_text(now.since(at))));
    let left_out = match one.left_out {
        0 => String::new(),
        some => format!(", {some} names left out"),
    };
    let mut text = format!(
        "{:<20} {:<10} {}{serial}: {} domains with MX, {} lead here, {} of them are handed on{left_out}; {read}",
        one.name,
        state(one),
        one.place,
        one.domains,
        one.ours,
        one.relayed,
    );
    if let Some((at, why)) = &one.failure {
        text.push_str(&format!("\n  failed {} ago: {why}", age_text(now.since(*at))));
    }
    text
}

/// Reads one table, or all.
pub(super) async fn read(parts: &Parts, table: Option<&str>, force: bool) -> Result<Answer, String> {
    let tables = &parts.followed.tables;
    if tables.is_empty() {
        return Err("no DNS table is configured (dns.tables)".to_owned());
    }
    let all = tables.status();
    let which: Vec<usize> = match table {
        None => (0..all.len()).collect(),
        Some(name) => {
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            let unknown = || format!("there is no DNS table {name}; there are: {}", names.join(", "));
            vec![tables.position(name).ok_or_else(unknown)?]
        }
    };
    let (mut lines, mut json, mut faulty) = (Vec::new(), Vec::new(), false);
    for at in which {
        let name = &all[at].name;
        match tables.rebuild(at, force).await {
            Ok(TableRead { changed, changed_here, refused }) => {
                faulty |= refused.is_some();
                lines.push(format!("{name}: {changed} domains changed, {changed_here} of them here"));
                lines.extend(refused.iter().map(|why| format!("  {why}")));
                let done = json!({ "table": name, "changed": changed, "changed_here": changed_here, "refused": refused });
                json.push(done);
            }
            Err(why) => {
                faulty = true;
                lines.push(format!("{name}: nothing is changed: {why}"));
                json.push(json!({ "table": name, "failure": why }));
            }
        }
    }
    parts.follow_directory().await?;
    Ok(Answer { faulty, ..Answer::new(json!({ "dns_tables": json }), lines.join("\n")) })
}
