//! `wasmta plugin check`: what a component is, whether a server would take it, and what an author should mend.

use std::collections::BTreeSet;
use std::path::Path;

use hooks::{FailureKind, PluginName, Role};
use plugin_engine::{
    COMPONENT_MAX, Candidate, Capability, Description, Limits, MEMORY_MAX, Manifest, Profile, Settings,
};
use serde_json::{Value as Json, json};

use crate::cases::{Case, Cases};
use crate::outcome::{Outcome, columns, size_text};
use crate::place::{self, Place};
use crate::schema;
use crate::stage::Stage;
use crate::trying::name;

/// The summary of a new project, which says nothing.
const EMPTY_SUMMARY: &str = "What it does, in one sentence for operators.";

/// Something that is not as it should be.
struct Problem {
    /// A server does not take it; else it is told, and the component is good.
    error: bool,
    what: String,
    mend: String,
}

impl Problem {
    fn error(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { error: true, what: what.into(), mend: mend.into() }
    }

    fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { error: false, what: what.into(), mend: mend.into() }
    }
}

/// Checks a component.
///
/// # Errors
/// There is nothing to look at, or its cases cannot be read.
pub async fn check(path: &Path) -> Result<Outcome, String> {
    let place = place::find(path)?;
    let octets = place::read(&place)?;
    let cases = place.cases.as_deref().map(Cases::load).transpose()?;
    let mut problems = Vec::new();
    if place.stale {
        let mend = format!("wasmta plugin build {}", path.display());
        problems.push(Problem::warning("sources are newer than the component", mend));
    }
    let candidate = match Candidate::compile(&octets, Profile::Serving) {
        Ok(candidate) => candidate,
        Err(unfit) => {
            problems.push(Problem::error(unfit.what, unfit.mend));
            return Ok(report(&place, None, None, &octets, &problems));
        }
    };
    let manifest = candidate.manifest();
    let limits = cases.as_ref().map_or_else(Limits::default, |cases| cases.surroundings.limits.clone());
    problems.extend(of_manifest(manifest, &limits));
    let mut settings = Settings::new(name()?);
    settings.limits.memory = limits.memory;
    let description = match candidate.describe(settings).await {
        Ok(description) => {
            problems.extend(of_description(&description, manifest, cases.as_ref()));
            problems.extend(other_name(path, &description));
            Some(description)
        }
        Err(unfit) => {
            problems.push(Problem::error(unfit.what, unfit.mend));
            None
        }
    };
    if let Some(cases) = cases.filter(|_| problems.iter().all(|problem| !problem.error)) {
        problems.extend(unused(&candidate, &cases).await?);
    }
    Ok(report(&place, Some(manifest), description.as_ref(), &octets, &problems))
}

fn of_manifest(manifest: &Manifest, limits: &Limits) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !manifest.foreign.is_empty() {
        let what = format!(
            "it imports {}: they are there by name, but every call of them ends the plugin's call",
            manifest.foreign.join(", ")
        );
        let mend = "build it without a system: wasm32-unknown-unknown in Rust, --wasi-adapter none in C, --stub-wasi \
                    in JavaScript and Python";
        problems.push(Problem::warning(what, mend));
    }
    let has = |capability: &Capability| manifest.imports.contains(capability);
    let named = |some: &[Capability]| {
        some.iter().filter(|one| has(one)).map(|one| one.as_str()).collect::<Vec<_>>().join(", ")
    };
    let message = named(&[Capability::Headers, Capability::Body]);
    if !message.is_empty() && !manifest.roles.contains(&Role::Disposition) {
        let what = format!("it imports {message}, which only disposition may use");
        problems.push(Problem::warning(what, "take it out of wit/world.wit"));
    }
    let outside =
        [Capability::Lookup, Capability::Dns, Capability::Kv, Capability::Clock, Capability::Random];
    let outside = named(&outside);
    if manifest.roles == [Role::RouteTable] && !outside.is_empty() {
        let what = format!(
            "route-table may depend on the entry, the domain and the configuration alone; it imports {outside}"
        );
        problems.push(Problem::warning(what, "take it out of wit/world.wit"));
    }
    if manifest.memory > limits.memory {
        let (begins, max) = (size_text(manifest.memory), size_text(limits.memory));
        let what = format!(
            "it begins with {begins} of memory, more than the {max} that it may have (limits.memory)"
        );
        problems
            .push(Problem::error(what, "make its stack and static data smaller, or have the limit raised"));
    } else if manifest.memory > limits.memory / 4 * 3 {
        let (begins, max) = (size_text(manifest.memory), size_text(limits.memory));
        let what =
            format!("it begins with {begins} of memory, of the {max} that it may have (limits.memory)");
        problems
            .push(Problem::warning(what, "make its stack and static data smaller, or have the limit raised"));
    }
    problems
}

fn of_description(description: &Description, manifest: &Manifest, cases: Option<&Cases>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let config = cases.map(|cases| &cases.surroundings.config);
    let place = cases.map_or("", |cases| &cases.surroundings.config_place);
    for what in description.faults(None) {
        problems.push(Problem::error(what, "mend describe()"));
    }
    if problems.is_empty() {
        for what in description.faults(config) {
            problems.push(Problem::error(
                format!("the configuration of {place}: {what}"),
                "mend [config], or the schema",
            ));
        }
    }
    for (role, _) in &description.interests {
        if role.parse::<Role>().is_ok_and(|role| !manifest.roles.contains(&role)) {
            let what = format!("describe() has an interest of {role}, a role that it does not export");
            problems.push(Problem::warning(what, "take the interest out, or export the role"));
        }
    }
    if description.version.split('.').filter(|part| part.parse::<u32>().is_ok()).count() != 3 {
        let what = format!("its version is {:?}", description.version);
        problems.push(Problem::warning(what, "write it as 1.2.3, so that operators can tell versions apart"));
    }
    if description.summary.is_empty() || description.summary == EMPTY_SUMMARY {
        problems.push(Problem::warning("its summary says nothing", "say in describe() what it does"));
    }
    if description.config_schema.trim().is_empty() && manifest.imports.contains(&Capability::Config) {
        let what = "it imports config, and has no config-schema: so every key is refused, and only secrets are there";
        problems.push(Problem::warning(what, "give it a schema, or take config out of wit/world.wit"));
    }
    problems
}

/// A project that was copied carries the name of where it came from, and would take its place.
fn other_name(path: &Path, description: &Description) -> Option<Problem> {
    let folder = std::path::absolute(path).ok().filter(|path| path.is_dir())?;
    let folder: PluginName = folder.file_name()?.to_str()?.parse().ok()?;
    let name = &description.name;
    let what = format!(
        "describe() calls it {name}, and its folder {folder}: installed, it takes the place of a plugin {name}"
    );
    let mend = format!("call it {folder} in describe(), or `wasmta plugin install --name {folder}`");
    (folder != *name).then(|| Problem::warning(what, mend))
}

/// Imports that no case uses, as far as the cases show: whatever is withheld and asked for ends a call by name.
async fn unused(candidate: &Candidate, cases: &Cases) -> Result<Vec<Problem>, String> {
    if cases.cases.is_empty() {
        let what = "it has no cases, so that nobody knows what it does";
        return Ok(vec![Problem::warning(what, "write cases.toml; wasmta plugin docs has its format")]);
    }
    let mut withheld: BTreeSet<Capability> = candidate.manifest().imports.iter().copied().collect();
    loop {
        let stage =
            Stage::set(candidate, &name()?, cases.surroundings.clone(), cases.tenants(), &withheld).await?;
        let before = withheld.len();
        for case in &cases.cases {
            if let Some(used) = denied(&stage, case).await? {
                withheld.remove(&used);
            }
        }
        if withheld.len() == before || withheld.is_empty() {
            break;
        }
    }
    let problem = |capability: &Capability| {
        let what = format!("it imports {capability}, which none of its cases uses");
        Problem::warning(
            what,
            format!(
                "take it out of wit/world.wit, or show by a case what it is for: operators have to grant {capability}"
            ),
        )
    };
    Ok(withheld.iter().map(problem).collect())
}

/// The capability that a case asked for in vain.
async fn denied(stage: &Stage, case: &Case) -> Result<Option<Capability>, String> {
    let asked = stage.ask(&case.draft.question(case.role), 0, true).await?;
    let Err((FailureKind::Denied, why)) = asked.answer else { return Ok(None) };
    let interface = why.split("wasmta:policy/").nth(1).and_then(|rest| rest.split(['@', '#']).next());
    Ok(interface.and_then(|name| name.parse().ok()))
}

fn report(
    place: &Place,
    manifest: Option<&Manifest>,
    description: Option<&Description>,
    octets: &[u8],
    problems: &[Problem],
) -> Outcome {
    let shown = place.component.display().to_string();
    let mut lines = vec![shown.clone()];
    let mut rows = vec![row(
        "size",
        format!("{} of {}", size_text(octets.len() as u64), size_text(COMPONENT_MAX as u64)),
    )];
    if let Some(manifest) = manifest {
        rows.extend(facts(manifest));
    }
    if let Some(description) = description {
        rows.extend(card(description));
    }
    lines.push(columns(&rows));
    for Problem { error, what, mend } in problems {
        lines.push(format!("{}: {what}\n    mend: {mend}", if *error { "error" } else { "warning" }));
    }
    let errors = problems.iter().filter(|problem| problem.error).count();
    lines.push(match (errors, problems.len() - errors) {
        (0, 0) => "a server takes it".to_owned(),
        (0, warnings) => format!("a server takes it; {warnings} warnings"),
        (errors, warnings) => format!("a server does not take it: {errors} errors, {warnings} warnings"),
    });
    let problem = |problem: &Problem| {
        let level = if problem.error { "error" } else { "warning" };
        json!({"level": level, "what": problem.what, "mend": problem.mend})
    };
    let json = json!({
        "file": shown, "size": octets.len(), "contract": manifest.map(|manifest| &manifest.contract), "manifest": manifest,
        "description": description, "problems": problems.iter().map(problem).collect::<Vec<Json>>(),
    });
    Outcome { text: lines.join("\n"), json, good: errors == 0 }
}

fn row(name: &str, text: impl Into<String>) -> Vec<String> {
    vec![format!("  {name}"), text.into()]
}

fn facts(manifest: &Manifest) -> Vec<Vec<String>> {
    let list = |words: Vec<&str>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let pure = if manifest.is_pure() { "; so its answers may be remembered" } else { "" };
    let memory =
        format!("{} at the start, at most {} a memory", size_text(manifest.memory), size_text(MEMORY_MAX));
    let mut rows = vec![
        row("digest", manifest.digest.to_string()),
        row("contract", format!("wasmta:policy {}", manifest.contract)),
        row("roles", list(manifest.roles.iter().map(|role| role.as_str()).collect())),
        row("capabilities", list(manifest.imports.iter().map(|one| one.as_str()).collect()) + pure),
        row("memory", memory),
        row("made of", manifest.parts()),
    ];
    if !manifest.foreign.is_empty() {
        rows.push(row("foreign", manifest.foreign.join(", ")));
    }
    rows
}

fn card(description: &Description) -> Vec<Vec<String>> {
    let Description { name, version, summary, config_schema, interests, entry_attributes } = description;
    let mut rows = vec![row("name", format!("{name} {version}")), row("summary", summary)];
    for (role, selector) in interests {
        rows.push(row(
            "interest",
            format!("{role}: {}", if selector.is_empty() { "always" } else { selector }),
        ));
    }
    if let Some(names) = entry_attributes {
        let names = if names.trim().is_empty() { "nothing" } else { names };
        rows.push(row("reads", format!("of a user's entry: {names}")));
    }
    let keys: Vec<String> = schema::rows(config_schema).iter().map(|row| row[0].clone()).collect();
    rows.push(row("configuration", if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }));
    rows
}
