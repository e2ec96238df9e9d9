//! A plugin on trial: one component, no server. The same code that serves mail, so that what a tool shows is what mail
//! would see.

use std::path::Path;
use std::sync::Arc;

use hooks::{CallReport, Content, FailureKind, World};
use mail_types::{Domain, Timestamp};
use storage::Storage;
use tokio::sync::Semaphore;

use crate::call::Surroundings;
use crate::component::{Manifest, Unfit, compile};
use crate::kv::{Kv, SPACES};
use crate::machine::{Machine, Profile};
use crate::plugin::{Description, Manner, Plugin};
use crate::question::{Answer, Question};
use crate::settings::Settings;
use crate::tape::Tape;
use crate::validate::{Invalid, Judge};

/// Room for what a plugin keeps during a trial, in octets.
const STORAGE_MAX: u64 = 64 << 20;

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
    /// Compiles and starts a component. What it keeps in `kv` is in a folder of the caller's.
    ///
    /// # Errors
    /// [`Unfit`] says why it is not taken.
    pub async fn new(
        octets: &[u8],
        settings: Settings,
        world: Arc<dyn World>,
        folder: &Path,
        profile: Profile,
    ) -> Result<Self, Unfit> {
        let machine = Machine::new(profile).map_err(|error| {
            Unfit::new(format!("plugins cannot run here: {error:#}"), "use another machine")
        })?;
        let (code, manifest) = compile(machine.engine(), octets)?;
        let component = deserialize(&machine, &code)?;
        let options = storage::Options { size_max: STORAGE_MAX, synced: false, ..Default::default() };
        let storage = Storage::open(folder, SPACES, &options)
            .map_err(|error| Unfit::new(format!("{}: {error}", folder.display()), "look at the folder"))?;
        let kv = Kv::new(storage);
        let surroundings = Surroundings { world, kv: kv.clone(), shadow: false };
        let places = Arc::new(Semaphore::new(64));
        let plugin =
            Plugin::load(&Arc::new(machine), &places, &component, manifest, settings, surroundings).await?;
        Ok(Self { plugin, kv })
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.plugin.description()
    }

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
        let place = crate::kv::Place::new(&self.plugin.settings().name, tenant, false);
        let written =
            self.kv.write(&place, key, Some((value.to_vec(), 0)), Timestamp(0), u64::MAX >> 1).await;
        written.map_err(|error| format!("{error:?}"))
    }

    /// Asks.
    pub async fn ask(&self, question: &Question, call: TrialCall) -> TrialAnswer {
        let TrialCall { now, seed, tenant, content, fresh } = call;
        let share = self.plugin.tenants.of(tenant.as_ref());
        let manner = Manner { tape: Tape::Off, now, seed, fresh, content };
        let asked = self.plugin.ask(question, tenant.as_ref(), &share, manner).await;
        let judge =
            Judge { settings: self.plugin.settings(), tenant: tenant.as_ref(), world: self.plugin.world() };
        let checked = match &asked.answer {
            Ok(answer) => words(&judge, question, answer.clone()).map_err(|invalid| match invalid {
                Invalid::Answer(why) => (FailureKind::Answer, why),
                Invalid::Unavailable(why) => (FailureKind::Temporary, why),
            }),
            Err(failure) => Err(failure.clone()),
        };
        TrialAnswer { answer: asked.answer, checked, report: asked.report }
    }
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
        (Answer::Rewrite(given), _) => {
            for verdict in given {
                lines.push(judge.rewrite(verdict)?.to_string());
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
fn deserialize(machine: &Machine, code: &[u8]) -> Result<wasmtime::component::Component, Unfit> {
    // SAFETY: the octets come from `compile` in the caller, unchanged, for this very engine.
    let component = unsafe { wasmtime::component::Component::deserialize(machine.engine(), code) };
    component
        .map_err(|error| Unfit::new(format!("its machine code cannot be used: {error:#}"), "report this"))
}
