//! The directory and its sources, by command (R35, R38).

use std::fmt::Write as _;
use std::sync::Arc;

use directory::{LeftOver, Mirror, Mirrors, SyncOrder, SyncReport, Telling};
use mail_types::Domain;
use serde_json::json;
use tokio::sync::mpsc;

use super::{dns_tables, sync_status};
use crate::control::{Answer, Line, SyncRequest, SyncScope};
use crate::serve::Parts;

/// Differences that the text lists; JSON has all that are kept.
pub(super) const DIFFERENCES_SHOWN: usize = 50;

/// Which kind of sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Incremental,
}

/// Performs a request.
pub(super) async fn perform(
    parts: &Parts,
    request: SyncRequest,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    match request {
        SyncRequest::Dns { table, force } => dns_tables::read(parts, table.as_deref(), force).await,
        SyncRequest::Status { domain } => sync_status::perform(parts, domain.as_deref()).await,
        SyncRequest::Full(scope) => sync(parts, Kind::Full, scope, progress).await,
        SyncRequest::Incremental(scope) => sync(parts, Kind::Incremental, scope, progress).await,
    }
}

/// What is said where there is nothing to sync with.
pub(super) const NO_SOURCE: &str =
    "the directory is its own source: there is nothing to sync with (directory.source)";

async fn sync(
    parts: &Parts,
    kind: Kind,
    scope: SyncScope,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let mirrors = parts.mirror.as_ref().ok_or(NO_SOURCE)?;
    let domain = scope.domain.map(|name| Domain::parse(&name).map_err(|e| e.to_string())).transpose()?;
    let asked = asked(mirrors, domain.as_ref(), scope.source.as_deref())?;
    let order = SyncOrder { domain, dry_run: scope.dry_run, force: scope.force, left_over: scope.left_over };
    // All at once: one that is slow holds no other back.
    let running = asked.iter().map(|mirror| {
        let (mirror, order, told) = ((*mirror).clone(), order.clone(), telling(progress.clone()));
        tokio::spawn(async move {
            let synced = match kind {
                Kind::Full => mirror.full(order, told).await,
                Kind::Incremental => mirror.incremental(order).await,
            };
            synced.map_err(|why| why.to_string())
        })
    });
    let mut outcomes = Vec::new();
    for one in running.collect::<Vec<_>>() {
        outcomes.push(one.await.map_err(|why| why.to_string())?);
    }
    parts.follow_directory().await?;
    match <[_; 1]>::try_from(outcomes) {
        Ok([sole]) => sole.map(|report| answer(&report)),
        Err(outcomes) => Ok(of_several(&asked, outcomes)),
    }
}

/// The sources that are meant.
fn asked<'m>(
    mirrors: &'m Mirrors,
    domain: Option<&Domain>,
    source: Option<&str>,
) -> Result<Vec<&'m Mirror>, String> {
    match (domain, source) {
        (None, None) => Ok(mirrors.all().iter().collect()),
        (Some(domain), _) => {
            let nobody = || format!("{domain} is a domain of no source (domains in directory.tenants)");
            Ok(vec![mirrors.of_domain(domain).ok_or_else(nobody)?])
        }
        (None, Some(name)) => {
            let names: Vec<&str> = mirrors.all().iter().map(Mirror::name).collect();
            let unknown = || format!("there is no source {name}; there are: {}", names.join(", "));
            Ok(vec![mirrors.all().iter().find(|mirror| mirror.name() == name).ok_or_else(unknown)?])
        }
    }
}

/// What came of several, each for itself.
fn of_several(asked: &[&Mirror], outcomes: Vec<Result<SyncReport, String>>) -> Answer {
    let (mut all, mut lines, mut faulty) = (Vec::new(), Vec::new(), false);
    for (mirror, outcome) in asked.iter().zip(outcomes) {
        let name = mirror.name();
        match outcome {
            Ok(report) => {
                let Answer { json, text, .. } = answer(&report);
                all.push(json);
                lines.push(format!("{name}: {text}"));
            }
            Err(why) => {
                faulty = true;
                all.push(json!({ "source": name, "failure": why }));
                lines.push(format!("{name}: nothing is changed: {why}"));
            }
        }
    }
    Answer { faulty, ..Answer::new(json!({ "sources": all }), lines.join("\n")) }
}

/// Notes on the way; those that nobody takes are dropped.
fn telling(progress: mpsc::Sender<Line>) -> Telling {
    Arc::new(move |done, of, what| drop(progress.try_send(Line::Progress(done, of, what.to_owned()))))
}

fn answer(report: &SyncReport) -> Answer {
    let SyncReport { record, differences, dry_run, left_over } = report;
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
    if let Some(LeftOver { entries, example }) = left_over {
        let _ = write!(
            text,
            "\n  {entries} entries lie in no source's bases, {example} for one: they stay, with mail and log-in, until \
             wasmta sync full --left-over"
        );
    }
    let mut json = json!(record);
    json["left_over"] = json!(left_over.as_ref().map_or(0, |left_over| left_over.entries));
    json["dry_run"] = json!(dry_run);
    json["differences"] = differences
        .iter()
        .map(|difference| json!({ "what": difference.what, "dn": difference.dn }))
        .collect();
    Answer::new(json, text)
}
