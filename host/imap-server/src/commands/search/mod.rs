//! SEARCH, SORT and THREAD (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267).

mod answer;
mod candidate;
mod condition;
mod gathered;
mod judge;
mod live;
mod sort;
mod thread;

use imap_wire::{By, Code, Search, SearchKey, SearchReturns, Sort, SortCriterion, Thread};
use message::is_known_charset;
use store::StoreError;

use self::condition::Compiler;
use self::judge::{Found, candidates, judge_all};
use super::{Context, refusal};
use crate::answer::Answer;
use crate::dialect::has_modseq;
use crate::io::End;
use crate::live::Live;
use crate::selected::Selected;
use crate::view::Member;

pub(super) use self::live::cancel;
pub(crate) use self::live::update;

pub(super) async fn search(
    context: &mut Context<'_>,
    selected: &mut Selected,
    search: Search,
) -> Result<Answer, End> {
    if is_tag_reused(context, selected, search.returns) {
        return Ok(tag_reused());
    }
    if search.charset.is_some() && context.io.dialect.utf8 {
        // RFC 6855 §3: strings are UTF-8 then.
        return Ok(Answer::bad("no CHARSET after ENABLE UTF8=ACCEPT"));
    }
    // Clients send UTF-8 without saying so: it contains US-ASCII.
    let charset = search.charset.as_deref().unwrap_or("UTF-8");
    let found = match find(context, selected, charset, &search.keys).await {
        Ok(found) => found,
        Err(answer) => return Ok(not_found(selected, search.returns, answer)),
    };
    let told = answer::Told { by: search.by, with_modseq: has_modseq(&search.keys), in_order: false };
    // RFC 9051 §6.4.4: there is no other answer in IMAP4rev2.
    let all = SearchReturns { all: true, ..SearchReturns::default() };
    match search.returns.or(context.io.dialect.rev2.then_some(all)) {
        None => answer::plain(context, "SEARCH", &found, told).await?,
        Some(returns) => answer::extended(context, selected, &found, (returns, told)),
    }
    if search.returns.is_some_and(|returns| returns.update) {
        let live = live_of(context, (search.by, search.keys, charset), None, &found);
        live::keep(context, selected, live);
    }
    Ok(Answer::ok("SEARCH done"))
}

pub(super) async fn sort(
    context: &mut Context<'_>,
    selected: &mut Selected,
    sort: Sort,
) -> Result<Answer, End> {
    if is_tag_reused(context, selected, sort.returns) {
        return Ok(tag_reused());
    }
    let found = match find(context, selected, &sort.charset, &sort.keys).await {
        Ok(found) => found,
        Err(answer) => return Ok(not_found(selected, sort.returns, answer)),
    };
    let found = match sort::sorted(context, selected, found, &sort.criteria).await {
        Ok(found) => found,
        Err(error) => return Ok(refusal(&error)),
    };
    let told = answer::Told { by: sort.by, with_modseq: has_modseq(&sort.keys), in_order: true };
    match sort.returns {
        None => answer::plain(context, "SORT", &found, told).await?,
        Some(returns) => answer::extended(context, selected, &found, (returns, told)),
    }
    if sort.returns.is_some_and(|returns| returns.update) {
        let asked = (sort.by, sort.keys, sort.charset.as_str());
        let live = live_of(context, asked, Some(sort.criteria), &found);
        live::keep(context, selected, live);
    }
    Ok(Answer::ok("SORT done"))
}

pub(super) async fn thread(
    context: &mut Context<'_>,
    selected: &Selected,
    thread: Thread,
) -> Result<Answer, End> {
    let found = match find(context, selected, &thread.charset, &thread.keys).await {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    match thread::threads(context, selected, &found, (thread.algorithm, thread.by)).await {
        Ok(list) => answer::threads(context, &list).await?,
        Err(error) => return Ok(refusal(&error)),
    }
    Ok(Answer::ok("THREAD done"))
}

/// RFC 5267 §4.3.
fn is_tag_reused(context: &Context<'_>, selected: &Selected, returns: Option<SearchReturns>) -> bool {
    returns.is_some_and(|returns| returns.update) && selected.live.has(context.tag.as_str())
}

fn tag_reused() -> Answer {
    Answer::bad("results are kept up to date under that tag already")
}

fn live_of(
    context: &Context<'_>,
    (by, keys, charset): (By, Vec<SearchKey>, &str),
    criteria: Option<Vec<SortCriterion>>,
    found: &[Found],
) -> Live {
    Live {
        tag: context.tag.clone(),
        by,
        keys,
        charset: charset.to_owned(),
        asked: context.shared.parts.store.now().as_seconds(),
        criteria,
        found: uids(found.iter().map(|found| found.member)),
    }
}

/// What matches all keys, in the order of the mailbox.
async fn find(
    context: &Context<'_>,
    selected: &Selected,
    charset: &str,
    keys: &[SearchKey],
) -> Result<Vec<Found>, Answer> {
    if !is_known_charset(charset.as_bytes()) {
        return Err(Answer::no("unknown charset").code(Code::BadCharset(vec!["US-ASCII", "UTF-8"])));
    }
    let now = context.shared.parts.store.now().as_seconds();
    let condition = Compiler::new(selected, charset, now).condition(keys);
    let found = judge_all(context, selected, condition, &candidates(selected, keys)).await;
    found.map_err(|error: StoreError| refusal(&error))
}

/// A search that failed saves the empty result (RFC 5182 §2.1).
fn not_found(selected: &mut Selected, returns: Option<SearchReturns>, answer: Answer) -> Answer {
    if returns.is_some_and(|returns| returns.save) {
        selected.view.save(Vec::new());
    }
    answer
}

fn uids(members: impl Iterator<Item = Member>) -> Vec<u32> {
    members.map(|member| member.uid).collect()
}
