//! `wasmta plugin run`: one call, with everything that there is to see of it.

use std::path::PathBuf;

use hooks::Role;
use mail_types::ChannelName;
use plugin_engine::{Candidate, Profile};
use serde_json::json;

use crate::cases::Cases;
use crate::draft::Draft;
use crate::expectation::given;
use crate::outcome::{Outcome, columns, size_text};
use crate::place;
use crate::trying::stage;

/// A call from the shell.
#[derive(Debug, Clone)]
pub struct SingleCall {
    /// A component, or a plugin's folder.
    pub path: PathBuf,
    /// The role that is asked.
    pub role: Role,
    /// The question.
    pub draft: Draft,
    /// Configuration, secrets, tables and the like, as in `cases.toml`; none: those of the folder.
    pub with: Option<PathBuf>,
    /// Channels that it may route to, beside those of that file.
    pub channels: Vec<String>,
    /// From which its chance is drawn.
    pub seed: u64,
}

/// Asks once.
///
/// # Errors
/// There is nothing to ask, or the component is not one that a server takes.
pub async fn run(call: &SingleCall) -> Result<Outcome, String> {
    let place = place::find(&call.path)?;
    let octets = place::read(&place)?;
    let mut around = match call.with.as_ref().or(place.cases.as_ref()) {
        Some(file) => Cases::load(file)?.surroundings,
        None => Cases::parse("", "")?.surroundings,
    };
    around.channels.extend(call.channels.iter().map(|name| ChannelName::new(name)));
    let shown = place.component.display();
    let told = |what: String| format!("{shown}: {what}");
    let candidate = Candidate::compile(&octets, Profile::Serving).map_err(|unfit| told(unfit.to_string()))?;
    let manifest = candidate.manifest();
    if !manifest.roles.contains(&call.role) {
        let roles: Vec<&str> = manifest.roles.iter().map(|role| role.as_str()).collect();
        return Err(told(format!(
            "it does not have the role {}; its roles: {}",
            call.role,
            roles.join(", ")
        )));
    }
    call.draft.check(call.role)?;
    around.fit(&candidate).await?;
    let stage = stage(&candidate, &around).await.map_err(told)?;
    let drafted = call.draft.question(call.role);
    let asked = stage.ask(&drafted, call.seed, true).await?;
    let interested = stage.trial().is_interested(&drafted.question);
    let lines = given(&asked, false);
    let question = serde_json::to_value(&drafted.question).map_err(|error| error.to_string())?;
    let report = &asked.report;
    let mut rows = vec![vec!["asked".to_owned(), question.to_string()]];
    if !interested {
        let note = "no interest in describe() matches: a server would not ask this";
        rows.push(vec!["note".to_owned(), note.to_owned()]);
    }
    let none = ["nothing".to_owned()];
    let answers = if lines.is_empty() { &none[..] } else { &lines[..] };
    rows.extend(answers.iter().map(|line| vec!["answer".to_owned(), line.clone()]));
    rows.extend(
        report.log.iter().map(|line| vec!["log".to_owned(), format!("{} {}", line.level, line.text)]),
    );
    rows.extend(
        report
            .backtrace
            .iter()
            .enumerate()
            .map(|(at, line)| vec![if at == 0 { "backtrace" } else { "" }.to_owned(), line.clone()]),
    );
    let used = format!(
        "{} µs with its instance, {} of memory, {} calls to the host",
        report.microseconds,
        size_text(report.memory),
        report.host_calls
    );
    rows.push(vec!["used".to_owned(), used]);
    let raw = asked.answer.as_ref().ok();
    let json = json!({
        "question": question, "answer": lines, "raw": raw, "interested": interested, "report": report,
    });
    Ok(Outcome { text: columns(&rows), json, good: asked.checked.is_ok() })
}
