//! Searches whose results are kept up to date: CONTEXT=SEARCH, CONTEXT=SORT, CANCELUPDATE (RFC 5267 §4.3).

use std::collections::HashSet;

use imap_wire::{Bound, By, Code, Condition, SearchKey, SequenceRange, SequenceSet, Tag};
use store::StoreError;

use super::condition::Compiler;
use super::judge::{Found, judge_all};
use super::sort::sorted;
use crate::answer::Answer;
use crate::commands::Context;
use crate::io::End;
use crate::live::{LIVE_SORTED_MAX, Live};
use crate::selected::Selected;
use crate::view::Member;

/// Keeps what a command has found up to date, or says that it does not (RFC 5267 §4.3.1).
pub(super) fn keep(context: &mut Context<'_>, selected: &mut Selected, live: Live) {
    let keys = live.keys.iter().map(|key| frozen(key, selected)).collect();
    if !selected.live.add(Live { keys, ..live }) {
        refuse(context, context.tag);
    }
}

fn refuse(context: &mut Context<'_>, tag: &Tag) {
    let code = Code::NoUpdate(tag.as_str().to_owned());
    context.io.status(None, Condition::No, Some(code), "too much is kept up to date already");
}

/// A key without message numbers, `*` and `$`: these are what they are at the time of the command (RFC 5267 §4.3).
fn frozen(key: &SearchKey, selected: &Selected) -> SearchKey {
    let view = &selected.view;
    let nothing = || SearchKey::Not(Box::new(SearchKey::All));
    let named = |by: By, set: &SequenceSet| {
        let members = view.resolve(by, set).unwrap_or_default();
        let uids = SequenceSet::from_rising(members.into_iter().map(|member| member.uid));
        uids.map_or_else(nothing, SearchKey::Uid)
    };
    match key {
        SearchKey::Sequence(set) => named(By::SequenceNumber, set),
        SearchKey::Uid(set) if set.is_saved() => named(By::Uid, set),
        SearchKey::Uid(set) if set.has_largest() => {
            let last = view.last_uid();
            // `5:*` has what comes, too; `*` alone is the last one there is.
            let fixed = |range: &SequenceRange| match (range.from, range.to) {
                (Bound::Number(number), Bound::Largest) | (Bound::Largest, Bound::Number(number)) => {
                    SequenceRange::of_numbers(number.min(last.max(1)), u32::MAX)
                }
                (Bound::Largest, Bound::Largest) => SequenceRange::of_numbers(last, last),
                _ => *range,
            };
            let ranges = set.ranges().iter().map(fixed).collect();
            SequenceSet::new(ranges).map_or_else(nothing, SearchKey::Uid)
        }
        SearchKey::Not(key) => SearchKey::Not(Box::new(frozen(key, selected))),
        SearchKey::Or(keys) => SearchKey::Or(keys.iter().map(|key| frozen(key, selected)).collect()),
        SearchKey::And(keys) => SearchKey::And(keys.iter().map(|key| frozen(key, selected)).collect()),
        key => key.clone(),
    }
}

/// RFC 5267 §4.3.5.
pub(crate) fn cancel(selected: &mut Selected, tags: &[String]) -> Answer {
    let mut unknown = false;
    for tag in tags {
        unknown |= !selected.live.cancel(tag);
    }
    if unknown { Answer::bad("no updates have that tag") } else { Answer::ok("CANCELUPDATE done") }
}

/// Tells what has come into results, and gone out of them, with messages that came or changed.
pub(crate) async fn update(context: &mut Context<'_>, selected: &mut Selected) -> Result<(), End> {
    if selected.is_unsaid() {
        // What the client has not been told of has no number yet.
        return Ok(());
    }
    let Some((mut all, changed)) = selected.live.take() else { return Ok(()) };
    let number = |uid: &u32| selected.view.sequence_of(*uid);
    let members: Vec<Member> =
        changed.iter().filter_map(|uid| Some(Member { sequence: number(uid)?, uid: *uid })).collect();
    let (mut ended, mut failed) = (Vec::new(), false);
    for live in &mut all {
        match update_one(context, selected, live, &members).await? {
            Ok(true) => {}
            Ok(false) => ended.push(live.tag.clone()),
            // Storage rests: they are looked at with the next change.
            Err(_) => failed = true,
        }
    }
    all.retain(|live| !ended.contains(&live.tag));
    selected.live.put_back(all);
    if failed {
        changed.iter().for_each(|uid| selected.live.note(*uid));
    }
    ended.iter().for_each(|tag| refuse(context, tag));
    Ok(())
}

/// Updates one; `false` where it has become too large for that.
async fn update_one(
    context: &mut Context<'_>,
    selected: &Selected,
    live: &mut Live,
    members: &[Member],
) -> Result<Result<bool, StoreError>, End> {
    let condition = Compiler::new(selected, &live.charset, live.asked).condition(&live.keys);
    let matching = match judge_all(context, selected, condition, members).await {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let is_changed = |uid: u32| members.binary_search_by_key(&uid, |member| member.uid).is_ok();
    let matches = |uid: u32| matching.binary_search_by_key(&uid, |found| found.member.uid).is_ok();
    let mut known: Vec<u32> = live.found.iter().copied().filter(|uid| is_changed(*uid)).collect();
    known.sort_unstable();
    let new: Vec<u32> = matching
        .iter()
        .map(|found| found.member.uid)
        .filter(|uid| known.binary_search(uid).is_err())
        .collect();
    let number = |uid: u32| selected.view.sequence_of(uid).unwrap_or(uid);
    let removed = live.removed(&|uid| is_changed(uid) && !matches(uid), &number);
    live.tell(context.io, removed).await?;
    if new.is_empty() {
        return Ok(Ok(true));
    }
    let mut order = [&live.found[..], &new[..]].concat();
    match &live.criteria {
        None => order.sort_unstable(),
        Some(_) if order.len() > LIVE_SORTED_MAX => return Ok(Ok(false)),
        Some(criteria) => {
            // In the order of the mailbox, which counts where all criteria are equal.
            order.sort_unstable();
            let found = |uid: &u32| {
                let sequence = selected.view.sequence_of(*uid)?;
                Some(Found { member: Member { sequence, uid: *uid }, modseq: 0 })
            };
            let all: Vec<Found> = order.iter().filter_map(found).collect();
            order = match sorted(context, selected, all, criteria).await {
                Ok(sorted) => sorted.iter().map(|found| found.member.uid).collect(),
                Err(error) => return Ok(Err(error)),
            };
            // What has gone meanwhile is told as gone: till then it keeps its place.
            order = with_gone(&live.found, order);
        }
    }
    let added = live.added(order, &new, &selected.view);
    live.tell(context.io, added).await?;
    Ok(Ok(true))
}

/// An order with those of the old one put back that are missing in it, each behind the one that it followed.
fn with_gone(before: &[u32], mut order: Vec<u32>) -> Vec<u32> {
    let known: HashSet<u32> = order.iter().copied().collect();
    let mut last = None;
    for uid in before {
        if !known.contains(uid) {
            let at = last.and_then(|last| order.iter().position(|uid| *uid == last)).map_or(0, |at| at + 1);
            order.insert(at, *uid);
        }
        last = Some(*uid);
    }
    order
}
