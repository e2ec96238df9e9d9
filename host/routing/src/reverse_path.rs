//! The address of MAIL, as rules and plugins want it.

use mail_types::{AccountName, Address, Refusal};

use crate::consult::About;
use crate::recorder::{Everything, Recorder, Step, StepKind, Trail};
use crate::resolve::{Halt, refusals};
use crate::rewrite::control::{Direction, Place};
use crate::rewrite::engine::{Context, rewrite};
use crate::rewrite::unroutable::Unroutable;
use crate::routing::Routing;

/// What an explanation says where a plugin would refuse or put off a recipient.
const STAYS: &str =
    "the sender stays as it is: what a plugin refuses, or fails on, as rewrite counts for recipients alone";

/// Another reverse path than the client gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSender {
    /// The address.
    pub address: Address,
    /// How it came about.
    pub steps: Vec<Step>,
}

impl Routing {
    /// A reverse path as rules and plugins want it; `None` where it stays, also where that cannot be told now. Its
    /// channel is nobody's to ask for: only what becomes of the address counts.
    ///
    /// # Errors
    /// The text of a rule for senders, `$R$?text`, that took it.
    pub async fn rewrite_reverse_path(
        &self,
        address: &Address,
        source: &str,
        authenticated: Option<&AccountName>,
    ) -> Result<Option<NewSender>, Refusal> {
        let about = About { source, authenticated, ..About::default() };
        let (answer, steps) = self.sender::<Trail>(address, about).await;
        Ok(answer?.map(|new| {
            let mut all = vec![becomes(address, &new)];
            all.extend(steps);
            NewSender { address: new, steps: all }
        }))
    }

    /// The same, for an explanation: with what plugins were asked and what rules did, also where the address stays.
    pub async fn explain_reverse_path(
        &self,
        address: &Address,
        source: &str,
        authenticated: Option<&AccountName>,
    ) -> (Result<Option<Address>, Refusal>, Vec<Step>) {
        let about = About { source, authenticated, counted: true, id: "explain" };
        let (answer, mut steps) = self.sender::<Everything>(address, about).await;
        steps.retain(|step| matches!(step.what, StepKind::Plugin | StepKind::RuleFired));
        match &answer {
            Ok(Some(new)) => steps.insert(0, becomes(address, new)),
            // Rules that leave it alone are not worth a word.
            _ => steps.retain(|step| step.what == StepKind::Plugin),
        }
        (answer, steps)
    }

    async fn sender<R: Recorder + Send>(
        &self,
        address: &Address,
        about: About<'_>,
    ) -> (Result<Option<Address>, Refusal>, Vec<Step>) {
        let answer = self.consult(about, |rules, view| {
            let context = Context {
                place: Place::Envelope,
                direction: Direction::Backward,
                source: about.source,
                destination: None,
                separator: view.options.separator,
                released: &[],
            };
            let mut recorder = R::default();
            let mut stays = None;
            let answer = match rewrite(rules, address, context, view, &mut recorder) {
                Ok(rewritten) => Ok(rewritten.address),
                Err(Unroutable::Open) => return Err(Halt::Open),
                Err(why @ Unroutable::NoRule(Some(_), _)) => Err(refusals::unroutable(address, &why)),
                // It leads nowhere, but nothing has to be sent there yet.
                Err(why) => {
                    stays = matches!(why, Unroutable::Refused(_)).then(|| Step::new(StepKind::Plugin, STAYS));
                    Ok(None)
                }
            };
            let mut steps = recorder.into_steps();
            steps.extend(stays);
            Ok((answer, steps))
        });
        answer.await.0.unwrap_or((Ok(None), Vec::new()))
    }
}

fn becomes(from: &Address, to: &Address) -> Step {
    Step::new(StepKind::Address, format!("the sender {from} becomes {to}"))
}
