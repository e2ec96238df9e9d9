//! The handle: resolve, explain, and the questions about senders, headers and lists.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use events::Events;
use hooks::{NoPlugins, Plugins};
use mail_types::{AccountName, Address, ChannelName, ForwardPath, NextHop, Persistence};
use mail_types::{Lookup, Recipient, Route};
use runtime::{Clock, Random};

use crate::consult::{About, Consult};
use crate::explain::Explanation;
use crate::recorder::{Everything, Nothing, Recorder, Trail};
use crate::resolve::domains::View;
use crate::resolve::refusals;
use crate::resolve::walk::{Walked, walk};
use crate::resolve::way::Guide;
use crate::resolve::{Halt, Options, Request, Resolution, ResolvedRecipient};
use crate::rewrite::rules::Rules;
use crate::source::{Asked, SOURCE_ROUNDS_MAX, Source, for_now};
use crate::tables::{Builders, Tables};

/// Rules and options, swapped as one.
pub(crate) struct Policy {
    rules: Rules,
    options: Options,
}

impl Policy {
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }
}

/// Resolution over the tables; clones are the same routing.
#[derive(Clone)]
pub struct Routing {
    tables: Tables,
    policy: Arc<ArcSwap<Policy>>,
    random: Random,
    plugins: Arc<dyn Plugins>,
    source: Option<Arc<dyn Source>>,
}

impl Routing {
    /// Joins the parts, without plugins.
    #[must_use]
    pub fn new(tables: Tables, rules: Rules, options: Options, random: Random) -> Self {
        let policy = Arc::new(ArcSwap::from_pointee(Policy { rules, options }));
        Self { tables, policy, random, plugins: Arc::new(NoPlugins), source: None }
    }

    /// With these plugins to ask.
    #[must_use]
    pub fn with_plugins(self, plugins: Arc<dyn Plugins>) -> Self {
        Self { plugins, ..self }
    }

    /// With this source to ask about what the tables do not have (R20).
    #[must_use]
    pub fn with_source(self, source: Arc<dyn Source>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The plugins that the rules in force call ([`Rules::plugins`]).
    #[must_use]
    pub fn plugins_of_rules(&self) -> Vec<(hooks::PluginName, String)> {
        self.policy.load().rules.plugins()
    }

    /// Puts new rules and options in force; resolutions under way keep theirs.
    pub fn reconfigure(&self, rules: Rules, options: Options) {
        self.policy.store(Arc::new(Policy { rules, options }));
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Who builds the rows of the tables.
    #[must_use]
    pub fn builders<'a>(&'a self, events: &'a Events, clock: &'a Clock) -> Builders<'a> {
        Builders { plugins: &*self.plugins, events, clock }
    }

    /// Says what becomes of a recipient. An outage is a 4xx, never a 5xx.
    pub async fn resolve(&self, request: &Request<'_>) -> Resolution {
        match self.walk::<Trail>(request, false).await.answer {
            Ok(recipients) => Resolution::Accepted(recipients),
            Err(refusal) => Resolution::Refused(refusal),
        }
    }

    /// The same decision, with every step.
    pub async fn explain(&self, request: &Request<'_>) -> Explanation {
        Explanation::new(request, self.walk::<Everything>(request, true).await)
    }

    async fn walk<R: Recorder>(&self, request: &Request<'_>, keep_traces: bool) -> Walked {
        let mut rounds = 0;
        loop {
            let about = About { counted: keep_traces, ..request.into() };
            let walked = self.consult(about, |rules, view| {
                walk::<R>(&Guide { rules, view, request }, keep_traces).ok_or(Halt::Open)
            });
            let (walked, missed) = walked.await;
            let walked = walked.unwrap_or_else(|refusal| Walked { answer: Err(refusal), traces: Vec::new() });
            if missed.is_empty() || self.source.is_none() {
                return walked;
            }
            if rounds == SOURCE_ROUNDS_MAX {
                if missed.entries.is_empty() {
                    return walked;
                }
                return Walked { answer: Err(refusals::members_to_come()), ..walked };
            }
            rounds += 1;
            match Box::pin(self.ask_source(&missed)).await {
                Asked::More => {}
                Asked::Nothing => return walked,
                Asked::Unavailable(why) => {
                    return Walked {
                        answer: walked.answer.map_err(|refusal| for_now(refusal, &why)),
                        ..walked
                    };
                }
                Asked::MembersUnknown(why) => {
                    return Walked { answer: Err(refusals::members_unknown(&why)), ..walked };
                }
            }
        }
    }

    pub(crate) fn source(&self) -> Option<&dyn Source> {
        self.source.as_deref()
    }

    pub(crate) fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    pub(crate) fn plugins(&self) -> &dyn Plugins {
        &*self.plugins
    }

    /// Runs something over one view of the tables.
    pub(crate) fn view<T>(
        &self,
        policy: &Policy,
        consult: &Consult<'_>,
        run: impl FnOnce(&Rules, &View<'_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let reader = self.tables.reader().map_err(|error| refusals::unavailable(&error))?;
        run(&policy.rules, &View::new(&reader, &policy.options, &self.random, consult))
    }

    /// The route of a final recipient now. Its address was rewritten once and for all at acceptance (DESIGN §2):
    /// the rules are only asked whether they still leave it alone, and the directory decides the rest. An address
    /// that now leads to several goes to `reprocess`. Rules hear the same of the message as when it came: one that
    /// chose a host by its source, a filter for example, must not be gone around at the second attempt.
    async fn route_again(
        &self,
        recipient: &Recipient,
        current: &Route,
        origin: queue::Origin<'_>,
    ) -> Lookup<Route> {
        let address = &recipient.address;
        let path = ForwardPath::from(address.clone());
        let request = Request {
            recipient: &path,
            reverse_path: origin.reverse_path,
            source: origin.came_by().unwrap_or(ChannelName::REPROCESS),
            authenticated: origin.source.authenticated.as_ref(),
            size: None,
            relay: true,
            released: &recipient.released,
            again: true,
            id: "",
        };
        let answer = self.consult(About::from(&request), |rules, view| {
            let guide = Guide { rules, view, request: &request };
            match guide.rewrite(address, &mut Nothing) {
                Ok(led) if *led.address == *address => {
                    walk::<Nothing>(&guide, false).map(|walked| walked.answer).ok_or(Halt::Open)
                }
                Err(Halt::Open) => Err(Halt::Open),
                // Rewriting it again would not end where it ended.
                _ => Ok(Ok(Vec::new())),
            }
        });
        let (answer, missed) = answer.await;
        let mut answer = answer.and_then(|answer| answer);
        // What is queued was ours when it came: it goes back only if the source says so too.
        if answer.is_err() {
            let why = match Box::pin(self.ask_source(&missed)).await {
                Asked::Nothing => None,
                Asked::More => Some("it has more than was known: the next try will see".to_owned()),
                Asked::Unavailable(why) | Asked::MembersUnknown(why) => Some(why),
            };
            if let Some(why) = why {
                answer = answer.map_err(|refusal| for_now(refusal, &why));
            }
        }
        match answer {
            Ok(recipients) => Lookup::Found(Self::next_route(recipients, address, current)),
            Err(refusal) if refusal.reply.persistence() == Persistence::Permanent => Lookup::NotFound,
            Err(refusal) => Lookup::Unavailable(refusal.cause),
        }
    }

    /// Takes a new route where the directory made it; a channel that a rule chose by the source stays.
    fn next_route(mut recipients: Vec<ResolvedRecipient>, address: &Address, current: &Route) -> Route {
        let by_directory = |channel: &ChannelName| {
            let names = [ChannelName::STORE, ChannelName::SMTP, ChannelName::HOLD, ChannelName::REPROCESS];
            names.contains(&channel.as_str())
        };
        let new = match recipients.len() {
            0 => return current.clone(),
            1 => {
                let recipient = recipients.swap_remove(0);
                let same = recipient.address.to_key() == address.to_key();
                if same || recipient.route.local_account().is_some() {
                    recipient.route
                } else {
                    Route::new(ChannelName::REPROCESS, NextHop::Nobody)
                }
            }
            _ => Route::new(ChannelName::REPROCESS, NextHop::Nobody),
        };
        let free = by_directory(&new.channel) && by_directory(&current.channel);
        if free || new.channel == current.channel { new } else { current.clone() }
    }
}

impl queue::Router for Routing {
    fn route<'a>(
        &'a self,
        recipient: &'a Recipient,
        current: &'a Route,
        origin: queue::Origin<'a>,
    ) -> queue::BoxFuture<'a, Lookup<Route>> {
        Box::pin(async move {
            // Held and discarded mail stays so until an operator says otherwise; reprocessing, lists and automatic
            // replies look at the directory by themselves.
            let stays = [
                ChannelName::HOLD,
                ChannelName::BITBUCKET,
                ChannelName::REPROCESS,
                ChannelName::LIST,
                ChannelName::AUTOREPLY,
            ];
            if stays.contains(&current.channel.as_str()) {
                return Lookup::Found(current.clone());
            }
            self.route_again(recipient, current, origin).await
        })
    }
}

impl Routing {
    /// Whether an account may send as an address: the ones that lead to it, subaddresses included. Being in a
    /// group, or its owner, is no licence.
    pub fn may_send_as(&self, account: &AccountName, address: &Address) -> Lookup<()> {
        crate::sender::may_send_as(self, account, address)
    }
}
