//! From final recipients and a message to what the queue takes.

use std::sync::Arc;

use hooks::{
    CallContext, Content, DispositionRequest, Failed, FailureKind, PluginName, Plugins, Role, World,
};
use mail_types::{
    AccountName, Address, ChannelName, Domain, EnhancedStatus, Filing, Lookup, NextHop, Notify, Persistence,
    Refusal, Reply, ReversePath, Route,
};
use queue::Accepted;
use routing::{Routing, UserChain};
use storage::{LoadedContent, StorageError};

use crate::case::Case;
use crate::circle;
use crate::ended::end_with_their_mail;
use crate::forwarded::{Asked, has_been_with};
use crate::hearing::{Hearing, listed};
use crate::joined::{End, Other};
use crate::letter::Letter;
use crate::limit;

/// Most plugins that one recipient's mail goes through.
const CHAIN_MAX: usize = 16;
/// Most octets that plugins may have copies of one message take, for the recipients of one tenant …
pub(crate) const COPIES_OCTETS_MAX: usize = 32 << 20;
/// … or so many for each, where that is more: an automatic reply of every member of a large group is nothing odd.
const RECIPIENT_OCTETS: usize = 16 << 10;

/// What is the same for all recipients of a message.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its id.
    pub id: &'a str,
    /// The channel by which it came, as plugins are told.
    pub channel: &'a str,
    /// Whether it comes by `reprocess` now: asked about once more, or what was put off or sent on too far.
    pub again: bool,
    /// As whom the client logged in.
    pub authenticated: Option<&'a AccountName>,
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// Who hears of a recipient that is refused.
    pub replies: Replies,
}

/// How many replies the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// One for the message: where one recipient has to be tried again later, all of its tenant have, and a recipient that is
    /// refused beside others is told of by a report.
    One,
    /// One for each recipient that it named (RFC 2033 §4.2).
    Each,
}

/// Asks and carries out; clones are the same.
#[derive(Clone)]
pub struct Profiles {
    pub(crate) routing: Routing,
    pub(crate) plugins: Arc<dyn Plugins>,
    world: Arc<dyn World>,
}

impl Profiles {
    /// Joins the parts.
    #[must_use]
    pub fn new(routing: Routing, plugins: Arc<dyn Plugins>, world: Arc<dyn World>) -> Self {
        Self { routing, plugins, world }
    }

    /// Says what becomes of a message for its recipients. Those without a mailbox here, and those whose mail no plugin
    /// disposes of, stay as they are.
    ///
    /// # Errors
    /// The refusal of the whole message: the tables do not answer, or there is one reply for it, and every recipient is refused,
    /// or one is put off and there is nobody of another tenant. Nothing of the message was kept.
    pub async fn dispose(
        &self,
        about: About<'_>,
        recipients: Vec<Accepted>,
        content: impl FnOnce() -> Result<LoadedContent, StorageError>,
    ) -> Result<Vec<Accepted>, Refusal> {
        self.dispose_heard(about, recipients, content, &mut Hearing::default()).await
    }

    /// The same, with an ear for what plugins are asked.
    ///
    /// # Errors
    /// As [`Self::dispose`].
    pub async fn dispose_heard(
        &self,
        about: About<'_>,
        recipients: Vec<Accepted>,
        content: impl FnOnce() -> Result<LoadedContent, StorageError>,
        hearing: &mut Hearing,
    ) -> Result<Vec<Accepted>, Refusal> {
        let mut others = Vec::with_capacity(recipients.len());
        let mut cases = Vec::new();
        for accepted in recipients {
            match self.chain(&accepted.recipient.address, &accepted.route)? {
                UserChain { plugins, .. } if plugins.is_empty() => others.push(accepted),
                // It comes back by `reprocess`.
                _ if accepted
                    .route
                    .local_account()
                    .is_some_and(|account| has_been_with(&accepted, account)) =>
                {
                    others.push(accepted);
                }
                chain => cases.push(Case::new(accepted, chain, false)),
            }
        }
        let is_forwarded = |one: &Accepted| !one.recipient.forwarders.is_empty();
        if cases.is_empty() && !others.iter().any(|one| is_forwarded(one) || limit::may_be_limited(one)) {
            return Ok(others);
        }
        let content = content().map_err(|error| later(error.to_string()))?;
        if !cases.is_empty() {
            self.carry_out_all(about, cases, &mut others, content.clone(), hearing).await?;
        }
        let others = limit::kept(&self.routing, others, about.replies, content.len())?;
        if !others.iter().any(is_forwarded) {
            return Ok(others);
        }
        let header = content.range(0, circle::HEADER_MAX).map_err(|error| later(error.to_string()))?;
        circle::ended(others, about.replies, &header)
    }

    async fn carry_out_all(
        &self,
        about: About<'_>,
        mut cases: Vec<Case>,
        others: &mut Vec<Accepted>,
        content: LoadedContent,
        hearing: &mut Hearing,
    ) -> Result<(), Refusal> {
        let letter: Content = Arc::new(Letter::new(content));
        let mut asked = Asked::of(&cases);
        for round in 0.. {
            self.ask(about, &mut cases, &letter, hearing).await?;
            end_with_their_mail(&mut cases, others);
            if round == 0 && about.replies == Replies::One {
                self.refused_as_a_whole(&mut cases, others)?;
            }
            self.note_said(&cases, &mut asked);
            let mut forwarded = asked.waited();
            for case in cases {
                self.carry_out(about, case, (others, &mut forwarded), hearing).await?;
            }
            // Whoever it was sent on to has plugins, too.
            cases = self.forwarded_cases(about, forwarded, (round, &mut asked), others);
            // Copies wait only for somebody who is asked next.
            if cases.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The plugins that will be asked, when a message is here, what becomes of it for an address, and on whose behalf; none where
    /// the mail does not go into a mailbox here.
    ///
    /// # Errors
    /// The refusal that the message gets: the tables do not answer.
    pub fn disposing(&self, address: &Address, route: &Route) -> Result<UserChain, Refusal> {
        self.chain(address, route)
    }

    /// The plugins of a recipient with a mailbox here.
    pub(crate) fn chain(&self, address: &Address, route: &Route) -> Result<UserChain, Refusal> {
        if route.local_account().is_none() {
            return Ok(UserChain::default());
        }
        match self.routing.user_chain(Role::Disposition, address) {
            Lookup::Found(mut chain) => {
                chain.plugins.truncate(CHAIN_MAX);
                Ok(chain)
            }
            Lookup::NotFound => Ok(UserChain::default()),
            Lookup::Unavailable(why) => Err(later(why)),
        }
    }

    /// Asks each plugin for all recipients of a tenant that it is asked about next: one call each, so that what one of them
    /// leads to is not another one's, on one instance where that may be.
    async fn ask(
        &self,
        about: About<'_>,
        cases: &mut [Case],
        letter: &Content,
        hearing: &mut Hearing,
    ) -> Result<(), Refusal> {
        for position in 0..CHAIN_MAX {
            let mut open: Vec<usize> =
                (0..cases.len()).filter(|at| cases[*at].next(position).is_some()).collect();
            while let Some(first) = open.first().copied() {
                let tenant = cases[first].tenant.clone();
                let Some(plugin) = cases[first].next(position).cloned() else { break };
                let mut group = Vec::new();
                let mut rest = Vec::new();
                for at in open {
                    let same = cases[at].next(position) == Some(&plugin) && cases[at].tenant == tenant;
                    if same { group.push(at) } else { rest.push(at) }
                }
                open = rest;
                let context = CallContext {
                    tenant,
                    channel: about.channel.to_owned(),
                    authenticated: about.authenticated.cloned(),
                    id: about.id.to_owned(),
                };
                self.ask_one(&plugin, (&context, about), cases, &group, letter, hearing).await?;
            }
        }
        Ok(())
    }

    /// The tenant that a domain belongs to.
    pub(crate) fn canonical(&self, domain: Option<&Domain>) -> Result<Option<Domain>, String> {
        match domain.map(|domain| self.routing.tables().canonical_domain(domain)) {
            Some(Lookup::Found(domain)) => Ok(Some(domain)),
            Some(Lookup::NotFound) | None => Ok(None),
            Some(Lookup::Unavailable(why)) => Err(why),
        }
    }

    /// A user's own attributes.
    pub(crate) fn profile(&self, key: &str) -> Result<Arc<hooks::Attributes>, String> {
        match self.world.table_row(None, "users", key) {
            Lookup::Found(row) => Ok(row),
            Lookup::NotFound => Ok(Arc::default()),
            Lookup::Unavailable(why) => Err(why),
        }
    }

    async fn ask_one(
        &self,
        plugin: &PluginName,
        (context, about): (&CallContext, About<'_>),
        cases: &mut [Case],
        group: &[usize],
        letter: &Content,
        hearing: &mut Hearing,
    ) -> Result<(), Refusal> {
        let requests: Result<Vec<_>, Refusal> =
            group.iter().map(|at| self.request(&cases[*at].accepted, about)).collect();
        let mut sitting = hearing.sitting();
        let of_tenant = cases.iter().filter(|case| case.tenant == context.tenant);
        let mut octets: usize = of_tenant.map(|case| case.joined.octets()).sum();
        let most = COPIES_OCTETS_MAX.max(group.len().saturating_mul(RECIPIENT_OCTETS));
        for (at, request) in group.iter().zip(requests?) {
            let told = self.plugins.dispose(plugin, context, request, Arc::clone(letter), &mut sitting).await;
            let asked = || format!("what becomes of it for {}", cases[*at].accepted.recipient.address);
            hearing.call(plugin, &told, asked, |actions| listed(actions, "nothing"));
            let case = &mut cases[*at];
            octets = octets.saturating_sub(case.joined.octets());
            let before = case.joined.clone();
            match told.answer {
                Ok(actions) => case.hear(plugin, actions, told.report.microseconds),
                Err(failed) => case.fail(&failed),
            }
            if octets + case.joined.octets() > most {
                // What others have said stands, as with any failure.
                case.joined = before;
                case.fail(&self.says_too_much(plugin, most));
            }
            octets += case.joined.octets();
        }
        Ok(())
    }

    fn says_too_much(&self, plugin: &PluginName, most: usize) -> Failed {
        let max = most >> 20;
        Failed {
            plugin: plugin.clone(),
            kind: FailureKind::Calls,
            message: format!("what it wants of the copies of one message has more than {max} MiB"),
            on_failure: self.plugins.on_failure(plugin, Role::Disposition),
        }
    }

    /// The detail of an address as the rules left it; where they took it off, as it came.
    pub(crate) fn detail(&self, address: &Address, original: &Address) -> String {
        match self.routing.detail_of(address) {
            detail if detail.is_empty() => self.routing.detail_of(original),
            detail => detail,
        }
    }

    fn request(&self, accepted: &Accepted, about: About<'_>) -> Result<DispositionRequest, Refusal> {
        let address = accepted.recipient.address.clone();
        let Some(account) = accepted.route.local_account().cloned() else {
            return Err(later("a recipient without an account".to_owned()));
        };
        let profile = self.profile(account.as_str()).map_err(later)?;
        let original = accepted.recipient.original.clone();
        let detail = self.detail(&address, &original);
        let sender = about.reverse_path.address().cloned();
        Ok(DispositionRequest { address, original, sender, detail, account, profile })
    }

    /// Turns what was said into recipients.
    async fn carry_out(
        &self,
        about: About<'_>,
        mut case: Case,
        (others, forwarded): (&mut Vec<Accepted>, &mut Vec<Accepted>),
        hearing: &mut Hearing,
    ) -> Result<(), Refusal> {
        let mut out = Vec::new();
        let mut copies_here = usize::MAX;
        let Some(account) = case.accepted.route.local_account().cloned() else { return Ok(()) };
        match case.joined.end.take() {
            Some(End::Hold(_)) => out.push(case.goes(Route::new(ChannelName::HOLD, NextHop::Nobody))),
            Some(End::Discard(_)) => out.push(case.goes(Route::new(ChannelName::BITBUCKET, NextHop::Nobody))),
            // It is tried again by itself.
            Some(End::Reject(refusal))
                if case.waits && refusal.reply.persistence() == Persistence::Transient =>
            {
                out.push(case.goes(Route::new(ChannelName::REPROCESS, NextHop::Nobody)));
            }
            Some(End::Reject(refusal)) => {
                let route = case.accepted.route.clone();
                out.push(Accepted { refused: Some(refusal.reply), ..case.goes(route) });
            }
            None => {
                for filing in case.joined.filings() {
                    out.push(case.goes(filed(&account, filing)));
                }
                for other in std::mem::take(&mut case.joined.others) {
                    self.by_channel(&mut case, &account, other, &mut out, hearing);
                }
                copies_here = out.len();
                for address in std::mem::take(&mut case.joined.forwards) {
                    self.forward(about, &case, address, &mut out, hearing).await;
                }
            }
        }
        if out.is_empty() {
            // Nothing could be carried out: the mail stays with its owner.
            out.push(case.goes(filed(&account, Filing::default())));
        }
        let is_copy = |one: &&mut Accepted| one.route.channel.as_str() != ChannelName::AUTOREPLY;
        let copies = out.iter_mut().filter(is_copy).count();
        if copies > 1 && out.iter().any(|one| one.route.local_account() != Some(&account)) {
            out.iter_mut().filter(is_copy).for_each(Accepted::is_one_of_several);
        }
        forwarded.extend(out.drain(copies_here.min(out.len())..));
        others.append(&mut out);
        Ok(())
    }

    /// What needs a channel of its own: there where the operator has one.
    fn by_channel(
        &self,
        case: &mut Case,
        account: &AccountName,
        other: Other,
        out: &mut Vec<Accepted>,
        hearing: &mut Hearing,
    ) {
        let account = account.clone();
        let (channel, next_hop) = match other {
            Other::Answer(words) => {
                (ChannelName::AUTOREPLY, NextHop::Answer { account, words: Box::new(words) })
            }
            Other::Named(channel, name) => (channel, NextHop::Named { account, name }),
        };
        let route = Route::new(channel, next_hop);
        if !self.world.has_channel(&route.channel) {
            let text = format!("no channel carries out {route}: left out");
            hearing.note(|| text.clone());
            case.note(text);
            return;
        }
        let mut accepted = case.goes(route);
        if channel == ChannelName::AUTOREPLY {
            accepted.recipient.notify = Notify::Never;
        }
        out.push(accepted);
    }
}

fn filed(account: &AccountName, filing: Filing) -> Route {
    if filing == Filing::default() {
        Route::store(account.clone())
    } else {
        Route::filed(account.clone(), filing)
    }
}

/// The domain of an account that is named like an address.
pub(crate) fn domain_of(account: &AccountName) -> Option<Domain> {
    Domain::parse(account.as_str().rsplit_once('@')?.1).ok()
}

fn later(why: String) -> Refusal {
    let reply = Reply::new(
        451,
        EnhancedStatus::transient(3, 0),
        "The message cannot be disposed of now, try again later",
    );
    Refusal::new(reply, why)
}
