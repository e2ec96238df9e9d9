//! Plugins: installing, looking, going back, trying beside, playing again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hooks::{PluginName, Role};
use mail_types::Timestamp;
use plugin_engine::{COMPONENT_MAX, Digest, DomainPattern, Offered, SIGNATURE_MAX};
use routing::tables::WaitingOf;

use super::plugin_told::{absent_card, absent_json, card, installation, replay, shadow, table};
use super::{plugin_uses, waiting};
use crate::control::{Answer, PluginRequest};
use crate::serve::Parts;

/// Most domains of a plugin that is away whose waiting entries are told.
const DOMAINS_TOLD_MAX: usize = 20;

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
            let given = Given::read(file.clone(), signature).await?;
            let name = name.as_deref().map(plugin_name).transpose()?;
            let pin = digest.as_deref().map(Digest::parse).transpose()?;
            let done = engine.install(given.offered(), name.clone(), pin, &source, force).await;
            let done = done.map_err(|unfit| format!("{}: {unfit}", file.display()))?;
            let name = name.unwrap_or_else(|| done.description.name.clone());
            answer(&done, installation(&name, &done))
        }
        PluginRequest::List => {
            let all = engine.list();
            let absent = engine.absent();
            let none = all.is_empty() && absent.is_empty();
            let text = if none { "no plugins are installed".to_owned() } else { table(engine) };
            let mut listed = answer(&all, text)?;
            for (name, one) in &absent {
                listed.json[name.as_str()] = absent_json(one);
            }
            Ok(listed)
        }
        PluginRequest::Inspect { name } => inspect(parts, &plugin_name(&name)?),
        PluginRequest::Enable { name, enabled } => enable(parts, &plugin_name(&name)?, enabled).await,
        PluginRequest::RollBack { name } => {
            let name = plugin_name(&name)?;
            let digest = engine.roll_back(&name).await.map_err(|unfit| unfit.to_string())?;
            Ok(Answer::done(format!("{name} went back to {digest}")))
        }
        PluginRequest::Remove { name, kv } => remove(parts, &plugin_name(&name)?, kv).await,
        PluginRequest::ShadowBegin { name, file, signature } => {
            let name = plugin_name(&name)?;
            let given = Given::read(file, signature).await?;
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
            let given = match file {
                Some(file) => Some(Given::read(file, signature).await?),
                None => None,
            };
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

/// Removes a plugin, and tells what fails then, and what stays.
async fn remove(parts: &Parts, name: &PluginName, with_kv: bool) -> Result<Answer, String> {
    let engine = &parts.plugins;
    if with_kv && !engine.list().contains_key(name) {
        let values = engine.forget_kv(name).await.map_err(|unfit| unfit.to_string())?;
        let text = format!("{name} was not installed; {values} values that it kept are removed");
        return Ok(Answer { faulty: values == 0, ..Answer::done(text) });
    }
    // Before nobody knows any more what roles it had.
    let fails = plugin_uses::without(parts, name).await;
    let kept = engine.remove(name).await.map_err(|unfit| unfit.to_string())?;
    let (with, mut faulty) = match &kept {
        None => (", with what was recorded of it".to_owned(), false),
        Some(unfit) => (format!(", but {unfit}"), true),
    };
    let mut text = format!("{name} is removed{with}; its section in the configuration stays");
    if with_kv {
        match engine.forget_kv(name).await {
            Ok(values) => text.push_str(&format!("\n  {values} values that it kept are removed, too")),
            Err(unfit) => {
                faulty = true;
                text.push_str(&format!("\n  but {unfit}"));
            }
        }
    } else if engine.keeps_kv(name) {
        text.push_str(&format!(
            "\n  what it kept (kv) stays for a plugin of this name: `wasmta plugin remove {name} --kv` removes that, too"
        ));
    }
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
    let (mut given, is_away) = match parts.plugins.list().remove(name) {
        Some(listed) => {
            let is_away = listed.missing.is_some();
            (answer(&listed, card(parts, name, &listed))?, is_away)
        }
        None => {
            let absent = parts.plugins.absent().remove(name);
            let absent = absent.ok_or_else(|| format!("there is no plugin {name}: `wasmta plugin list`"))?;
            (Answer { json: absent_json(&absent), ..Answer::done(absent_card(name, &absent)) }, true)
        }
    };
    let waiting = waiting::waiting(parts, WaitingOf::Plugin(name.as_str()))?;
    let mut lines = waiting::lines(&waiting, WaitingOf::Plugin(name.as_str()));
    if is_away {
        lines.extend(waiting_domains(parts, name)?);
    }
    for line in lines {
        // Writing to a String cannot fail.
        let _ = write!(given.text, "\n  {:<14} {line}", "rows");
    }
    given.json["rows"] = serde_json::to_value(&waiting).map_err(|e| e.to_string())?;
    Ok(given)
}

/// Of a builder that is away: the domains that it is bound to by name whose entries wait for it. It failed on none of them.
fn waiting_domains(parts: &Parts, name: &PluginName) -> Result<Vec<String>, String> {
    let manifest = parts.plugins.stand(name).and_then(|stand| stand.manifest);
    let Some(settings) = parts.plugins.settings_of(name) else { return Ok(Vec::new()) };
    if !plugin_engine::bound_roles(&settings, manifest.as_ref()).contains(&Role::RouteTable) {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for pattern in settings.domains.iter().take(DOMAINS_TOLD_MAX) {
        let DomainPattern::Is(domain) = pattern else { continue };
        let found = waiting::waiting(parts, WaitingOf::Domain(domain.as_str()))?;
        lines.extend(
            waiting::lines(&found, WaitingOf::Domain(domain.as_str()))
                .into_iter()
                .next()
                .map(|line| format!("{domain}: {line}")),
        );
    }
    Ok(lines)
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
    /// Whatever the files are, and however slow their disk: sessions wait for the thread that this is asked on.
    async fn read(component: PathBuf, signature: Option<PathBuf>) -> Result<Self, String> {
        let reading = tokio::task::spawn_blocking(move || Self::read_here(&component, signature.as_deref()));
        reading.await.map_err(|e| e.to_string())?
    }

    fn read_here(component: &Path, signature: Option<&Path>) -> Result<Self, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipe_in_the_place_of_a_component_or_signature_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::write(&file, "octets").unwrap();
        for (component, signature) in [(&pipe, None), (&file, Some(pipe.clone()))] {
            let read = Given::read(component.clone(), signature);
            let read = tokio::time::timeout(std::time::Duration::from_secs(10), read).await;
            let why = read.expect("nothing is waited for").err().unwrap();
            assert!(why.contains("no regular file") && why.contains("into a file first"), "{why}");
        }
    }

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
