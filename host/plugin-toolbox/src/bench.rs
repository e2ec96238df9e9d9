//! `wasmta plugin bench`: what a call costs, beside a native answer to the same question in the same run.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hooks::Role;
use plugin_engine::contract::{authorize_sender, reverse, rewrite, route_table};
use plugin_engine::{Answer, Candidate, Profile, Question};
use serde_json::{Value as Json, json};

use crate::cases::{Case, Cases};
use crate::draft::{Draft, Drafted};
use crate::outcome::{Outcome, columns, size_text};
use crate::place;
use crate::stage::Stage;
use crate::trying::name;

/// Most measurements of a kind, and the time after which no other is begun.
const CALLS_MAX: usize = 2000;
const TIME_MAX: Duration = Duration::from_secs(1);
/// Measurements that come first and do not count.
const WARM_UP: usize = 20;

/// What is to be measured.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// A component, or a plugin's folder.
    pub path: PathBuf,
    /// The cases whose questions are asked; none: those of the folder.
    pub cases: Option<PathBuf>,
}

/// Times of one kind, in nanoseconds, the shortest first.
struct Times(Vec<u64>);

impl Times {
    fn at(&self, percent: usize) -> u64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).copied().unwrap_or(0)
    }

    fn json(&self) -> Json {
        json!({"median_ns": self.at(50), "p99_ns": self.at(99), "count": self.0.len()})
    }

    fn cells(&self) -> Vec<String> {
        vec![time_text(self.at(50)), time_text(self.at(99)), self.0.len().to_string()]
    }
}

fn time_text(nanoseconds: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let shown = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", shown / 1e3),
        _ => format!("{:.2} ms", shown / 1e6),
    }
}

/// What was measured of a role.
struct Measured {
    role: Role,
    fresh: Times,
    warm: Times,
    native: Times,
    /// Fuel of a call, the least first.
    fuel: Vec<u64>,
    /// Memory after a call on an instance of its own, and after all on a warm one, in octets.
    memory: (u64, u64),
}

/// Measures a component.
///
/// # Errors
/// There is nothing to measure, or the component is not one that a server takes.
pub async fn bench(options: &BenchOptions) -> Result<Outcome, String> {
    let place = place::find(&options.path)?;
    let octets = place::read(&place)?;
    let cases = match options.cases.as_ref().or(place.cases.as_ref()) {
        Some(file) => Cases::load(file)?,
        None => Cases::parse("", "")?,
    };
    let shown = place.component.display();
    let compiled =
        |profile| Candidate::compile(&octets, profile).map_err(|unfit| format!("{shown}: {unfit}"));
    let began = Instant::now();
    let serving = compiled(Profile::Serving)?;
    let compilation = began.elapsed();
    cases.surroundings.fit(&serving).await?;
    let (stage, metered) = (set(&serving, &cases).await?, set(&compiled(Profile::Metering)?, &cases).await?);
    let instantiation = instantiations(&stage).await?;
    let mut measured = Vec::new();
    for role in serving.manifest().roles.iter().copied() {
        let questions = questions(&cases, role);
        measured.push(of_role(role, &questions, &stage, &metered).await);
    }
    Ok(outcome(&shown.to_string(), compilation, &instantiation, &measured))
}

async fn set(candidate: &Candidate, cases: &Cases) -> Result<Stage, String> {
    Stage::set(candidate, &name()?, cases.surroundings.clone(), cases.tenants(), &BTreeSet::new()).await
}

/// The questions of a role's cases, but of those that end badly; one of the tool's own where there is none.
fn questions(cases: &Cases, role: Role) -> Vec<Drafted> {
    let good = |case: &&Case| {
        let ends = |word: &str| case.expect.iter().any(|text| text.starts_with(word));
        case.role == role && !ends("trap") && !ends("failure") && !ends("invalid")
    };
    let mut all: Vec<Drafted> =
        cases.cases.iter().filter(good).map(|case| case.draft.question(role)).collect();
    if all.is_empty() {
        let draft = Draft {
            address: "anna@example.org".into(),
            domain: "example.org".into(),
            dn: "CN=Anna,DC=example,DC=org".into(),
            ..Draft::default()
        };
        all.push(draft.question(role));
    }
    all
}

/// Measures something again and again, within bounds.
async fn times(mut once: impl AsyncFnMut(usize) -> bool) -> Times {
    let mut all = Vec::new();
    let began = Instant::now();
    for at in 0..CALLS_MAX + WARM_UP {
        let start = Instant::now();
        let counts = once(at).await;
        let took = start.elapsed();
        // Slow ones count from the first on: there may be few.
        if counts && (at >= WARM_UP || took > TIME_MAX / 100) {
            all.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        if began.elapsed() > TIME_MAX {
            break;
        }
    }
    all.sort_unstable();
    Times(all)
}

async fn instantiations(stage: &Stage) -> Result<Times, String> {
    stage.trial().instantiate(None).await?;
    Ok(times(async |_| stage.trial().instantiate(None).await.is_ok()).await)
}

async fn of_role(role: Role, questions: &[Drafted], stage: &Stage, metered: &Stage) -> Measured {
    let ask = async |stage: &Stage, at: usize, fresh: bool| {
        let drafted = &questions[at % questions.len()];
        stage.trial().call(&drafted.question, stage.call(drafted, at as u64, fresh)).await
    };
    let (mut first, mut last) = (0, 0);
    let fresh = times(async |at| {
        let (answer, report) = ask(stage, at, true).await;
        first = first.max(report.memory);
        answer.is_ok()
    })
    .await;
    let warm = times(async |at| {
        let (answer, report) = ask(stage, at, false).await;
        last = last.max(report.memory);
        answer.is_ok()
    })
    .await;
    let native =
        times(async |at| black_box(nothing(black_box(&questions[at % questions.len()].question))) > 0).await;
    let mut fuel = Vec::new();
    for at in 0..questions.len() {
        let (answer, report) = ask(metered, at, true).await;
        fuel.extend(report.fuel.filter(|_| answer.is_ok()));
    }
    fuel.sort_unstable();
    Measured { role, fresh, warm, native, fuel, memory: (first, last) }
}

/// What a host without plugins would say, in the same types: one item for each that is asked about.
fn nothing(question: &Question) -> usize {
    let answer = match question {
        Question::Rewrite(_, batch) => {
            Answer::Rewrite(batch.iter().map(|_| rewrite::Verdict::NoMatch).collect())
        }
        Question::Reverse(_, batch) => {
            Answer::Reverse(batch.iter().map(|_| reverse::Verdict::Unchanged).collect())
        }
        Question::AuthorizeSender(..) => Answer::AuthorizeSender(authorize_sender::Verdict::NoOpinion),
        Question::Disposition(_, recipients) => {
            Answer::Disposition(recipients.iter().map(|_| Vec::new()).collect())
        }
        Question::RouteTable(_, entries) => {
            let rows = |_| route_table::Rows { aliases: Vec::new(), routes: Vec::new(), attrs: Vec::new() };
            Answer::RouteTable(entries.iter().map(rows).collect())
        }
    };
    match black_box(answer) {
        Answer::Rewrite(given) => given.len(),
        Answer::Reverse(given) => given.len(),
        Answer::AuthorizeSender(_) => 1,
        Answer::Disposition(given) => given.len(),
        Answer::RouteTable(given) => given.len(),
    }
}

fn outcome(shown: &str, compilation: Duration, instantiation: &Times, measured: &[Measured]) -> Outcome {
    let head = ["", "median", "p99", "times"].map(str::to_owned).to_vec();
    let row = |name: &str, times: &Times| {
        let mut row = vec![name.to_owned()];
        row.extend(times.cells());
        row
    };
    let mut rows = vec![head, row("an instance", instantiation)];
    let mut notes = Vec::new();
    for Measured { role, fresh, warm, native, fuel, memory } in measured {
        rows.push(row(&format!("{role}: fresh call"), fresh));
        rows.push(row(&format!("{role}: warm call"), warm));
        rows.push(row(&format!("{role}: native no-op"), native));
        let (median, most) = (fuel.get(fuel.len() / 2), fuel.last());
        let fuel = median.zip(most).map_or_else(
            || "no call of it ended well".to_owned(),
            |(median, most)| format!("fuel of a call {median}, at most {most}"),
        );
        let (fresh, warm) = (size_text(memory.0), size_text(memory.1));
        notes.push(format!(
            "{role}: {fuel}; memory {fresh} after one call, {warm} after all on a warm instance"
        ));
    }
    let mut lines = vec![shown.to_owned(), columns(&rows)];
    lines.extend(notes);
    lines.push(format!("compiled in {} ms; a server does that once", compilation.as_millis()));
    if cfg!(debug_assertions) {
        lines.push("this wasmta is a debug build: times of a release are much shorter".to_owned());
    }
    let role = |one: &Measured| {
        json!({
            "role": one.role, "fresh": one.fresh.json(), "warm": one.warm.json(), "native": one.native.json(),
            "fuel": one.fuel, "memory_fresh": one.memory.0, "memory_warm": one.memory.1,
        })
    };
    let json = json!({
        "file": shown, "debug_build": cfg!(debug_assertions),
        "compilation_ms": u64::try_from(compilation.as_millis()).unwrap_or(u64::MAX),
        "instantiation": instantiation.json(), "roles": measured.iter().map(role).collect::<Vec<_>>(),
    });
    Outcome { text: lines.join("\n"), json, good: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        let times = Times((1..=101).collect());
        assert_eq!((times.at(50), times.at(99)), (51, 100));
        assert_eq!(Times(Vec::new()).at(99), 0);
        assert_eq!([time_text(999), time_text(1500), time_text(2_500_000)], ["999 ns", "1.5 µs", "2.50 ms"]);
    }
}
