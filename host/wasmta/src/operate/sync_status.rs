//! How the sources of the directory stand: all, or one domain.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use directory::{Dn, DomainEntry, MirrorStatus, Mirrors, RefusedEntry, SyncRecord};
use mail_types::{Domain, Lookup, Timestamp};
use serde_json::{Value, json};

use super::sync::{DIFFERENCES_SHOWN, NO_SOURCE};
use super::{age_text, dns_tables};
use crate::control::Answer;
use crate::serve::Parts;

/// Past syncs that the text lists, of each source.
const HISTORY_SHOWN: usize = 10;
/// Entries that are counted; of more it is said that there are more.
const COUNTED_MAX: u64 = 1_000_000;

/// How everything stands, or one domain.
pub(super) async fn perform(parts: &Parts, domain: Option<&str>) -> Result<Answer, String> {
    if let Some(domain) = domain {
        let domain = Domain::parse(domain).map_err(|why| why.to_string())?;
        let mirrors = parts.mirror.as_ref().ok_or(NO_SOURCE)?;
        return of_domain(parts, mirrors, &domain).await;
    }
    match &parts.mirror {
        Some(mirrors) => of_all(parts, mirrors).await,
        None if parts.followed.tables.is_empty() => Err(NO_SOURCE.to_owned()),
        None => {
            let (json, text) = dns_tables::status(parts);
            Ok(Answer::new(json!({ "dns_tables": json }), text))
        }
    }
}

async fn of_all(parts: &Parts, mirrors: &Mirrors) -> Result<Answer, String> {
    let mut all = Vec::new();
    for mirror in mirrors.all() {
        all.push(mirror.status().await.map_err(|why| why.to_string())?);
    }
    let several = all.len() > 1;
    let mut text = String::new();
    for status in &all {
        if several {
            let domains = if status.domains.is_empty() { String::new() } else { status.domains.join(" ") };
            let _ = writeln!(text, "{} {domains}", status.source);
        }
        write_status(parts, status, &mut text);
        text.push_str(if several { "\n" } else { "" });
    }
    let text_end = text.trim_end().len();
    text.truncate(text_end);
    let mut json = joined(&all);
    json["sources"] = all.iter().map(status_json).collect();
    if !parts.followed.tables.is_empty() {
        let (tables, lines) = dns_tables::status(parts);
        json["dns_tables"] = tables;
        let _ = write!(text, "\n{lines}");
    }
    Ok(Answer::new(json, text))
}

fn ago(parts: &Parts, at: u64) -> String {
    format!("{} ago", age_text(parts.clock.now().since(Timestamp(at))))
}

fn write_status(parts: &Parts, status: &MirrorStatus, text: &mut String) {
    let ago = |at: u64| ago(parts, at);
    for server in &status.servers {
        let _ = writeln!(text, "{:<40} {}", server.server, if server.up { "up" } else { "down" });
    }
    for follower in &status.followers {
        let _ = writeln!(text, "{:<40} {}", follower.base, follower.state);
    }
    let full = status.full_at.map_or("never".to_owned(), ago);
    let heard = status.heard_at.map_or("never".to_owned(), ago);
    let _ = write!(text, "last full sync {full}; last change heard of {heard}");
    if status.full_wanted {
        let why = "entries below a renamed one have yet to come, by a full sync that is believed: `wasmta sync full`";
        let _ = write!(text, "\n{why}");
    }
    write_refused(&status.refused, &ago, text);
    for record in status.history.iter().take(HISTORY_SHOWN) {
        let _ = write!(text, "\n{}", history_line(record, &ago(record.began)));
    }
}

fn write_refused(all: &[RefusedEntry], ago: &dyn Fn(u64) -> String, text: &mut String) {
    if !all.is_empty() {
        let _ = write!(text, "\n{} entries are refused; their last good versions stay:", all.len());
    }
    for refused in all.iter().take(DIFFERENCES_SHOWN) {
        let since = ago(refused.since);
        let _ = write!(text, "\n  {} ({}, {since}): {}", refused.name, refused.attribute, refused.why);
    }
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

/// One domain: whose it is, what brought it, how much of it there is, what is wrong with it.
async fn of_domain(parts: &Parts, mirrors: &Mirrors, domain: &Domain) -> Result<Answer, String> {
    let nobody = || format!("{domain} is a domain of no source (domains in directory.tenants)");
    let mirror = mirrors.of_domain(domain).ok_or_else(nobody)?;
    let status = mirror.status().await.map_err(|why| why.to_string())?;
    let known = match parts.directory.domain(domain) {
        Lookup::Found(known) => Some(known),
        Lookup::NotFound => None,
        Lookup::Unavailable(why) => return Err(why),
    };
    let tops = known.as_ref().map(tops).unwrap_or_default();
    let is_below = |name: &str| Dn::parse(name).is_ok_and(|dn| tops.iter().any(|top| dn.is_within(top)));
    let refused: Vec<RefusedEntry> =
        status.refused.iter().filter(|refused| is_below(&refused.name)).cloned().collect();
    let name = known.as_ref().map_or(domain, |known| &known.domain).to_string();
    let concerns = |record: &&SyncRecord| {
        record.domain.as_ref().is_none_or(|of| *of == name || *of == domain.to_string())
    };
    let history: Vec<&SyncRecord> = status.history.iter().filter(concerns).collect();
    let ago = |at: u64| ago(parts, at);
    let mut text = format!("{domain} is a domain of the source {}", status.source);
    let mut json = json!({
        "domain": domain.to_string(),
        "source": status.source,
        "known": known.is_some(),
        "full_at": status.full_at,
        "heard_at": status.heard_at,
        "refused": refused.iter().map(refused_json).collect::<Vec<_>>(),
        "history": history,
    });
    match &known {
        None => text.push_str(", which has not shown it"),
        Some(known) => {
            let brought = parts.directory.brought(&known.dn).map_err(|why| why.to_string())?;
            let by = brought.map(|brought| (brought.way.to_string(), brought.at));
            let entries = count(parts, &known.base)?;
            let _ = write!(text, "\n{}", known.dn);
            if let Some((way, at)) = &by {
                let _ = write!(text, ", as it is by a {way} {}", ago(*at));
            }
            let more = if entries == COUNTED_MAX { "more than " } else { "" };
            let _ = write!(text, "\n{more}{entries} entries below {}", known.base);
            json["dn"] = json!(known.dn.to_string());
            json["base"] = json!(known.base.to_string());
            json["entries"] = json!(entries);
            json["brought"] = json!(by.map(|(way, at)| json!({ "way": way, "at": at })));
        }
    }
    let full = status.full_at.map_or("never".to_owned(), ago);
    let heard = status.heard_at.map_or("never".to_owned(), ago);
    let _ = write!(text, "\nlast full sync {full}; last change heard of {heard}");
    write_refused(&refused, &ago, &mut text);
    for record in history.iter().take(HISTORY_SHOWN) {
        let _ = write!(text, "\n{}", history_line(record, &ago(record.began)));
    }
    Ok(Answer::new(json, text))
}

/// The subtrees in which a domain's entries are.
pub(super) fn tops(known: &DomainEntry) -> Vec<Dn> {
    [vec![known.base.clone(), known.dn.clone()], known.further.clone()].concat()
}

fn count(parts: &Parts, base: &Dn) -> Result<u64, String> {
    let mut entries = 0;
    let counted = parts.directory.scan_under(base, &mut |_| {
        entries += 1;
        if entries < COUNTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    counted.map(|()| entries).map_err(|why| why.to_string())
}

/// All sources as if they were one: for programs that do not ask which.
fn joined(all: &[MirrorStatus]) -> Value {
    let mut history: Vec<&SyncRecord> = all.iter().flat_map(|status| &status.history).collect();
    history.sort_by_key(|record| std::cmp::Reverse(record.began));
    let complete = all.iter().map(|status| status.full_at).collect::<Option<Vec<_>>>();
    json!({
        "servers": all.iter().flat_map(servers_json).collect::<Vec<_>>(),
        "followers": all.iter().flat_map(followers_json).collect::<Vec<_>>(),
        // Of several the one that waits longest, or that has none.
        "full_at": complete.and_then(|all| all.into_iter().min()),
        "full_wanted": all.iter().any(|status| status.full_wanted),
        "heard_at": all.iter().filter_map(|status| status.heard_at).max(),
        "refused": all.iter().flat_map(|status| status.refused.iter().map(refused_json)).collect::<Vec<_>>(),
        "history": history,
    })
}

fn status_json(status: &MirrorStatus) -> Value {
    json!({
        "source": status.source,
        "domains": status.domains,
        "servers": servers_json(status),
        "followers": followers_json(status),
        "full_at": status.full_at,
        "full_wanted": status.full_wanted,
        "heard_at": status.heard_at,
        "refused": status.refused.iter().map(refused_json).collect::<Vec<_>>(),
        "history": status.history,
    })
}

fn servers_json(status: &MirrorStatus) -> Vec<Value> {
    status.servers.iter().map(|server| json!({ "server": server.server, "up": server.up })).collect()
}

fn followers_json(status: &MirrorStatus) -> Vec<Value> {
    let followers = status.followers.iter();
    let followers = followers.map(
        |follower| json!({ "base": follower.base, "state": follower.state, "follows": follower.follows }),
    );
    followers.collect()
}

fn refused_json(refused: &RefusedEntry) -> Value {
    json!({ "dn": refused.name, "attribute": refused.attribute, "why": refused.why, "since": refused.since })
}
