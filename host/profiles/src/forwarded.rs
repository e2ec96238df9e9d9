//! Copies that plugins send on: to whom they lead, and what the plugins of those say.

use std::collections::HashSet;

use mail_types::{AccountName, Address, ChannelName, ForwardPath, NextHop, Refusal, Route};
use queue::Accepted;
use routing::{ExplainedOutcome, Request, Resolution};

use crate::hearing::Hearing;
use crate::profiles::{About, Case, Profiles};

/// How often one message is sent on by plugins, from one user to the next.
const ROUNDS_MAX: usize = 8;
/// Most users whose plugins are asked because others sent a message on to them.
const ASKED_MAX: usize = 1000;

/// The users whose plugins were asked about a message: each is asked once for what is sent on, however many do.
pub(crate) struct Asked {
    accounts: HashSet<AccountName>,
    left: usize,
}

impl Asked {
    pub(crate) fn of(cases: &[Case]) -> Self {
        let accounts = cases.iter().filter_map(|case| case.accepted.route.local_account().cloned());
        Self { accounts: accounts.collect(), left: ASKED_MAX }
    }

    /// Whether somebody may be asked now, who was not.
    fn takes(&mut self, account: &AccountName) -> bool {
        let takes = self.left > 0 && self.accounts.insert(account.clone());
        self.left -= usize::from(takes);
        takes
    }
}

impl Profiles {
    /// Sends a copy on. An address that cannot be resolved now or ever gets its outcome by `reprocess`, with a report
    /// of its own: the owner's copy does not wait for it.
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
            Resolution::Accepted(resolved) => {
                for one in resolved {
                    let mut one = one.into_accepted(&recipient);
                    one.expanded |= case.accepted.expanded;
                    one.command = case.accepted.command;
                    one.steps.splice(0..0, case.steps.iter().cloned());
                    out.push(one);
                }
            }
            Resolution::Refused(_) => out.push(Accepted {
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
                let reply = mail_types::Reply::plain(code, text);
                Resolution::Refused(Refusal::new(reply, cause))
            }
        }
    }

    /// Copies that were sent on to users with plugins of their own. What has been with a user goes into the mailbox when it
    /// comes again, as mail does that comes back from another host: two who send everything on to each other would never end, and
    /// members who send on to their group ask all of them for each.
    pub(crate) fn forwarded_cases(
        &self,
        forwarded: Vec<Accepted>,
        (round, asked): (usize, &mut Asked),
        others: &mut Vec<Accepted>,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        for accepted in forwarded {
            let Some(account) = accepted.route.local_account().filter(|_| round < ROUNDS_MAX).cloned() else {
                others.push(accepted);
                continue;
            };
            match self.chain(&accepted.recipient.address, &accepted.route) {
                Ok(chain) if chain.plugins.is_empty() || !asked.takes(&account) => others.push(accepted),
                Ok(chain) => cases.push(Case::new(accepted, chain, true)),
                // What cannot be told now is told by itself later.
                Err(_) => others.push(Accepted {
                    route: Route::new(ChannelName::REPROCESS, NextHop::Nobody),
                    ..accepted
                }),
            }
        }
        cases
    }
}
