//! The list of addresses still to do, from the recipient to its final recipients: loops end, duplicates are sent once,
//! and growth is bounded (R72).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use mail_types::{AccountName, Address, ChannelName, ForwardPath, NextHop, Persistence, Refusal, Route};

use super::disposition::dispose;
use super::way::{Found, Guide, Led, Next, Way};
use super::ways::{FIRST, Place, WAYS_MAX, Ways};
use super::{Halt, NESTING_MAX, Request, ResolvedRecipient, Trace, refusals};
use crate::recorder::{Recorder, Step, StepKind};
use crate::rewrite::tags::Target;
use crate::tables::row::RowKind;

/// What a walk gives: the answer, and what was noted on the way (only where traces are kept).
pub(crate) struct Walked {
    pub(crate) answer: Result<Vec<ResolvedRecipient>, Refusal>,
    pub(crate) traces: Vec<Trace>,
}

struct Item {
    address: Address,
    /// Its place among those that are reached.
    place: Place,
    depth: usize,
    /// The address that led here, and its entry.
    from: Option<(Address, Option<Rc<str>>)>,
    /// Whether an address above it stands for several.
    is_of_several: bool,
    /// The users whose forwards led here.
    forwarders: Option<Rc<[Address]>>,
}

struct Walk<'a> {
    guide: &'a Guide<'a>,
    keep_traces: bool,
    waiting: VecDeque<Item>,
    /// Addresses that were seen, so that loops end and duplicates are sent once; none while there is but the first.
    ways: Option<Ways>,
    /// Entries that were expanded, and by which of their addresses.
    expanded: HashMap<String, Place>,
    queued: usize,
    /// The entry of the address that is done now, where it leads to further ones.
    entry: Option<Rc<str>>,
    /// Whether that is a group.
    at_group: bool,
    /// The entry of the first address, where it is a group.
    group: Option<String>,
    /// That group as a list: where it has more members than one recipient may expand to.
    as_list: Option<ResolvedRecipient>,
    /// Whether it has.
    too_many: bool,
    out: Vec<ResolvedRecipient>,
    /// By which addresses those of `out` were reached: the index there, and the address.
    reached_by: Vec<(usize, Place)>,
    /// Where in `out` each copy stands.
    delivered: HashMap<String, usize>,
    later: Vec<(ResolvedRecipient, Place)>,
    refused: Vec<Refusal>,
    /// Whether some address waits for a plugin.
    open: bool,
    traces: Vec<Trace>,
}

/// Resolves a recipient to the end; `None` where plugins have to be asked before an end can be seen. All questions
/// that can be known by then are noted: the walk goes on with the addresses that need no answer.
pub(crate) fn walk<R: Recorder>(guide: &Guide<'_>, keep_traces: bool) -> Option<Walked> {
    let options = guide.view.options;
    let address = match guide.request.recipient {
        ForwardPath::Postmaster => {
            let local =
                mail_types::LocalPart::new("postmaster").unwrap_or_else(|_| unreachable!("a short word"));
            Address::new(local, options.default_domain.clone())
        }
        ForwardPath::Address { source_route, address } => {
            if !source_route.is_empty() && !options.ignore_source_routes {
                return Some(Walked { answer: Err(refusals::source_route(address)), traces: Vec::new() });
            }
            address.clone()
        }
    };
    let mut walk = Walk {
        guide,
        keep_traces,
        waiting: VecDeque::new(),
        ways: None,
        expanded: HashMap::new(),
        queued: 0,
        entry: None,
        at_group: false,
        group: None,
        as_list: None,
        too_many: false,
        out: Vec::new(),
        reached_by: Vec::new(),
        delivered: HashMap::new(),
        later: Vec::new(),
        refused: Vec::new(),
        open: false,
        traces: Vec::new(),
    };
    walk.waiting.push_back(Item {
        address: address.clone(),
        place: FIRST,
        depth: 0,
        from: None,
        is_of_several: false,
        forwarders: None,
    });
    match walk.run::<R>(&address) {
        Ok(recipients) => Some(Walked { answer: Ok(recipients), traces: walk.traces }),
        Err(Halt::Refused(_)) if walk.too_many && walk.as_list.is_some() => {
            Some(Walked { answer: Ok(walk.as_list.into_iter().collect()), traces: walk.traces })
        }
        Err(Halt::Refused(refusal)) => Some(Walked { answer: Err(refusal), traces: walk.traces }),
        Err(Halt::Open) => None,
    }
}

impl Walk<'_> {
    fn run<R: Recorder>(&mut self, first: &Address) -> Result<Vec<ResolvedRecipient>, Halt> {
        while let Some(item) = self.waiting.pop_front() {
            let mut recorder = R::default();
            recorder.detail(|| {
                let from = item.from.as_ref().map(|(from, _)| format!(", from {from}")).unwrap_or_default();
                Step::new(StepKind::Address, format!("{}{from}", item.address))
            });
            if let Some((from, entry)) = &item.from {
                recorder.note(|| {
                    let step = Step::new(StepKind::Alias, format!("{} by way of {from}", item.address));
                    Step { origin: entry.as_deref().map(str::to_owned), ..step }
                });
            }
            self.entry = None;
            self.at_group = false;
            let answer = self.one(&item, &mut recorder);
            match answer {
                Ok(next) => self.take(&item, next, recorder)?,
                Err(Halt::Refused(refusal)) => self.refuse(&item, refusal, recorder)?,
                Err(Halt::Open) => self.open = true,
            }
        }
        if self.open { Err(Halt::Open) } else { Ok(self.finish(first)?) }
    }

    /// One address: to its routes and further addresses.
    fn one<R: Recorder>(&mut self, item: &Item, recorder: &mut R) -> Result<Vec<Next>, Halt> {
        // What an operator let past a hold is the address itself: others that it leads to have their own.
        let request = Request { released: &[], ..*self.guide.request };
        let guide = if item.depth == 0 { self.guide } else { &Guide { request: &request, ..*self.guide } };
        let Led { address, target, via, by_plugin } = guide.rewrite(&item.address, recorder)?;
        let channel = match target {
            Target::Channel(channel) => channel,
            Target::Local => {
                let found = match guide.inward(&address, recorder)? {
                    Way::Entry(found) => found,
                    Way::Done(next) => return Ok(next),
                };
                if !found.row.is_plain() {
                    let first = *self.expanded.entry(found.row.dn.to_string()).or_insert(item.place);
                    if first != item.place {
                        recorder.note(|| Step::new(StepKind::Alias, "reached before: not expanded again"));
                        self.ways.iter_mut().for_each(|ways| ways.joined(item.place, first));
                        return Ok(Vec::new());
                    }
                    self.entry = Some(found.row.dn.as_ref().into());
                }
                self.at_group = found.row.kind == RowKind::Group;
                if item.depth == 0 && self.at_group {
                    self.group = Some(found.row.dn.to_string());
                    self.as_list = as_list(&found, guide.view.options.separator);
                }
                let mut answer = dispose(guide, &found, recorder);
                // Below the address that was given, the list itself tells: others do not miss the message for it.
                if item.depth == 0
                    && let Ok(next) = &answer
                    && let Some(refusal) = too_large(guide.request.size, &found, next)
                {
                    answer = Err(refusal);
                }
                let permanent = answer
                    .as_ref()
                    .err()
                    .is_some_and(|refusal| refusal.reply.persistence() == Persistence::Permanent);
                if permanent && address.local.as_str().eq_ignore_ascii_case("postmaster") {
                    return match guide.postmaster(&address, recorder)? {
                        Way::Done(next) => Ok(next),
                        Way::Entry(_) => Ok(answer?),
                    };
                }
                return Ok(answer?);
            }
        };
        // An address of ours that a plugin sends elsewhere is handed on as by a forward: that is no relaying.
        let on_behalf = by_plugin && guide.is_known(&item.address)?;
        let depth = if on_behalf { item.depth.max(1) } else { item.depth };
        Ok(vec![guide.outward(address.into_owned(), &channel, via, depth, recorder)?])
    }

    /// Books what an address came to. An error ends the walk.
    fn take<R: Recorder>(&mut self, item: &Item, next: Vec<Next>, mut recorder: R) -> Result<(), Refusal> {
        for one in &next {
            if let Next::Route { address, route, .. } = one {
                recorder.detail(|| Step::new(StepKind::Route, format!("{address}: {route}")));
            }
        }
        let steps = recorder.into_steps();
        if self.keep_traces {
            self.traces.push(Trace { depth: item.depth, steps: steps.clone() });
        }
        // An automatic reply is no copy: it does not make an address stand for several.
        let is_of_several = item.is_of_several || next.iter().filter(|one| !is_answer(one)).count() > 1;
        let last = next.iter().rposition(|one| matches!(one, Next::Route { .. }));
        let mut steps = steps;
        for (nth, one) in next.into_iter().enumerate() {
            match one {
                Next::Route { address, detail, route } => {
                    let steps = if last == Some(nth) { std::mem::take(&mut steps) } else { steps.clone() };
                    let forwarders = item.forwarders.as_deref().unwrap_or_default().to_vec();
                    let other_ways = Vec::new();
                    self.deliver(
                        ResolvedRecipient {
                            address,
                            detail,
                            route,
                            steps,
                            is_of_several,
                            forwarders,
                            other_ways,
                        },
                        item.place,
                    );
                }
                Next::Address(address) => {
                    self.enqueue(address, item, is_of_several || self.at_group, None)?
                }
                Next::Forward { to, by } => {
                    self.enqueue(to, item, is_of_several || self.at_group, Some(by))?;
                }
            }
        }
        Ok(())
    }

    /// One copy for each account and subaddress, or for each address and route.
    fn deliver(&mut self, recipient: ResolvedRecipient, place: Place) {
        // Most recipients are the only one: the map begins with the second.
        if let [first] = self.out.as_slice() {
            self.delivered.insert(delivery_key(first), 0);
        }
        let mut at = self.out.len();
        if at > 0 {
            at = *self.delivered.entry(delivery_key(&recipient)).or_insert(at);
        }
        self.reached_by.push((at, place));
        if at == self.out.len() {
            self.out.push(recipient);
        }
    }

    fn enqueue(
        &mut self,
        address: Address,
        from: &Item,
        is_of_several: bool,
        forwarder: Option<Address>,
    ) -> Result<(), Refusal> {
        let ways = self.ways.get_or_insert_with(|| Ways::new(&from.address));
        let Some(place) = ways.step(from.place, &address, forwarder.as_ref()) else { return Ok(()) };
        let max = self.guide.view.options.recipients_max;
        self.queued += 1;
        if self.queued > max {
            self.too_many = true;
            return Err(refusals::too_many(&address, max));
        }
        if from.depth >= NESTING_MAX {
            // Of the whole: who stands beyond would be left out without a word.
            return Err(refusals::too_deep(&address, NESTING_MAX));
        }
        let by = Some((from.address.clone(), self.entry.clone()));
        let forwarders = match forwarder {
            Some(forwarder) => {
                let above = from.forwarders.as_deref().unwrap_or_default();
                Some(above.iter().cloned().chain([forwarder]).collect())
            }
            None => from.forwarders.clone(),
        };
        let depth = from.depth + 1;
        self.waiting.push_back(Item { address, place, depth, from: by, is_of_several, forwarders });
        Ok(())
    }

    fn refuse<R: Recorder>(&mut self, item: &Item, refusal: Refusal, mut recorder: R) -> Result<(), Refusal> {
        recorder.detail(|| Step::new(StepKind::Refused, refusal.to_string()));
        let steps = recorder.into_steps();
        if self.keep_traces {
            self.traces.push(Trace { depth: item.depth, steps: steps.clone() });
        }
        // In an outage nothing can be said of the whole; what stands against one of several is that one's alone.
        if item.depth == 0 || refusal.is_outage {
            return Err(refusal);
        }
        if refusal.reply.persistence() == Persistence::Transient {
            let route = Route::new(ChannelName::REPROCESS, NextHop::Nobody);
            let address = item.address.clone();
            let is_of_several = item.is_of_several;
            let forwarders = item.forwarders.as_deref().unwrap_or_default().to_vec();
            let (detail, other_ways) = (None, Vec::new());
            self.later.push((
                ResolvedRecipient { address, detail, route, steps, is_of_several, forwarders, other_ways },
                item.place,
            ));
        }
        self.refused.push(refusal);
        Ok(())
    }

    /// Tells each copy of the ways that it was not resolved on, where users' forwards are on any.
    fn add_other_ways(&mut self) {
        let Some(ways) = self.ways.as_ref().and_then(Ways::all) else { return };
        for (at, place) in &self.reached_by {
            let one = &mut self.out[*at];
            let others = ways[*place].iter().filter(|way| way[..] != one.forwarders[..]);
            let room = WAYS_MAX.saturating_sub(one.other_ways.len());
            one.other_ways.extend(others.take(room).map(|way| way.to_vec()));
        }
    }

    /// The answer, once nothing is left to do. Where some are reached, those that cannot be reached now are tried
    /// later, and those that never can are left out: one bad member does not silence a list.
    fn finish(&mut self, first: &Address) -> Result<Vec<ResolvedRecipient>, Refusal> {
        if !self.out.is_empty() {
            for (one, place) in std::mem::take(&mut self.later) {
                self.reached_by.push((self.out.len(), place));
                self.out.push(one);
            }
            self.add_other_ways();
            return Ok(std::mem::take(&mut self.out));
        }
        let passing = |refusal: &Refusal| refusal.reply.persistence() == Persistence::Transient;
        match (self.refused.iter().position(passing), &self.group) {
            (Some(at), _) => Err(self.refused.swap_remove(at)),
            (None, Some(dn)) if !self.refused.is_empty() => {
                Err(refusals::dead_group(first, dn, &self.refused[0].cause))
            }
            (None, _) => Err(self.refused.pop().unwrap_or_else(|| refusals::circle(first))),
        }
    }
}

/// A group that its channel expands, batch by batch (R71, R72).
fn as_list(found: &Found<'_>, separator: char) -> Option<ResolvedRecipient> {
    let account = AccountName::new(&found.primary()?.to_key())?;
    let step = Step::new(StepKind::Group, "more members than one recipient expands to: sent as a list");
    Some(ResolvedRecipient {
        address: found.final_address(separator),
        detail: None,
        route: Route::new(ChannelName::LIST, NextHop::Account(account)),
        steps: vec![step.at(&*found.row.dn)],
        is_of_several: false,
        forwarders: Vec::new(),
        other_ways: Vec::new(),
    })
}

/// Why a list that an address leads to does not take a message of this size; `None` where it does, or where it gets none.
fn too_large(size: Option<u64>, found: &Found<'_>, next: &[Next]) -> Option<Refusal> {
    let is_list = |next: &Next| matches!(next, Next::Route { route, .. } if route.channel.as_str() == ChannelName::LIST);
    let max = found.row.detail.as_ref()?.list.as_ref()?.size_max?;
    let size = size.filter(|size| *size > max && next.iter().any(is_list))?;
    Some(refusals::too_large_for_list(found.address, max, size, &found.row.dn))
}

/// Whether it is an automatic reply.
fn is_answer(next: &Next) -> bool {
    matches!(next, Next::Route { route, .. } if route.channel.as_str() == ChannelName::AUTOREPLY)
}

fn delivery_key(recipient: &ResolvedRecipient) -> String {
    if recipient.route.local_account().is_some() {
        return format!("{} {}", recipient.route, recipient.detail.as_deref().unwrap_or_default());
    }
    format!("{} {}", recipient.route, recipient.address.to_key())
}
