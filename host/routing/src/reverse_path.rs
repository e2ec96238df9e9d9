//! The address of MAIL, as rules and plugins want it.

use mail_types::{AccountName, Address, Refusal};

use crate::consult::About;
use crate::recorder::{Recorder, Step, StepKind, Trail};
use crate::resolve::{Halt, refusals};
use crate::rewrite::control::{Direction, Place};
use crate::rewrite::engine::{Context, rewrite};
use crate::rewrite::unroutable::Unroutable;
use crate::routing::Routing;

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
        let answer = self.consult(about, |rules, view| {
            let context = Context {
                place: Place::Envelope,
                direction: Direction::Backward,
                source,
                destination: None,
                separator: view.options.separator,
                released: &[],
            };
            let mut recorder = Trail::default();
            match rewrite(rules, address, context, view, &mut recorder) {
                Ok(rewritten) => Ok(Ok(rewritten.address.map(|new| changed(address, new, recorder)))),
                Err(Unroutable::Open) => Err(Halt::Open),
                Err(why @ Unroutable::NoRule(Some(_), _)) => Ok(Err(refusals::unroutable(address, &why))),
                // It leads nowhere, but nothing has to be sent there yet.
                Err(_) => Ok(Ok(None)),
            }
        });
        answer.await.0.unwrap_or(Ok(None))
    }
}

fn changed(from: &Address, address: Address, recorder: Trail) -> NewSender {
    let text = format!("the sender {from} becomes {address}");
    let mut steps = vec![Step::new(StepKind::Address, text)];
    steps.extend(recorder.into_steps());
    NewSender { address, steps }
}
