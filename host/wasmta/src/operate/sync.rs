//! The directory and its source, by command (R35, R38).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use directory::{Mirror, MirrorStatus, SyncOrder, SyncRecord, SyncReport, Telling};
use mail_types::{Domain, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{age_text, dns_tables};
use crate::control::{Answer, Line, SyncRequest, SyncScope};
use crate::serve::Parts;

/// Differences that the text lists; JSON has all that are kept.
const DIFFERENCES_SHOWN: usize = 50;
/// Past syncs that the text lists.
const HISTORY_SHOWN: usize = 10;

/// Performs a request.
pub(super) async fn perform(
    parts: &Parts,
    request: SyncRequest,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let tables = &parts.followed.tables;
    if let SyncRequest::Dns { table, force } = &request {
        return dns_tables::read(parts, table.as_deref(), *force).await;
    }
    let Some(mirror) = &parts.mirror else {
        if request == SyncRequest::Status && !tables.is_empty() {
            let (json, text) = dns_tables::status(parts);
            return Ok(Answer::new(json!({ "dns_tables": json }), text));
        }
        return Err(
            "the directory is its own source: there is nothing to sync with (directory.source)".to_owned()
        );
    };
    match request {
        SyncRequest::Status => status(parts, mirror).await,
        SyncRequest::Dns { table, force } => dns_tables::read(parts, table.as_deref(), force).await,
        SyncRequest::Full(scope) => {
            let report =
                mirror.full(order(scope)?, telling(progress)).await.map_err(|why| why.to_string())?;
            parts.follow_directory().await?;
            Ok(answer(&report))
        }
        SyncRequest::Incremental(scope) => {
            let report = mirror.incremental(order(scope)?).await.map_err(|why| why.to_string())?;
            parts.follow_directory().await?;
            Ok(answer(&report))
        }
    }
}

fn order(scope: SyncScope) -> Result<SyncOrder, String> {
    let domain = scope.domain.map(|name| Domain::parse(&name).map_err(|e| e.to_string())).transpose()?;
    Ok(SyncOrder { domain, dry_run: scope.dry_run, force: scope.force })
}

/// Notes on the way; those that nobody takes are dropped.
fn telling(progress: mpsc::Sender<Line>) -> Telling {
    Arc::new(move |done, of, what| drop(progress.try_send(Line::Progress(done, of, what.to_owned()))))
}

fn answer(report: &SyncReport) -> Answer {
    let SyncReport { record, differences, dry_run } = report;
    let verb = if *dry_run { "would be" } else { "were" };
    let mut text = format!(
        "{} entries of {} seen in {} ms: {} {verb} added, {} modified, {} moved, {} removed, {} refused",
        record.seen,
        record.server,
        record.milliseconds,
        record.added,
        record.modified,
        record.moved,
        record.removed,
        record.refused
    );
    for difference in differences.iter().take(DIFFERENCES_SHOWN) {
        let _ = write!(text, "\n  {:<7} {}", difference.what, difference.dn);
    }
    if differences.len() > DIFFERENCES_SHOWN {
        let _ = write!(text, "\n  and {} more (--json)", differences.len() - DIFFERENCES_SHOWN);
    }
    let mut json = record_json(record);
    json["dry_run"] = json!(dry_run);
    json["differences"] = differences
        .iter()
        .map(|difference| json!({ "what": difference.what, "dn": difference.dn }))
        .collect();
    Answer::new(json, text)
}

fn record_json(record: &SyncRecord) -> Value {
    json!(record)
}

async fn status(parts: &Parts, mirror: &Mirror) -> Result<Answer, String> {
    let status = mirror.status().await.map_err(|why| why.to_string())?;
    let now = parts.clock.now();
    let ago = |at: u64| format!("{} ago", age_text(now.since(Timestamp(at))));
    let mut text = String::new();
    for server in &status.servers {
        let _ = writeln!(text, "{:<40} {}", server.server, if server.up { "up" } else { "down" });
    }
    for follower in &status.followers {
        let _ = writeln!(text, "{:<40} {}", follower.base, follower.state);
    }
    let full = status.full_at.map_or("never".to_owned(), ago);
    let heard = status.heard_at.map_or("never".to_owned(), ago);
    let _ = write!(text, "last full sync {full}; last change heard of {heard}");
    if !status.refused.is_empty() {
        let _ =
            write!(text, "\n{} entries are refused; their last good versions stay:", status.refused.len());
    }
    for refused in status.refused.iter().take(DIFFERENCES_SHOWN) {
        let since = ago(refused.since);
        let _ = write!(text, "\n  {} ({}, {since}): {}", refused.name, refused.attribute, refused.why);
    }
    for record in status.history.iter().take(HISTORY_SHOWN) {
        let _ = write!(text, "\n{}", history_line(record, &ago(record.began)));
    }
    let mut json = status_json(&status);
    if !parts.followed.tables.is_empty() {
        let (tables, lines) = dns_tables::status(parts);
        json["dns_tables"] = tables;
        let _ = write!(text, "\n{lines}");
    }
    Ok(Answer::new(json, text))
}

fn history_line(record: &SyncRecord, ago: &str) -> String {
    let took = Duration::from_millis(record.milliseconds).as_secs_f64();
    let what = match &record.failure {
        Some(why) => format!("failed: {why}"),
        None => format!(
            "{} seen, {} added, {} modified, {} moved, {} removed, {} refused",
            record.seen, record.added, record.modified, record.moved, record.removed, record.refused
        ),
    };
    format!("{ago:<16} {:<12} {took:>8.3} s  {what}", record.kind)
}

fn status_json(status: &MirrorStatus) -> Value {
    let servers = status.servers.iter().map(|server| json!({ "server": server.server, "up": server.up }));
    let followers = status.followers.iter();
    let followers = followers.map(
        |follower| json!({ "base": follower.base, "state": follower.state, "follows": follower.follows }),
    );
    let refused = status.refused.iter().map(|refused| {
        json!({ "dn": refused.name, "attribute": refused.attribute, "why": refused.why, "since": refused.since })
    });
    json!({
        "servers": servers.collect::<Vec<_>>(),
        "followers": followers.collect::<Vec<_>>(),
        "full_at": status.full_at,
        "heard_at": status.heard_at,
        "refused": refused.collect::<Vec<_>>(),
        "history": status.history,
    })
}
