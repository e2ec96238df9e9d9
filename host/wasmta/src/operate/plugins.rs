//! Plugins: installing, looking, going back, trying beside, playing again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use hooks::PluginName;
use mail_types::Timestamp;
use plugin_engine::{
    COMPONENT_MAX, Digest, Engine, Installation, Listed, Manifest, Offered, Played, Replayed, SIGNATURE_MAX,
    ShadowReport,
};
use routing::tables::WaitingOf;

use super::age_text;
use super::queue::moment;
use super::{plugin_uses, waiting};
use crate::control::{Answer, PluginRequest};
use crate::serve::Parts;

/// Most differences that a report for people shows.
const SHOWN_MAX: usize = 20;

/// Performs a request about plugins; where it changed what is in force, the tables have followed.
pub(super) async fn perform(parts: &Parts, request: PluginRequest) -> Result<Answer, String> {
    use PluginRequest::{Enable, Install, Remove, RollBack};
    let changes = matches!(request, Install { .. } | Enable { .. } | RollBack { .. } | Remove { .. });
    let before = if changes { parts.plugins.in_force() } else { BTreeMap::new() };
    let disabled = parts.plugins.list().into_iter().filter(|(_, one)| changes && !one.installed.enabled);
    let disabled: Vec<PluginName> = disabled.map(|(name, _)| name).collect();
    let installs = matches!(request, Install { .. });
    let mut answer = answered(parts, request).await?;
    for (name, now) in parts.plugins.in_force() {
        if before.get(&name).is_some_and(|before| before.settings() != now.settings()) {
            let text = if parts.plugins.is_offered(now.settings()) {
                format!("[plugins.{name}] is in force with it, as the file has it now")
            } else {
                format!(
                    "[plugins.{name}] is in force as this version last had it, and the file says otherwise: mend the file \
                     before the next reload or start"
                )
            };
            answer.text.push_str(&format!("\n{text}"));
        }
        if installs && disabled.contains(&name) {
            answer.text.push_str(&format!("\n{name} was disabled, and is enabled now"));
        }
    }
    Ok(match if changes { parts.follow_plugins().await } else { Ok(()) } {
        Ok(()) => answer,
        Err(why) => behind(answer, &why),
    })
}

/// What was done where the tables could not follow: that stands, and is told with the rest.
fn behind(mut answer: Answer, why: &str) -> Answer {
    answer.faulty = true;
    answer.text.push_str(&format!(
        "\nbut mail does not go by it yet: {why}; mend that, and the tables follow at `wasmta reload`"
    ));
    if let Some(json) = answer.json.as_object_mut() {
        json.insert("tables".to_owned(), why.into());
    }
    answer
}

async fn answered(parts: &Parts, request: PluginRequest) -> Result<Answer, String> {
    let engine = &parts.plugins;
    match request {
        PluginRequest::Install { file, name, digest, source, signature, force } => {
            let given = Given::read(&file, signature.as_deref())?;
            let name = name.as_deref().map(plugin_name).transpose()?;
            let pin = digest.as_deref().map(Digest::parse).transpose()?;
            let done = engine.install(given.offered(), name.clone(), pin, &source, force).await;
            let done = done.map_err(|unfit| format!("{}: {unfit}", file.display()))?;
            let name = name.unwrap_or_else(|| done.description.name.clone());
            answer(&done, installation(&name, &done))
        }
        PluginRequest::List => {
            let all = engine.list();
            let text = if all.is_empty() { "no plugins are installed".to_owned() } else { table(engine) };
            answer(&all, text)
        }
        PluginRequest::Inspect { name } => inspect(parts, &plugin_name(&name)?),
        PluginRequest::Enable { name, enabled } => enable(parts, &plugin_name(&name)?, enabled).await,
        PluginRequest::RollBack { name } => {
            let name = plugin_name(&name)?;
            let digest = engine.roll_back(&name).await.map_err(|unfit| unfit.to_string())?;
            Ok(Answer::done(format!("{name} went back to {digest}")))
        }
        PluginRequest::Remove { name } => remove(parts, &plugin_name(&name)?).await,
        PluginRequest::ShadowBegin { name, file, signature } => {
            let name = plugin_name(&name)?;
            let given = Given::read(&file, signature.as_deref())?;
            let manifest =
                engine.shadow_begin(&name, given.offered()).await.map_err(|unfit| unfit.to_string())?;
            let text = format!("{} answers beside {name}, without effect", manifest.digest);
            answer(&manifest, text)
        }
        PluginRequest::ShadowReport { name, end } => {
            let report =
                engine.shadow_report(&plugin_name(&name)?, end).map_err(|unfit| unfit.to_string())?;
            let text = shadow(&report);
            answer(&report, text)
        }
        PluginRequest::Replay { name, file, signature, id, since } => {
            let name = plugin_name(&name)?;
            let given = file.map(|file| Given::read(&file, signature.as_deref())).transpose()?;
            let is_candidate = given.is_some();
            let now = parts.clock.now();
            let chosen = move |recording: &plugin_engine::Recording| {
                id.as_ref().is_none_or(|id| *id == recording.id)
                    && since.is_none_or(|since| now.since(Timestamp(recording.at)).as_secs() <= since)
            };
            let played = engine.replay(&name, given.as_ref().map(Given::offered), chosen).await;
            let played = played.map_err(|unfit| unfit.to_string())?;
            let text = replay(&played, is_candidate);
            // What could not be played shows no fault of anybody, unless nothing else is there to look at.
            let mut ran = played.calls.iter().filter(|one| one.is_played()).peekable();
            let faulty = ran.peek().is_none() || ran.any(|one| !one.is_same());
            Ok(Answer { faulty, ..answer(&played.calls, text)? })
        }
    }
}

/// Lets a plugin be asked, or not, and tells what fails then.
async fn enable(parts: &Parts, name: &PluginName, enabled: bool) -> Result<Answer, String> {
    parts.plugins.enable(name, enabled).await.map_err(|unfit| unfit.to_string())?;
    if enabled {
        return Ok(Answer::done(format!("{name} is enabled")));
    }
    let fails = plugin_uses::without(parts, name).await;
    Ok(Answer::done(with_warnings(format!("{name} is disabled"), &fails)))
}

/// Removes a plugin, and tells what fails then.
async fn remove(parts: &Parts, name: &PluginName) -> Result<Answer, String> {
    // Before nobody knows any more what roles it had.
    let fails = plugin_uses::without(parts, name).await;
    let kept = parts.plugins.remove(name).await.map_err(|unfit| unfit.to_string())?;
    let (with, faulty) = match &kept {
        None => (", with what was recorded of it".to_owned(), false),
        Some(unfit) => (format!(", but {unfit}"), true),
    };
    let text = format!("{name} is removed{with}; its section in the configuration stays");
    Ok(Answer { faulty, ..Answer::done(with_warnings(text, &fails)) })
}

fn with_warnings(mut text: String, warnings: &[String]) -> String {
    for warning in warnings {
        text.push_str("\n  warning: ");
        text.push_str(warning);
    }
    text
}

/// Everything known of one plugin, with the entries that wait for it.
fn inspect(parts: &Parts, name: &PluginName) -> Result<Answer, String> {
    let listed = parts.plugins.list().remove(name);
    let listed = listed.ok_or_else(|| format!("there is no plugin {name}: `wasmta plugin list`"))?;
    let waiting = waiting::waiting(parts, WaitingOf::Plugin(name.as_str()))?;
    let mut text = card(parts, name, &listed);
    for line in waiting::lines(&waiting) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {:<14} {line}", "rows");
    }
    let mut given = answer(&listed, text)?;
    given.json["rows"] = serde_json::to_value(&waiting).map_err(|e| e.to_string())?;
    Ok(given)
}

fn answer(json: &impl serde::Serialize, text: String) -> Result<Answer, String> {
    Ok(Answer { json: serde_json::to_value(json).map_err(|e| e.to_string())?, text, faulty: false })
}

fn plugin_name(text: &str) -> Result<PluginName, String> {
    text.parse().map_err(|error: hooks::NameError| error.to_string())
}

/// A component and its signature, read from files.
struct Given {
    octets: Vec<u8>,
    signature: Option<String>,
}

impl Given {
    fn read(component: &Path, signature: Option<&Path>) -> Result<Self, String> {
        let read = |file: &Path, max: u64, what: &str| {
            runtime::files::read(file, max)
                .map_err(|e| format!("{}: {e}; give a {what} that the server may read", file.display()))
        };
        let octets = read(component, COMPONENT_MAX as u64, "component")?;
        // Whether it is one, the engine says.
        let signature = signature.map(|file| read(file, SIGNATURE_MAX, "signature")).transpose()?;
        let signature = signature.map(|octets| String::from_utf8_lossy(&octets).into_owned());
        Ok(Self { octets, signature })
    }

    fn offered(&self) -> Offered<'_> {
        Offered { octets: &self.octets, signature: self.signature.as_deref() }
    }
}

fn words<T: ToString>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Why the rows that it builds may be another time others.
fn doubtful_rows(manifest: &Manifest) -> Option<String> {
    let beyond = manifest.beyond_the_entry();
    (!beyond.is_empty()).then(|| plugin_engine::rows_beyond(&beyond))
}

/// What an installation came to.
fn installation(name: &PluginName, done: &Installation) -> String {
    let mut text = format!("{name} {} is installed", done.description.version);
    let Installation {
        manifest,
        before,
        gains,
        loses,
        denied,
        replayed,
        different,
        otherwise_configured,
        latest,
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
    line("roles", words(&manifest.roles));
    line("capabilities", words(&manifest.imports));
    if before.is_some() && !(gains.is_empty() && loses.is_empty()) {
        line("new ones", words(gains));
        line("no longer", words(loses));
    }
    if *replayed > 0 {
        let which = if *latest { "the latest " } else { "" };
        let mut what = format!("{which}{replayed} recorded calls, {different} came out otherwise");
        if *otherwise_configured > 0 {
            let _ = write!(what, " ({otherwise_configured} were made with another config or allow)");
        }
        line("replayed", what);
    }
    if *unreadable > 0 {
        line("unreadable", format!("{unreadable} lines of what is kept are no recordings, and passed over"));
    }
    if let Some(doubt) = doubtful_rows(manifest) {
        line("warning", doubt);
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

fn table(engine: &Engine) -> String {
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
        let _ = write!(
            text,
            "\n{:<24} {version:<10} {contract:<8} {:<12} {signed:<16} {:>9} {failed:>8} {:>8}  {state}",
            name.as_str(),
            one.installed.active.short(),
            one.calls,
            one.microseconds
        );
    }
    text
}

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
fn card(parts: &Parts, name: &PluginName, one: &Listed) -> String {
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
            line("foreign", format!("{}: calling them ends the call", manifest.foreign.join(", ")));
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
    let Listed { calls, remembered, passed_over, microseconds, failures, .. } = one;
    line(
        "calls",
        format!("{calls}, {microseconds} µs each; {remembered} remembered, {passed_over} passed over"),
    );
    for (kind, count) in failures {
        line("failed", format!("{count} ({kind})"));
    }
    text
}

fn shadow(report: &ShadowReport) -> String {
    let ShadowReport { digest, same, different, left_out, differences } = report;
    let mut text =
        format!("{digest}: {same} answers the same, {different} otherwise, {left_out} calls left out");
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

fn replay(played: &Played, is_candidate: bool) -> String {
    let Played { calls, older, unreadable, otherwise_configured } = played;
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

    #[test]
    fn a_change_that_the_tables_do_not_follow_is_told_as_made() {
        let answer =
            Answer { json: serde_json::json!({"in_force": true}), ..Answer::done("srs is installed") };
        let told = behind(answer, "the tables: the disk is full");
        assert!(told.faulty);
        assert!(
            told.text.starts_with(
                "srs is installed\nbut mail does not go by it yet: the tables: the disk is full"
            )
        );
        assert_eq!(
            told.json,
            serde_json::json!({"in_force": true, "tables": "the tables: the disk is full"})
        );
    }
}
