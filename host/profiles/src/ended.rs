//! What ends with a user's mail: with the first hold, discard or reject of its plugins nothing else is done for it, so its own
//! options end too: the answer, the programs and files, the forwards, and what those lead to.

use std::collections::HashSet;

use mail_types::{AccountName, Address, NextHop};
use queue::Accepted;

use crate::case::Case;

/// Takes away what is a copy of mail that has ended for its user. What others lead to, too, goes on by their way.
pub(crate) fn end_with_their_mail(cases: &mut Vec<Case>, others: &mut Vec<Accepted>) {
    let mut ended: HashSet<AccountName> = cases.iter().filter_map(Case::ended).cloned().collect();
    // By another of its addresses the same user may have kept the message.
    for account in cases.iter().filter_map(Case::going_on) {
        ended.remove(account);
    }
    if ended.is_empty() {
        return;
    }
    cases.retain_mut(|case| goes_on(&mut case.accepted, &ended));
    others.retain_mut(|one| !is_on_behalf(one, &ended) && goes_on(one, &ended));
}

/// Whether a copy is for a channel that works for one of these.
fn is_on_behalf(one: &Accepted, ended: &HashSet<AccountName>) -> bool {
    match &one.route.next_hop {
        NextHop::Account(account) | NextHop::Named { account, .. } | NextHop::Answer { account, .. } => {
            one.route.local_account().is_none() && ended.contains(account)
        }
        _ => false,
    }
}

/// Whether a copy comes by a way that none of these has forwarded it on; it takes such a way where there is one.
fn goes_on(one: &mut Accepted, ended: &HashSet<AccountName>) -> bool {
    let is_cut = |way: &[Address]| {
        way.iter().any(|by| AccountName::new(&by.to_key()).is_some_and(|by| ended.contains(&by)))
    };
    if !is_cut(&one.recipient.forwarders) {
        one.other_ways.retain(|way| !is_cut(way));
        return true;
    }
    one.other_ways.retain(|way| !is_cut(way));
    if one.other_ways.is_empty() {
        return false;
    }
    one.recipient.forwarders = one.other_ways.remove(0);
    true
}

#[cfg(test)]
mod tests;
