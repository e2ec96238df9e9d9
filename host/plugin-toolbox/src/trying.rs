//! `wasmta plugin test`: the table of cases, each on a fresh instance, all on a warm one, and what strangers bring.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hooks::{CallReport, FailureKind, PluginName, Role};
use plugin_engine::{Candidate, Capability, Profile, Question};
use runtime::Random;
use serde_json::{Value as Json, json};

use crate::batched::{Told, together};
use crate::cases::{Case, Cases, Surroundings};
use crate::expectation::{given, holds, is_nothing};
use crate::hostile::tricks;
use crate::outcome::Outcome;
use crate::place;
use crate::stage::Stage;

/// How often the warm instance is asked each question: the second time it has heard all others.
const ROUNDS: usize = 2;
/// So many hostile questions to a role may use up their time; then the others are not asked, for the author waits.
const STOPPED_MAX: usize = 3;
/// The processor time of a call that a server allows where nobody says otherwise, in milliseconds.
const CPU_MILLISECONDS: u64 = 10;

/// What is to be tested.
#[derive(Debug, Clone, Default)]
pub struct TestOptions {
    /// A component, or a plugin's folder.
    pub path: PathBuf,
    /// The cases; none: those of the folder.
    pub cases: Option<PathBuf>,
    /// From which the order of the warm calls is drawn.
    pub seed: u64,
}

/// Longest text that is shown, in characters.
const SHOWN_MAX: usize = 300;
/// Most log lines that are shown.
const LOG_MAX: usize = 8;

/// A result: of a case, or of a part of the test.
struct Verdict {
    passed: bool,
    /// Neither passed nor failed: told, for the author to judge.
    noted: bool,
    what: String,
    place: String,
    expected: Vec<String>,
    got: Vec<String>,
    report: CallReport,
}

impl Verdict {
    fn text(&self, lines: &mut Vec<String>) {
        let Self { passed, noted, what, place, expected, got, report } = self;
        if *noted {
            lines.push(format!("note    {what}{place}: {}", shown(&got.join(", "))));
            return;
        }
        if *passed {
            lines.push(format!("passed  {what}"));
            return;
        }
        lines.push(format!("FAILED  {what}{place}"));
        let mut show = |label: &str, texts: &[String]| {
            let none = ["nothing".to_owned()];
            let texts = if texts.is_empty() { &none[..] } else { texts };
            for (at, text) in texts.iter().enumerate() {
                let label = if at == 0 { label } else { "" };
                lines.push(format!("          {label:9} {:?}", shown(text)));
            }
        };
        show("expected", expected);
        show("got", got);
        let log = report.log.iter().take(LOG_MAX);
        let log: Vec<String> = log.map(|line| format!("{} {}", line.level, line.text)).collect();
        if !log.is_empty() {
            show("log", &log);
        }
    }

    fn json(&self) -> Json {
        json!({
            "passed": self.passed, "note": self.noted, "what": self.what, "expected": self.expected, "got": self.got,
            "microseconds": self.report.microseconds, "memory": self.report.memory,
        })
    }
}

/// Tests a plugin. Each line of the text is told as soon as it is known: there may be many cases, and slow ones.
///
/// # Errors
/// There is nothing to test, the cases cannot be read, or the component is not one that a server takes.
pub async fn test(options: &TestOptions, tell: &mut dyn FnMut(&str)) -> Result<Outcome, String> {
    let place = place::find(&options.path)?;
    let octets = place::read(&place)?;
    let file = options.cases.as_ref().or(place.cases.as_ref());
    let cases = match file {
        Some(file) => Cases::load(file)?,
        None => Cases::parse("", "")?,
    };
    let file = file.map(|file| file.display().to_string()).unwrap_or_default();
    let shown = place.component.display();
    let mut told = Account { lines: Vec::new(), verdicts: Vec::new(), tell };
    if place.stale {
        let folder = options.path.display();
        told.line(format!("note    sources are newer than the component: wasmta plugin build {folder}"));
    }
    let candidate =
        Candidate::compile(&octets, Profile::Serving).map_err(|unfit| format!("{shown}: {unfit}"))?;
    cases.surroundings.fit(&candidate).await?;
    let bench = Bench::set(&candidate, &cases, &file).await.map_err(|why| format!("{shown}: {why}"))?;
    if cases.cases.is_empty() && cases.hostile {
        let what = "note    there are no cases: what it answers was held against nothing (cases.toml)";
        told.line(what.to_owned());
    }
    let mut answers = Vec::new();
    for (at, case) in cases.cases.iter().enumerate() {
        let (verdict, answer) = bench.fresh(at, case).await?;
        told.take([verdict]);
        answers.push(answer);
    }
    if !cases.stateful && !cases.cases.is_empty() {
        told.take(bench.warm(&answers, options.seed).await?);
        told.take(bench.batched(&answers, options.seed).await?);
    }
    if cases.hostile {
        for role in candidate.manifest().roles.iter().copied() {
            told.take(bench.hostile(role).await?);
        }
    }
    Ok(told.outcome(options.seed))
}

/// What has come of a test so far.
struct Account<'a> {
    lines: Vec<String>,
    verdicts: Vec<Verdict>,
    tell: &'a mut dyn FnMut(&str),
}

impl Account<'_> {
    fn line(&mut self, line: String) {
        (self.tell)(&line);
        self.lines.push(line);
    }

    fn take(&mut self, verdicts: impl IntoIterator<Item = Verdict>) {
        for verdict in verdicts {
            let mut lines = Vec::new();
            verdict.text(&mut lines);
            lines.into_iter().for_each(|line| self.line(line));
            self.verdicts.push(verdict);
        }
    }

    fn outcome(mut self, seed: u64) -> Outcome {
        let slowest = self.verdicts.iter().max_by_key(|verdict| verdict.report.cpu_milliseconds);
        if let Some(Verdict { what, report, .. }) = slowest
            && report.cpu_milliseconds > CPU_MILLISECONDS
            && self.verdicts.iter().all(|verdict| verdict.passed || verdict.noted)
        {
            let took = report.cpu_milliseconds;
            self.line(format!(
                "note    {what}: {took} ms; a server stops at {CPU_MILLISECONDS} ms, unless limits.cpu is set"
            ));
        }
        let counted = self.verdicts.iter().filter(|verdict| !verdict.noted);
        let (passed, failed): (Vec<_>, Vec<_>) = counted.partition(|verdict| verdict.passed);
        let (passed, failed) = (passed.len(), failed.len());
        self.line(format!("{passed} passed, {failed} failed (--seed {seed})"));
        if self.verdicts.is_empty() {
            self.line("nothing was tried: write cases, or `hostile = true`, into cases.toml".to_owned());
        }
        let json = json!({
            "passed": passed, "failed": failed, "seed": seed,
            "cases": self.verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
        });
        let good = failed == 0 && !self.verdicts.is_empty();
        Outcome { text: self.lines.join("\n"), json, good }
    }
}

/// A plugin, ready to be tested.
struct Bench<'a> {
    stage: Stage,
    cases: &'a Cases,
    file: &'a str,
    tenant: String,
}

impl<'a> Bench<'a> {
    async fn set(candidate: &Candidate, cases: &'a Cases, file: &'a str) -> Result<Self, String> {
        let tenants = cases.tenants();
        let first = cases.cases.iter().find_map(|case| case.draft.question(case.role).tenant);
        let tenant = first.map_or_else(|| "example.org".to_owned(), |domain| domain.to_string());
        let around = cases.surroundings.clone();
        let stage = Stage::set(candidate, &name()?, around, tenants, &BTreeSet::new()).await?;
        Ok(Self { stage, cases, file, tenant })
    }

    fn place(&self, case: &Case) -> String {
        format!(" ({}:{})", self.file, case.line)
    }

    /// A case on an instance of its own.
    async fn fresh(&self, at: usize, case: &Case) -> Result<(Verdict, Told), String> {
        let drafted = case.draft.question(case.role);
        let asked = self.stage.ask(&drafted, at as u64, true).await?;
        let answer = given(&asked, self.cases.raw);
        let told = Told::new(&asked, answer.clone());
        let mut got = answer.clone();
        let mut passed = holds(&case.expect, &answer);
        if passed
            && !self.cases.raw
            && !is_nothing(&case.expect)
            && !self.stage.trial().is_interested(&drafted.question)
        {
            passed = false;
            got.push("but no interest in describe() matches, so that a server never asks this".to_owned());
        }
        let verdict = Verdict {
            passed,
            noted: false,
            what: format!("{}: {}", case.role, case.name),
            place: self.place(case),
            expected: case.expect.clone(),
            got,
            report: asked.report,
        };
        Ok((verdict, told))
    }

    /// All cases on a warm instance, in random order, each more than once: what differs shows what it remembered.
    async fn warm(&self, answers: &[Told], seed: u64) -> Result<Vec<Verdict>, String> {
        let random = Random::seeded(seed);
        let mut order: Vec<usize> = (0..answers.len()).collect();
        let mut failed: Vec<Verdict> = Vec::new();
        let mut before: Option<&Case> = None;
        let mut told = BTreeSet::new();
        for _ in 0..ROUNDS {
            random.shuffle(&mut order);
            for at in &order {
                let case = &self.cases.cases[*at];
                let asked = self.stage.ask(&case.draft.question(case.role), *at as u64, false).await?;
                let got = given(&asked, self.cases.raw);
                if !alike(&answers[*at].lines, &got) && told.insert(*at) {
                    let after = before.map(|case| format!(", after {:?}", case.name)).unwrap_or_default();
                    failed.push(Verdict {
                        passed: false,
                        noted: false,
                        what: format!(
                            "hidden state: {}: {}{after}, on a warm instance",
                            case.role, case.name
                        ),
                        place: self.place(case),
                        expected: answers[*at].lines.clone(),
                        got,
                        report: asked.report,
                    });
                }
                before = Some(case);
            }
        }
        if failed.is_empty() {
            let what =
                format!("warm: all {} cases {ROUNDS} times on one instance, in random order", order.len());
            return Ok(vec![Verdict::passed(what)]);
        }
        Ok(failed)
    }

    /// Cases of one role in one call, as a server asks about several recipients or entries. What a plugin that draws by chance
    /// or keeps something says may depend on its neighbours.
    async fn batched(&self, answers: &[Told], seed: u64) -> Result<Vec<Verdict>, String> {
        let imports = &self.stage.trial().manifest().imports;
        if imports.contains(&Capability::Random) || imports.contains(&Capability::Kv) {
            return Ok(Vec::new());
        }
        let mut verdicts = Vec::new();
        for one in together(&self.cases.cases, answers, &Random::seeded(seed)) {
            let asked = self.stage.ask(&one.drafted, seed, true).await?;
            let got = given(&asked, self.cases.raw);
            let (count, role) = (one.cases.len(), one.drafted.question.role());
            let Some(other) = one.first_other(&got) else {
                let what = format!("{role}: batch: {count} cases in one call, each told as alone");
                verdicts.push(Verdict::passed(what));
                continue;
            };
            verdicts.push(Verdict {
                passed: false,
                noted: false,
                what: format!(
                    "{role}: batch: {count} cases in one call, and {:?} told otherwise",
                    other.name
                ),
                place: self.place(other),
                expected: one.expected(),
                got,
                report: asked.report,
            });
        }
        Ok(verdicts)
    }

    /// Questions that strangers bring about: no answer is expected but that there is one.
    async fn hostile(&self, role: Role) -> Result<Vec<Verdict>, String> {
        let tricks = tricks(role, &self.tenant);
        let mut failed: Vec<Verdict> = Vec::new();
        let (mut stopped, mut asked_all) = (0, true);
        for (at, (name, drafted)) in tricks.iter().enumerate() {
            if stopped >= STOPPED_MAX {
                asked_all = false;
                break;
            }
            let asked = self.stage.ask(drafted, at as u64, true).await?;
            let kind = match &asked.checked {
                Err((kind, _)) if kind.is_fault() => *kind,
                _ => continue,
            };
            let slow = matches!(kind, FailureKind::Cpu | FailureKind::Wall);
            stopped += usize::from(slow);
            let got = given(&asked, false);
            // Entries are the operator's own, and so is the number of host calls that a batch may make.
            let noted = match kind {
                FailureKind::Answer => role == Role::RouteTable,
                FailureKind::Calls => items(&drafted.question) > 1,
                _ => false,
            };
            // What ends alike is told once: mostly it is one fault.
            match failed.iter_mut().find(|verdict| verdict.got == got) {
                Some(verdict) => verdict.place = format!("{}; {name}", verdict.place),
                None => failed.push(Verdict {
                    passed: false,
                    noted,
                    what: format!("{role}: hostile: {name}"),
                    place: String::new(),
                    expected: vec!["any answer that the host takes, or a failure".to_owned()],
                    got,
                    report: asked.report,
                }),
            }
        }
        if let (false, Some(last)) = (asked_all, failed.last_mut()) {
            last.place.push_str("; the others were not asked, for each takes all of its time");
        }
        if failed.iter().all(|verdict| verdict.noted) {
            let what = format!("{role}: hostile: {} questions of the tool's own", tricks.len());
            failed.insert(0, Verdict::passed(what));
        }
        Ok(failed)
    }
}

/// How many things are asked about at once.
fn items(question: &Question) -> usize {
    match question {
        Question::Rewrite(_, batch) => batch.len(),
        Question::Reverse(_, batch) => batch.len(),
        Question::RouteTable(_, entries) => entries.len(),
        Question::AuthorizeSender(..) | Question::Disposition(..) => 1,
    }
}

/// A text as far as a reader wants it.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Verdict {
    fn passed(what: String) -> Self {
        let (expected, got, report) = (Vec::new(), Vec::new(), CallReport::default());
        Self { passed: true, noted: false, what, place: String::new(), expected, got, report }
    }
}

/// Equal, or stopped both times: why it was stopped says more than that it was.
fn alike(one: &[String], other: &[String]) -> bool {
    let stopped = |texts: &[String]| texts.first().is_some_and(|text| text.starts_with("trap "));
    one == other || (stopped(one) && stopped(other))
}

/// By which name a plugin on trial is known; its own is for those who install it.
pub(crate) fn name() -> Result<PluginName, String> {
    "trial".parse().map_err(|error: hooks::NameError| error.to_string())
}

/// A stage without cases, for tools that only need one.
pub(crate) async fn stage(candidate: &Candidate, around: &Surroundings) -> Result<Stage, String> {
    Stage::set(candidate, &name()?, around.clone(), BTreeSet::new(), &BTreeSet::new()).await
}
