//! What is told of plugins, in words for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hooks::{FailureKind, PluginName};
use mail_types::Timestamp;
use plugin_engine::{Absent, Engine, Installation, Listed, Manifest, Played, Replayed, ShadowReport};

use super::age_text;
use super::queue::moment;
use crate::serve::Parts;

/// Most differences that a report for people shows.
const SHOWN_MAX: usize = 20;

fn words<T: ToString>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Why the rows that it builds may be another time others.
fn doubtful_rows(manifest: &Manifest) -> Option<String> {
    let beyond = manifest.beyond_the_entry();
    (!beyond.is_empty()).then(|| plugin_engine::rows_beyond(&beyond))
}

/// What it imports that no server has.
fn foreign(manifest: &Manifest) -> String {
    format!("{}: calling them ends the call", manifest.foreign.join(", "))
}

/// How a version did on what is recorded.
fn tried(done: &Installation) -> String {
    let Installation { replayed, unplayed, different, otherwise_configured, unknown_configured, .. } = done;
    let which = if done.latest || *unplayed > 0 { "the latest " } else { "" };
    let of = if *unplayed > 0 { format!(" of {}", replayed + unplayed) } else { String::new() };
    let mut what = format!("{which}{replayed}{of} recorded calls, {different} came out otherwise");
    // Writing to a String cannot fail.
    if *otherwise_configured > 0 {
        let _ = write!(what, " ({otherwise_configured} were made with another config or allow)");
    }
    if *unknown_configured > 0 {
        let _ = write!(what, " ({unknown_configured} do not say with which config and allow)");
    }
    if *unplayed > 0 {
        let _ = write!(what, "; there was no time for the others: `wasmta plugin replay` plays them all");
    }
    what
}

/// What an installation came to.
pub(super) fn installation(name: &PluginName, done: &Installation) -> String {
    let mut text = format!("{name} {} is installed", done.description.version);
    let Installation {
        manifest,
        before,
        gains,
        loses,
        denied,
        replayed,
        unplayed,
        left_out,
        trial,
        unreadable,
        signed,
        in_force,
        ..
    } = done;
    let mut line = |what: &str, value: String| text.push_str(&format!("\n  {what:<14} {value}"));
    line("digest", manifest.digest.to_string());
    if let Some(signed) = signed {
        line("signed", signed.to_string());
    }
    if let Some(before) = before {
        line("before", before.to_string());
    }
    if done.same_version {
        let version = &done.description.version;
        line("warning", format!("the one before says that it is {version}, too, and has other content"));
    }
    line("roles", words(&manifest.roles));
    line("capabilities", words(&manifest.imports));
    if before.is_some() && !(gains.is_empty() && loses.is_empty()) {
        line("new ones", words(gains));
        line("no longer", words(loses));
    }
    if replayed + unplayed > 0 {
        line("replayed", tried(done));
    }
    if left_out.total() > 0 {
        line("not recorded", left_out.to_string());
    }
    if *unreadable > 0 {
        line("unreadable", format!("{unreadable} lines of what is kept are no recordings, and passed over"));
    }
    if let Some(doubt) = doubtful_rows(manifest) {
        line("warning", doubt);
    }
    if !manifest.foreign.is_empty() {
        line("foreign", foreign(manifest));
    }
    if let Some(trial) = trial {
        line("trial", trial.clone());
    }
    if *in_force && !denied.is_empty() {
        line("not granted", format!("{}: using one ends the call (plugins.{name}.allow)", words(denied)));
    }
    line(
        "in force",
        if *in_force {
            "yes".to_owned()
        } else {
            format!("no: give it a section [plugins.{name}] and `wasmta reload`")
        },
    );
    text
}

pub(super) fn table(engine: &Engine) -> String {
    let mut text = format!(
        "{:<24} {:<10} {:<8} {:<12} {:<16} {:>9} {:>8} {:>8}  state",
        "name", "version", "contract", "digest", "signed by", "calls", "failed", "µs"
    );
    for (name, one) in engine.list() {
        let failed: u64 = one.failures.values().sum();
        let version = one.description.as_ref().map_or("-", |description| description.version.as_str());
        let contract = one.manifest.as_ref().map_or("-", |manifest| manifest.contract.as_str());
        let signed = one.installed.signature().map_or("-", |signed| signed.key.as_str());
        let mut state = state(&one);
        if !one.denied.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(state, "; not granted: {}", words(&one.denied));
        }
        if let Some(candidate) = &one.candidate {
            let _ = write!(state, "; {} is tried beside it", candidate.short());
        }
        let _ = write!(
            text,
            "\n{:<24} {version:<10} {contract:<8} {:<12} {signed:<16} {:>9} {failed:>8} {:>8}  {state}",
            name.as_str(),
            one.installed.active.short(),
            one.calls,
            one.microseconds
        );
    }
    for (name, one) in engine.absent() {
        let _ = write!(
            text,
            "\n{:<24} {:<10} {:<8} {:<12} {:<16} {:>9} {:>8} {:>8}  {}",
            name.as_str(),
            "-",
            "-",
            "-",
            "-",
            0,
            one.missed,
            0,
            absent_state(&one)
        );
    }
    text
}

/// What is told of a plugin that the configuration has, and that is not installed.
fn absent_state(one: &Absent) -> String {
    let why = if one.why.is_empty() { "it is not installed" } else { &one.why };
    if one.domains.is_empty() {
        return why.to_owned();
    }
    let mut bound: Vec<String> = one.domains.iter().take(BOUND_NAMED_MAX).map(ToString::to_string).collect();
    let others = one.domains.len() - bound.len();
    if others > 0 {
        bound.push(format!("{others} more"));
    }
    format!("bound to {}, and {why}", bound.join(", "))
}

/// The same alone.
pub(super) fn absent_card(name: &PluginName, one: &Absent) -> String {
    let mut text = format!("{name}\n  {:<14} {}", "state", absent_state(one));
    if one.missed > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {:<14} {} ({})", "failed", one.missed, FailureKind::Missing);
    }
    text
}

pub(super) fn absent_json(one: &Absent) -> serde_json::Value {
    let domains: Vec<String> = one.domains.iter().map(ToString::to_string).collect();
    let failures =
        if one.missed > 0 { serde_json::json!({ "missing": one.missed }) } else { serde_json::json!({}) };
    serde_json::json!({ "installed": null, "domains": domains, "missing": one.why, "failures": failures })
}

/// Most domains that are named where a plugin is bound, and away.
const BOUND_NAMED_MAX: usize = 3;

/// Most tenants that are named where a plugin rests for some.
const RESTING_NAMED_MAX: usize = 3;

/// Whether it is in force, and for whom it rests.
fn state(one: &Listed) -> String {
    if let Some(why) = &one.missing {
        return why.clone();
    }
    if one.resting.is_empty() {
        return "in force".to_owned();
    }
    let named = one.resting.iter().take(RESTING_NAMED_MAX).map(|(tenant, left)| {
        let tenant = tenant.as_ref().map_or("the server itself", mail_types::Domain::as_str);
        format!("{tenant} ({left} s more)")
    });
    let mut text = format!("in force; rests for {}", named.collect::<Vec<_>>().join(", "));
    let others = one.resting.len().saturating_sub(RESTING_NAMED_MAX);
    if others > 0 {
        text.push_str(&format!(" and {others} other tenants"));
    }
    text
}

/// Everything known of one plugin.
pub(super) fn card(parts: &Parts, name: &PluginName, one: &Listed) -> String {
    let mut text = name.to_string();
    let mut line = |what: &str, value: String| text.push_str(&format!("\n  {what:<14} {value}"));
    if let Some(description) = &one.description {
        line("version", description.version.clone());
        line("summary", description.summary.clone());
    }
    let installed = &one.installed;
    line("digest", installed.active.to_string());
    line("signed", installed.signature().map_or_else(|| "by nobody".to_owned(), ToString::to_string));
    line("source", installed.source.clone());
    let at = Timestamp(0).plus(std::time::Duration::from_secs(installed.installed_at));
    let ago = age_text(parts.clock.now().since(at));
    line("installed", format!("{} ({ago} ago)", moment(at)));
    line("before", words(&installed.previous));
    line("state", state(one));
    if let Some(manifest) = &one.manifest {
        line("roles", words(&manifest.roles));
        line("capabilities", words(&manifest.imports));
        if !one.denied.is_empty() {
            line(
                "not granted",
                format!("{}: using one ends the call (plugins.{name}.allow)", words(&one.denied)),
            );
        }
        if let Some(doubt) = doubtful_rows(manifest) {
            line("warning", doubt);
        }
        if !manifest.foreign.is_empty() {
            line("foreign", foreign(manifest));
        }
        let pure = if manifest.is_pure() { "yes: answers may be remembered" } else { "no" };
        line("pure", pure.to_owned());
        line("contract", format!("wasmta:policy {}", manifest.contract));
        line("size", crate::config::size_text(manifest.size));
        line("made of", manifest.parts());
    }
    if let Some(description) = &one.description {
        for (role, selector) in &description.interests {
            line("interest", format!("{role} {selector}"));
        }
        if let Some(names) = &description.entry_attributes {
            line(
                "reads",
                format!("of a user's entry: {}", if names.trim().is_empty() { "nothing" } else { names }),
            );
        }
    }
    let Listed { calls, remembered, passed_over, microseconds, failures, left_out, candidate, .. } = one;
    line(
        "calls",
        format!("{calls}, {microseconds} µs each; {remembered} remembered, {passed_over} passed over"),
    );
    for (kind, count) in failures {
        line("failed", format!("{count} ({kind})"));
    }
    if left_out.total() > 0 {
        line("not recorded", left_out.to_string());
    }
    if let Some(candidate) = candidate {
        line("trial", format!("{candidate} answers beside it: `wasmta plugin shadow {name} report`"));
    }
    text
}

pub(super) fn shadow(report: &ShadowReport) -> String {
    let ShadowReport { digest, same, different, left_out, too_large, differences } = report;
    let mut text =
        format!("{digest}: {same} answers the same, {different} otherwise, {left_out} calls left out");
    if *too_large > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {too_large} that are larger than a recording may be");
    }
    for one in differences.iter().rev().take(SHOWN_MAX) {
        let _ = write!(
            text,
            "\n{} {}\n  asked      {}\n  in force   {}\n  candidate  {}",
            moment(Timestamp(one.live.at)),
            one.live.id,
            short(&one.live.question),
            short(&one.live.answer),
            short(&one.candidate)
        );
    }
    text
}

pub(super) fn replay(played: &Played, is_candidate: bool) -> String {
    let Played { calls, older, unreadable, otherwise_configured, unknown_configured, left_out } = played;
    let mut different: Vec<&Replayed> = Vec::new();
    let mut not_played: BTreeMap<&str, usize> = BTreeMap::new();
    for one in calls.iter().filter(|one| !one.is_same()) {
        match &one.answer {
            Err((_, why)) if !one.is_played() => *not_played.entry(why).or_default() += 1,
            _ => different.push(one),
        }
    }
    let count = calls.len() - not_played.values().sum::<usize>();
    let mut text = format!("{count} calls played, {} came out otherwise", different.len());
    for (why, count) in not_played {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{count} calls not played: {why}");
    }
    if *older {
        text.push_str("\nolder ones are left out: choose with --id or --since");
    }
    if *unreadable > 0 {
        let _ = write!(text, "\n{unreadable} lines of what is kept are no recordings, and passed over");
    }
    if *otherwise_configured > 0 {
        let with = if is_candidate { "those of now" } else { "theirs" };
        let _ = write!(
            text,
            "\n{otherwise_configured} calls were made with another config or allow than now: played with {with}"
        );
    }
    if *unknown_configured > 0 {
        let _ = write!(
            text,
            "\n{unknown_configured} calls do not say with which config and allow they were made: played with those of now"
        );
    }
    if left_out.total() > 0 {
        let _ = write!(text, "\n{left_out}");
    }
    for one in different.into_iter().take(SHOWN_MAX) {
        let _ = write!(
            text,
            "\n{} {}\n  asked     {}\n  recorded  {}\n  now       {}",
            moment(Timestamp(one.recording.at)),
            one.recording.id,
            short(&one.recording.question),
            short(&one.recording.answer),
            short(&one.answer)
        );
    }
    text
}

/// JSON on one line, as far as a terminal wants it.
fn short(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let cut: String = text.chars().take(500).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of an installation of a component with such imports, on which three calls were played.
    fn told(foreign: &[&str], (unplayed, unknown): (usize, usize), left_out: serde_json::Value) -> String {
        let json = serde_json::json!({
            "description": {
                "name": "policy", "version": "1.0.0", "summary": "", "config_schema": "", "interests": [],
                "entry_attributes": null
            },
            "manifest": {
                "digest": "0".repeat(64), "size": 1, "roles": ["rewrite"], "imports": [], "foreign": foreign,
                "contract": "1.0.0", "core_instances": 1, "memories": 1, "tables": 1, "memory": 1
            },
            "before": null, "gains": [], "loses": [], "denied": [], "replayed": 3, "unplayed": unplayed,
            "different": 0,
            "unknown_configured": unknown, "left_out": left_out, "signed": null, "in_force": true
        });
        installation(&"policy".parse().unwrap(), &serde_json::from_value(json).unwrap())
    }

    #[test]
    fn an_installation_tells_what_will_not_work_and_what_was_not_tried() {
        let none = serde_json::json!({"too_large": 0, "unanswered": 0, "unwritten": 0});
        let text = told(&["wasi:cli/exit@0.2.12"], (0, 0), none.clone());
        assert!(
            text.contains("\n  foreign        wasi:cli/exit@0.2.12: calling them ends the call\n"),
            "{text}"
        );
        assert!(!told(&[], (0, 0), none.clone()).contains("not recorded"));
        let text = told(&[], (7, 0), none);
        assert!(
            text.contains("the latest 3 of 10 recorded calls, 0 came out otherwise; there was no"),
            "{text}"
        );
        let text = told(&[], (0, 2), serde_json::json!({"too_large": 4, "unanswered": 1, "unwritten": 0}));
        for expected in [
            "3 recorded calls, 0 came out otherwise (2 do not say with which config and allow)",
            "5 calls were not recorded since the server began: 4 with more than a recording holds",
            "1 without place or answer in time",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
