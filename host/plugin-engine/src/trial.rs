//! A plugin on trial: one component, no server. The same code that serves mail, so that what a tool shows is what mail
//! would see.

use std::path::Path;
use std::sync::Arc;

use hooks::{CallReport, Content, Direction, FailureKind, Position, Role, Sitting, World};
use mail_types::{Domain, Timestamp};
use storage::Storage;
use wasmtime::component::Component;

use crate::call::Surroundings;
use crate::card::Description;
use crate::component::{Manifest, Unfit, compile};
use crate::host::flatten;
use crate::interest::{INTERESTS_MAX, Interests, SELECTOR_MAX, Subject};
use crate::kv::{Kv, SPACES};
use crate::machine::{Machine, Profile};
use crate::places::Places;
use crate::plugin::{Manner, Plugin};
use crate::question::{Answer, Question};
use crate::reads::Reads;
use crate::schema::{SCHEMA_MAX, Schema};
use crate::settings::Settings;
use crate::tape::Tape;
use crate::validate::{Invalid, Judge};

/// Room for what a plugin keeps during a trial, in octets.
const STORAGE_MAX: u64 = 64 << 20;

/// A component that was compiled for trials.
pub struct Candidate {
    machine: Arc<Machine>,
    component: Component,
    manifest: Manifest,
}

impl Candidate {
    /// Compiles a component.
    ///
    /// # Errors
    /// [`Unfit`] says why it is not taken.
    pub fn compile(octets: &[u8], profile: Profile) -> Result<Self, Unfit> {
        let machine = Machine::new(profile).map_err(|error| {
            Unfit::new(format!("plugins cannot run here: {error:#}"), "use another machine")
        })?;
        let (code, manifest) = compile(machine.engine(), octets)?;
        let component = deserialize(&machine, &code)?;
        Ok(Self { machine: Arc::new(machine), component, manifest })
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it says of itself, without a configuration. That its functions are the contract's shows here, too.
    ///
    /// # Errors
    /// [`Unfit`] says why it cannot be started, or does not describe itself.
    pub async fn describe(&self, settings: Settings) -> Result<Description, Unfit> {
        Plugin::described(&self.machine, &places(), &self.component, &self.manifest, settings).await
    }

    /// Starts it. What it keeps in `kv` is in a folder of the caller's.
    ///
    /// # Errors
    /// [`Unfit`] says what is wrong with it, or with its settings.
    pub async fn start(
        &self,
        settings: Settings,
        world: Arc<dyn World>,
        folder: &Path,
    ) -> Result<Trial, Unfit> {
        let options = storage::Options { size_max: STORAGE_MAX, synced: false, ..Default::default() };
        let storage = Storage::open(folder, SPACES, &options)
            .map_err(|error| Unfit::new(format!("{}: {error}", folder.display()), "look at the folder"))?;
        let kv = Kv::new(storage);
        let surroundings = Surroundings { world, kv: kv.clone() };
        let (machine, manifest) = (&self.machine, self.manifest.clone());
        let plugin =
            Plugin::load(machine, &places(), &self.component, manifest, settings, surroundings).await?;
        Ok(Trial { plugin, kv })
    }
}

fn places() -> Arc<Places> {
    Places::new(64)
}

impl Description {
    /// Holds it to the maxima of what is kept of each version, before anything in it is looked at.
    pub(crate) fn sized(self) -> Result<Self, Unfit> {
        let schema = self.config_schema.len();
        let longest = self.interests.iter().map(|(role, selector)| role.len().max(selector.len())).max();
        let why = if schema > SCHEMA_MAX {
            format!("config-schema has {schema} octets, more than {SCHEMA_MAX}")
        } else if self.interests.len() > INTERESTS_MAX {
            format!("it has {} interests, more than {INTERESTS_MAX}", self.interests.len())
        } else if longest.is_some_and(|longest| longest > SELECTOR_MAX) {
            format!("an interest has more than {SELECTOR_MAX} octets")
        } else if self.entry_attributes.as_ref().is_some_and(|names| names.len() > SELECTOR_MAX) {
            format!("entry-attributes has more than {SELECTOR_MAX} octets")
        } else {
            return Ok(self);
        };
        Err(Unfit::new(format!("what it describes does not hold: {why}"), "mend describe()"))
    }

    /// Everything in it that a server would not take, with the plugin's configuration; where none is given, what
    /// depends on one is left out.
    #[must_use]
    pub fn faults(&self, config: Option<&serde_json::Value>) -> Vec<String> {
        let schema = match Schema::parse(&self.config_schema) {
            Ok(schema) => schema,
            Err(why) => return vec![why],
        };
        let (filled, mut faults) = match config {
            None => (schema.fill(&serde_json::json!({})).ok(), Vec::new()),
            Some(config) => match schema.fill(config) {
                Ok(filled) => (Some(filled), Vec::new()),
                Err(problems) => (None, problems),
            },
        };
        let values = filled.as_ref().map(flatten).unwrap_or_default();
        for (role, selector) in &self.interests {
            if selector.contains('{') && filled.is_none() {
                continue;
            }
            faults.extend(Interests::parse([(role.as_str(), selector.as_str())], &values).err());
        }
        let reads = self.entry_attributes.as_deref();
        if filled.is_some() || !reads.is_some_and(|names| names.contains('{')) {
            faults.extend(Reads::parse(reads, &values).err());
        }
        faults
    }
}

/// A component that can be asked.
pub struct Trial {
    plugin: Plugin,
    kv: Kv,
}

/// One call of a trial.
pub struct TrialCall {
    /// The time that it sees.
    pub now: Timestamp,
    /// From which its chance is drawn.
    pub seed: u64,
    /// For whom.
    pub tenant: Option<Domain>,
    /// The message that it may look at.
    pub content: Option<Content>,
    /// On an instance of its own; else on a warm one, where the settings keep some.
    pub fresh: bool,
}

/// What came of it: the answer as it was given, checked, and how it went.
pub struct TrialAnswer {
    /// What the plugin said, or how it failed.
    pub answer: Result<Answer, (FailureKind, String)>,
    /// What the host makes of it: a line for each item, or why it is no answer.
    pub checked: Result<Vec<String>, (FailureKind, String)>,
    /// How it went.
    pub report: CallReport,
}

impl Trial {
    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// Puts something into its store.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn keep(&self, key: &str, value: &[u8], tenant: Option<&Domain>) -> Result<(), String> {
        let place = crate::kv::Place::new(&self.plugin.settings().name, tenant);
        let written =
            self.kv.write(&place, key, Some((value.to_vec(), 0)), Timestamp(0), u64::MAX >> 1).await;
        written.map_err(|error| format!("{error:?}"))
    }

    /// Empties its store.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn forget(&self) -> Result<(), String> {
        self.kv.clear().await.map_err(|error| format!("{error:?}"))
    }

    /// Makes an instance and lets it go again.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn instantiate(&self, tenant: Option<&Domain>) -> Result<(), String> {
        self.plugin.start(tenant).await
    }

    /// Whether a server would ask this: whether any interest of the plugin matches.
    #[must_use]
    pub fn is_interested(&self, question: &Question) -> bool {
        use Direction::{From, To};
        use Position::{Envelope, Header};
        let position = |word: &str| if word == "header" { Header } else { Envelope };
        let direction = |word: &str| if word == "from" { From } else { To };
        let matters = |role, address: &crate::contract::Address, position, direction| {
            // What is no address, no server asks about: an author may all the same.
            crate::validate::address(address.clone()).map_or(true, |address| {
                self.plugin.interests.matter(role, &Subject { address: &address, position, direction })
            })
        };
        match question {
            Question::Rewrite(_, batch) => batch.iter().any(|one| {
                matters(Role::Rewrite, &one.address, position(&one.position), direction(&one.direction))
            }),
            Question::Reverse(_, batch) => {
                batch.iter().any(|one| matters(Role::Reverse, &one.address, position(&one.position), From))
            }
            Question::AuthorizeSender(_, one) => matters(Role::AuthorizeSender, &one.address, Envelope, From),
            Question::Disposition(_, recipients) => {
                recipients.iter().any(|one| matters(Role::Disposition, &one.address, Envelope, To))
            }
            Question::RouteTable(..) => true,
        }
    }

    /// Asks, and has the answer checked.
    pub async fn ask(&self, question: &Question, call: TrialCall) -> TrialAnswer {
        let tenant = call.tenant.clone();
        let (answer, report) = self.call(question, call).await;
        let judge =
            Judge { settings: self.plugin.settings(), tenant: tenant.as_ref(), world: self.plugin.world() };
        let checked = match &answer {
            Ok(answer) => words(&judge, question, answer.clone()).map_err(|invalid| match invalid {
                Invalid::Answer(why) => (FailureKind::Answer, why),
                Invalid::Unavailable(why) => (FailureKind::Temporary, why),
            }),
            Err(failure) => Err(failure.clone()),
        };
        TrialAnswer { answer, checked, report }
    }

    /// Asks, without a look at the answer.
    pub async fn call(
        &self,
        question: &Question,
        call: TrialCall,
    ) -> (Result<Answer, (FailureKind, String)>, CallReport) {
        let TrialCall { now, seed, tenant, content, fresh } = call;
        let share = self.plugin.tenants.of(tenant.as_ref());
        let manner = Manner { tape: Tape::Off, now, seed, fresh, explains: false, content };
        let asked = self.plugin.ask(question, tenant.as_ref(), &share, manner, &mut Sitting::default()).await;
        (asked.answer, asked.report)
    }
}

/// Holds an answer against the contract and a tenant's rights, as the server does with every answer.
///
/// # Errors
/// Why it is no answer.
pub fn checked(
    settings: &Settings,
    tenant: Option<&Domain>,
    world: &dyn World,
    question: &Question,
    answer: Answer,
) -> Result<Vec<String>, String> {
    words(&Judge { settings, tenant, world }, question, answer).map_err(|invalid| match invalid {
        Invalid::Answer(why) | Invalid::Unavailable(why) => why,
    })
}

/// A checked answer in the words of the test tables: a line for each item asked, or each action or row of it.
fn words(judge: &Judge<'_>, question: &Question, answer: Answer) -> Result<Vec<String>, Invalid> {
    let asked = match question {
        Question::Rewrite(_, batch) => batch.len(),
        Question::Reverse(_, batch) => batch.len(),
        Question::Disposition(_, recipients) => recipients.len(),
        Question::RouteTable(_, entries) => entries.len(),
        Question::AuthorizeSender(..) => 1,
    };
    let given = match &answer {
        Answer::Rewrite(given) => given.len(),
        Answer::Reverse(given) => given.len(),
        Answer::Disposition(given) => given.len(),
        Answer::RouteTable(given) => given.len(),
        Answer::AuthorizeSender(_) => 1,
    };
    if given != asked {
        return Err(Invalid::Answer(format!("it gives {given} answers to {asked} questions")));
    }
    let mut lines = Vec::new();
    match (answer, question) {
        (Answer::Rewrite(given), Question::Rewrite(_, batch)) => {
            for (verdict, request) in given.into_iter().zip(batch) {
                let address = &request.address;
                lines.push(judge.rewrite(verdict, (&address.local, &address.domain))?.to_string());
            }
        }
        (Answer::Reverse(given), _) => {
            for verdict in given {
                lines.push(judge.reverse(verdict)?.to_string());
            }
        }
        (Answer::AuthorizeSender(given), Question::AuthorizeSender(_, request)) => {
            lines.push(judge.authorize(given, &request.address)?.to_string());
        }
        (Answer::Disposition(given), _) => {
            for actions in given {
                lines.extend(judge.dispose(actions)?.iter().map(ToString::to_string));
            }
        }
        (Answer::RouteTable(given), Question::RouteTable(domain, _)) => {
            for rows in given {
                let rows = judge.rows(rows, domain)?;
                lines.extend(rows.aliases.iter().map(ToString::to_string));
                lines.extend(rows.routes.iter().map(ToString::to_string));
            }
        }
        _ => return Err(Invalid::Answer("it answers another role".to_owned())),
    }
    Ok(lines)
}

/// Machine code that this very process made.
#[allow(unsafe_code)]
fn deserialize(machine: &Machine, code: &[u8]) -> Result<Component, Unfit> {
    // SAFETY: the octets come from `compile` in the caller, unchanged, for this very engine.
    let component = unsafe { Component::deserialize(machine.engine(), code) };
    component
        .map_err(|error| Unfit::new(format!("its machine code cannot be used: {error:#}"), "report this"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_of_itself_has_maxima() {
        let of = |schema: usize, interests: usize, selector: usize| Description {
            name: "policy".parse().unwrap(),
            version: String::new(),
            summary: String::new(),
            config_schema: "x".repeat(schema),
            interests: vec![("rewrite".into(), "x".repeat(selector)); interests],
            entry_attributes: Some("x".repeat(selector)),
        };
        assert!(of(SCHEMA_MAX, INTERESTS_MAX, SELECTOR_MAX).sized().is_ok());
        for (one, wanted) in [
            (of(SCHEMA_MAX + 1, 1, 1), "config-schema has 65537 octets, more than 65536"),
            (of(1, INTERESTS_MAX + 1, 1), "it has 65 interests, more than 64"),
            (of(1, 1, SELECTOR_MAX + 1), "an interest has more than 512 octets"),
        ] {
            let why = one.sized().unwrap_err().to_string();
            assert!(why.contains(wanted) && why.contains("mend describe()"), "{why}");
        }
    }
}
