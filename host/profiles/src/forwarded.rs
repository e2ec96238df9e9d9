//! Copies that plugins send on: to whom they lead, and what the plugins of those say.

use std::collections::HashMap;

use mail_types::{
    AccountName, Address, ChannelName, EnhancedStatus, ForwardPath, NextHop, Refusal, Reply, Route,
};
use queue::{Accepted, Step, StepKind};
use routing::{ExplainedOutcome, Request, Resolution};

use crate::case::Case;
use crate::hearing::Hearing;
use crate::profiles::{About, Profiles};

/// How often one message is sent on by plugins, from one user to the next, before it goes on by `reprocess`.
const ROUNDS_MAX: usize = 8;
/// Most users whose plugins are asked because others sent a message on to them; further ones are asked by `reprocess`.
const ASKED_MAX: usize = 1000;
/// Most recipients that the plugins of one recipient add; an address that leads to more is resolved by `reprocess`.
const ADDED_MAX: usize = 1000;

/// What somebody's plugins said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// They are being asked.
    Nothing,
    /// It ends with that user, or a copy stays there: another copy says nothing new.
    Ends,
    /// It went on to others, and stays nowhere: so does every copy of it.
    WentOn(Vec<Address>),
}

/// Whose plugins were asked about a message, and by which address with which detail: an answer may depend on these. Each is
/// asked once, however many send it on.
pub(crate) struct Asked {
    answers: HashMap<String, Said>,
    left: usize,
    /// Copies for somebody who is being asked.
    waiting: Vec<Accepted>,
}

impl Asked {
    pub(crate) fn of(cases: &[Case]) -> Self {
        // Each of them may send it on to somebody.
        Self { answers: HashMap::new(), left: ASKED_MAX + cases.len(), waiting: Vec::new() }
    }

    fn note(&mut self, key: String, said: Said) {
        self.answers.insert(key, said);
    }

    /// Copies that waited for what is said now.
    pub(crate) fn waited(&mut self) -> Vec<Accepted> {
        std::mem::take(&mut self.waiting)
    }
}

/// Whether a copy has been with a user, who sent it on, or with so many that it counts as if it had.
pub(crate) fn has_been_with(one: &Accepted, account: &AccountName) -> bool {
    let forwarders = &one.recipient.forwarders;
    forwarders.len() >= mail_types::Recipient::FORWARDERS_MAX
        || forwarders.iter().any(|forwarder| forwarder.to_key() == account.as_str())
}

/// What goes on by itself; of what has come that way before somebody is told.
fn beyond(about: About<'_>, one: Accepted) -> Accepted {
    if !about.again {
        return by_reprocess(one);
    }
    let text = "The message has been sent on by too many users";
    Accepted { refused: Some(Reply::new(554, EnhancedStatus::permanent(4, 6), text)), ..one }
}

fn by_reprocess(one: Accepted) -> Accepted {
    Accepted { route: Route::new(ChannelName::REPROCESS, NextHop::Nobody), ..one }
}

impl Profiles {
    /// Notes what was said.
    pub(crate) fn note_said(&self, cases: &[Case], asked: &mut Asked) {
        for case in cases {
            let said = case.went_on().map_or(Said::Ends, Said::WentOn);
            asked.note(self.question_of(&case.accepted), said);
        }
    }

    /// What an answer depends on, of the recipient.
    fn question_of(&self, accepted: &Accepted) -> String {
        let account = accepted.route.local_account().map_or("", AccountName::as_str);
        let address = &accepted.recipient.address;
        format!("{account} {} {}", address.to_key(), self.detail(address, &accepted.recipient.original))
    }

    /// Sends a copy on. An address that cannot be resolved now or ever, or leads to very many, gets its outcome by `reprocess`,
    /// with a report of its own: the owner's copy does not wait for it.
    pub(crate) async fn forward(
        &self,
        about: About<'_>,
        case: &Case,
        address: Address,
        out: &mut Vec<Accepted>,
        hearing: &mut Hearing,
    ) {
        let path = ForwardPath::from(address.clone());
        let request = Request {
            recipient: &path,
            reverse_path: about.reverse_path,
            source: ChannelName::REPROCESS,
            authenticated: None,
            size: None,
            relay: true,
            released: &[],
            again: false,
            id: about.id,
        };
        let mut recipient = mail_types::Recipient { address, ..case.accepted.recipient.clone() };
        if let Some(account) = case.accepted.route.local_account() {
            recipient.forwarders.extend(Address::of_key(account.as_str()));
        }
        match self.resolved(&request, hearing).await {
            Resolution::Accepted(resolved) if out.len() + resolved.len() <= ADDED_MAX => {
                for one in resolved {
                    let mut one = one.into_accepted(&recipient);
                    one.expanded |= case.accepted.expanded;
                    one.command = case.accepted.command;
                    one.steps.splice(0..0, case.steps.iter().cloned());
                    out.push(one);
                }
            }
            Resolution::Accepted(_) | Resolution::Refused(_) => out.push(Accepted {
                steps: case.steps.clone(),
                expanded: case.accepted.expanded,
                command: case.accepted.command,
                ..Accepted::new(recipient, Route::new(ChannelName::REPROCESS, NextHop::Nobody))
            }),
        }
    }

    /// Where an address leads; for an explanation with its steps, and without an effect.
    async fn resolved(&self, request: &Request<'_>, hearing: &mut Hearing) -> Resolution {
        if !hearing.explains() {
            return self.routing.resolve(request).await;
        }
        let explanation = self.routing.explain(request).await;
        hearing.note(|| format!("sent on to {}", explanation.recipient));
        for step in explanation.addresses.iter().flat_map(|address| &address.steps) {
            hearing.note(|| format!("{}: {}", step.what.word(), step.text));
        }
        match explanation.outcome {
            ExplainedOutcome::Accepted(_) => Resolution::Accepted(explanation.resolved),
            ExplainedOutcome::Refused { code, text, cause, .. } => {
                hearing.note(|| format!("not now: {code} {text}: {cause}; reprocess tries it by itself"));
                let reply = Reply::plain(code, text);
                Resolution::Refused(Refusal::new(reply, cause))
            }
        }
    }

    /// Copies that were sent on to users with plugins of their own. What a user has sent on goes into the mailbox when it comes
    /// again, as mail does that comes back from another host: two who send everything on to each other would never end. Of one
    /// who was asked, because the message was for both, or several send on to the same, the answer holds for every copy.
    pub(crate) fn forwarded_cases(
        &self,
        about: About<'_>,
        forwarded: Vec<Accepted>,
        (round, asked): (usize, &mut Asked),
        others: &mut Vec<Accepted>,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        for accepted in forwarded {
            let Some(account) = accepted.route.local_account().cloned() else {
                others.push(accepted);
                continue;
            };
            let chain = match self.chain(&accepted.recipient.address, &accepted.route) {
                Ok(chain) => chain,
                // What cannot be told now is told by itself later.
                Err(_) => {
                    others.push(by_reprocess(accepted));
                    continue;
                }
            };
            if chain.plugins.is_empty() || has_been_with(&accepted, &account) {
                others.push(accepted);
                continue;
            }
            let question = self.question_of(&accepted);
            let is_beyond = round >= ROUNDS_MAX || asked.left == 0;
            match asked.answers.get(&question).cloned() {
                Some(Said::Nothing) => asked.waiting.push(accepted),
                Some(Said::Ends) => others.push(said_already(accepted, &account)),
                None | Some(Said::WentOn(_)) if is_beyond => {
                    // One of several goes on.
                    asked.note(question, Said::Ends);
                    others.push(beyond(about, accepted));
                }
                Some(Said::WentOn(to)) => {
                    asked.left -= 1;
                    cases.push(Case::went(accepted, to));
                }
                None => {
                    asked.left -= 1;
                    asked.note(question, Said::Nothing);
                    cases.push(Case::new(accepted, chain, true));
                }
            }
        }
        cases
    }
}

/// A copy for somebody whose plugins have said what becomes of the message.
fn said_already(mut one: Accepted, account: &AccountName) -> Accepted {
    let text =
        format!("{account} has the message, and its plugins have said what becomes of it: no second copy");
    one.steps.push(Step { kind: StepKind::Delivery, text, origin: None });
    Accepted { route: Route::new(ChannelName::BITBUCKET, NextHop::Nobody), ..one }
}

#[cfg(test)]
pub(crate) mod tests;
