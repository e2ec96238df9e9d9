//! The answers of SEARCH, SORT and THREAD.

use std::fmt::Write as _;

use imap_wire::{By, Esearch, Response, SearchReturns, SequenceSet};

use super::judge::Found;
use super::thread::Threads;
use super::uids;
use crate::commands::Context;
use crate::io::End;
use crate::selected::Selected;
use crate::view::Member;

/// Numbers that are written before what was gathered is sent, if it is much.
const NUMBERS_A_PIECE: usize = 1_000;

/// How results are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) by: By,
    /// `MODSEQ` was searched for: the highest is told (RFC 7162 §3.1.5).
    pub(super) with_modseq: bool,
    /// The results have an order of their own.
    pub(super) in_order: bool,
}

fn number(by: By, member: Member) -> u32 {
    if by == By::Uid { member.uid } else { member.sequence }
}

fn highest(found: &[Found], told: Told) -> Option<u64> {
    found.iter().map(|found| found.modseq).max().filter(|_| told.with_modseq)
}

/// `SEARCH` or `SORT` with all numbers, in pieces: a large mailbox makes a long line.
pub(super) async fn plain(
    context: &mut Context<'_>,
    word: &str,
    found: &[Found],
    told: Told,
) -> Result<(), End> {
    context.io.out().extend_from_slice(format!("* {word}").as_bytes());
    for piece in found.chunks(NUMBERS_A_PIECE) {
        let out = context.io.out();
        for found in piece {
            out.extend_from_slice(format!(" {}", number(told.by, found.member)).as_bytes());
        }
        context.io.flush_if_full().await?;
    }
    if let Some(modseq) = highest(found, told) {
        context.io.out().extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
    }
    context.io.out().extend_from_slice(b"\r\n");
    Ok(())
}

/// `ESEARCH`, and what is saved as `$`.
pub(super) fn extended(
    context: &mut Context<'_>,
    selected: &mut Selected,
    found: &[Found],
    (returns, told): (SearchReturns, Told),
) {
    let part = returns.partial.map(|range| (range, &found[range.of(found.len())]));
    if returns.save {
        selected.view.save(saved(found, returns));
    }
    let asked = returns.min || returns.max || returns.all || returns.count || returns.partial.is_some();
    if returns.save && !asked && !returns.update && !returns.context {
        // RFC 5182 §2.1: SAVE alone is answered by the tagged response only; anything else by ESEARCH (RFC 4731 §3.1).
        return;
    }
    let number = |found: &Found| number(told.by, found.member);
    let set = |found: &[Found]| SequenceSet::from_rising(found.iter().map(number));
    let listed = |found: &[Found]| {
        if told.in_order { runs(found.iter().map(number)) } else { set(found).map(|set| set.to_string()) }
    };
    let all = if returns.all { listed(found) } else { None };
    let told_messages = told_of(found, returns);
    context.io.say(&Response::Esearch(Esearch {
        tag: context.tag.as_str().to_owned(),
        uid: told.by == By::Uid,
        min: found.first().map(number).filter(|_| returns.min),
        max: found.last().map(number).filter(|_| returns.max),
        count: returns.count.then(|| u32::try_from(found.len()).unwrap_or(u32::MAX)),
        all,
        partial: part.map(|(range, part)| (range, listed(part))),
        updates: Vec::new(),
        modseq: highest(told_messages, told),
    }));
}

/// The messages whose highest mod-sequence is told: with `MIN` or `MAX` alone, that one (RFC 4731 §3.2).
fn told_of(found: &[Found], returns: SearchReturns) -> &[Found] {
    let others = returns.all || returns.count || returns.partial.is_some();
    match (returns.min, returns.max) {
        (true, false) if !others => &found[..found.len().min(1)],
        (false, true) if !others => &found[found.len().saturating_sub(1)..],
        _ => found,
    }
}

/// What `$` becomes (RFC 5182 §2.4, RFC 9394 §3.2).
fn saved(found: &[Found], returns: SearchReturns) -> Vec<u32> {
    let all = returns.all || returns.count;
    let single = returns.min || returns.max || returns.partial.is_some();
    if all || !single {
        return uids(found.iter().map(|found| found.member));
    }
    let mut saved = returns
        .partial
        .map_or_else(Vec::new, |range| uids(found[range.of(found.len())].iter().map(|found| found.member)));
    saved.extend(found.first().filter(|_| returns.min).map(|found| found.member.uid));
    saved.extend(found.last().filter(|_| returns.max).map(|found| found.member.uid));
    saved.sort_unstable();
    saved.dedup();
    saved
}

/// Numbers in their order, neighbours that rise joined; `None` where there are none.
fn runs(numbers: impl Iterator<Item = u32>) -> Option<String> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let mut text = String::new();
    for (from, to) in &runs {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = if from == to { write!(text, "{comma}{from}") } else { write!(text, "{comma}{from}:{to}") };
    }
    (!text.is_empty()).then_some(text)
}

/// ```text
/// thread-data    = "THREAD" [SP 1*thread-list]
/// thread-list    = "(" (thread-members / thread-nested) ")"
/// thread-members = nz-number *(SP nz-number) [SP thread-nested]
/// thread-nested  = 2*thread-list
/// ```
pub(super) async fn threads(context: &mut Context<'_>, list: &[u8]) -> Result<(), End> {
    context.io.out().extend_from_slice(b"* THREAD");
    if !list.is_empty() {
        context.io.out().push(b' ');
        context.io.flush_with(list).await?;
    }
    context.io.out().extend_from_slice(b"\r\n");
    Ok(())
}

/// All threads as they are written.
pub(super) fn thread_list(threads: &Threads, by: By) -> Vec<u8> {
    let mut list = Vec::new();
    for root in &threads.roots {
        write_thread(&mut list, threads, *root, by);
    }
    list
}

/// What is still to be written of a thread.
enum Step {
    /// A list of its own.
    List(usize),
    /// A member of the list that is open.
    Member(usize),
    Close,
}

/// Without recursion: a thread may be as deep as the mailbox is large.
fn write_thread(out: &mut Vec<u8>, threads: &Threads, root: usize, by: By) {
    let mut steps = vec![Step::List(root)];
    // Whether what comes stands behind a number of its list.
    let mut follows = false;
    while let Some(step) = steps.pop() {
        let node = match step {
            Step::Close => {
                out.push(b')');
                continue;
            }
            Step::List(node) => {
                out.push(b'(');
                follows = false;
                steps.push(Step::Close);
                node
            }
            Step::Member(node) => node,
        };
        let node = &threads.nodes[node];
        if let Some(member) = node.member {
            let space = if follows { " " } else { "" };
            out.extend_from_slice(format!("{space}{}", number(by, member)).as_bytes());
            follows = true;
        }
        match node.children.as_slice() {
            [] => {}
            [only] => steps.push(Step::Member(*only)),
            children => {
                if follows {
                    out.push(b' ');
                }
                steps.extend(children.iter().rev().map(|child| Step::List(*child)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::search::thread::Node;

    #[test]
    fn threads_are_written_as_rfc_5256_prints_them() {
        // (2)(3 6 (4 23)(44 7 96)), and ((3)(5)) under a parent that is not there.
        let numbers = [2, 3, 6, 4, 23, 44, 7, 96, 0, 3, 5];
        let children: [&[usize]; 11] = [&[], &[2], &[3, 5], &[4], &[], &[6], &[7], &[], &[9, 10], &[], &[]];
        let nodes = numbers.iter().zip(children).map(|(number, children)| Node {
            member: (*number > 0).then_some(Member { sequence: *number, uid: *number }),
            children: children.to_vec(),
            ..Node::default()
        });
        let threads = Threads { nodes: nodes.collect(), roots: vec![0, 1, 8], ..Threads::default() };
        let out = thread_list(&threads, By::SequenceNumber);
        assert_eq!(String::from_utf8(out).unwrap(), "(2)(3 6 (4 23)(44 7 96))((3)(5))");
    }

    #[test]
    fn neighbours_that_rise_are_joined_in_their_order() {
        assert_eq!(runs([5, 3, 4, 1, 2].into_iter()).unwrap(), "5,3:4,1:2");
        assert_eq!(runs([].into_iter()), None);
    }
}
