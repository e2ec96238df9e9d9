//! Entries that pass their addresses or domains round: each wants what another one has, and none can go first.

use std::collections::HashMap;

use super::apply::{Age, Applying};
use super::found::Found;
use super::refusing::{fault, passing};
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::schema::Field;

/// An entry that could not be put in its place, and why.
pub(super) type Waiting<'f> = (&'f Found, Age, EditError);

/// Somebody who waits for another one.
pub(super) struct Waiter {
    /// Where it stands: not where it is to stand, which may be another's place.
    pub(super) place: Dn,
    /// Who has what it wants.
    pub(super) holder: Option<Dn>,
}

/// Those who wait for each other: rings, and whoever waits for a ring.
pub(super) fn opposed(waiters: &[Waiter]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..waiters.len()).collect();
    loop {
        let known: HashMap<&Dn, usize> = left.iter().map(|at| (&waiters[*at].place, *at)).collect();
        let waits = |at: &usize| {
            let holder = waiters[*at].holder.as_ref().and_then(|holder| known.get(holder));
            holder.is_some_and(|other| other != at)
        };
        let still: Vec<usize> = left.iter().copied().filter(waits).collect();
        if still.len() == left.len() {
            return still;
        }
        left = still;
    }
}

/// The ring that one of the opposed leads into.
fn ring(waiters: &[Waiter], opposed: &[usize], from: usize) -> Vec<usize> {
    let holder_of = |at: usize| {
        let holder = waiters[at].holder.as_ref()?;
        opposed.iter().copied().find(|other| waiters[*other].place == *holder)
    };
    let mut way = vec![from];
    while let Some(next) = way.last().and_then(|at| holder_of(*at)) {
        if let Some(begins) = way.iter().position(|at| *at == next) {
            return way.split_off(begins);
        }
        way.push(next);
    }
    Vec::new()
}

impl Applying<'_, '_> {
    /// Lets those that stand in each other's way pass each other; they wait no longer.
    pub(super) fn swap(&mut self, waiting: &mut Vec<Waiting<'_>>) -> Result<(), EditError> {
        let mut waiters = Vec::with_capacity(waiting.len());
        for (found, _, why) in waiting.iter() {
            let place = self.moved_from(found)?.unwrap_or_else(|| found.dn().clone());
            waiters.push(Waiter { place, holder: fault(why).1 });
        }
        let all = opposed(&waiters);
        let mut passed = Vec::new();
        for from in &all {
            if !passed.contains(from) {
                let ring = ring(&waiters, &all, *from);
                if ring.iter().all(|at| !passed.contains(at)) && self.pass(waiting, &ring)? {
                    passed.extend(ring);
                }
            }
        }
        // One may want what several have: then only all of them together pass.
        let rest: Vec<usize> = all.into_iter().filter(|at| !passed.contains(at)).collect();
        if self.pass(waiting, &rest)? {
            passed.extend(rest);
        }
        let mut at = 0;
        waiting.retain(|_| {
            at += 1;
            !passed.contains(&(at - 1))
        });
        Ok(())
    }

    /// Takes away what all of them have, then puts each in its place; or leaves everything as it was.
    fn pass(&mut self, waiting: &[Waiting<'_>], ring: &[usize]) -> Result<bool, EditError> {
        if ring.len() < 2 {
            return Ok(false);
        }
        let before = self.checkpoint();
        for at in ring {
            let found = waiting[*at].0;
            let now = self.moved_from(found)?.unwrap_or_else(|| found.dn().clone());
            if let Some((_, old)) = self.composing.current(&now)? {
                self.edit(Edit::Modify(self.without_claims(&old)))?;
                // What was taken away for a moment is no change.
                self.applied.touched.pop();
            }
        }
        let mut left = ring.to_vec();
        loop {
            let (many, mut still) = (left.len(), Vec::new());
            for at in left {
                if let Err(why) = self.put(waiting[at].0, Age::IsNow) {
                    passing(why)?;
                    still.push(at);
                }
            }
            left = still;
            if left.is_empty() {
                return Ok(true);
            }
            if left.len() == many {
                self.go_back(before);
                return Ok(false);
            }
        }
    }

    fn without_claims(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        let fields = [
            Field::Mail,
            Field::MailAlternateAddress,
            Field::MailEquivalentAddress,
            Field::SunPreferredDomain,
            Field::AssociatedDomain,
        ];
        for name in fields.iter().flat_map(|field| self.composing.view.schema.names(*field)) {
            entry.replace(name, Vec::new());
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(all: &[(&str, Option<&str>)]) -> Vec<Waiter> {
        let dn = |name: &str| Dn::parse(&format!("uid={name},o=isp")).unwrap();
        let waiter =
            |(place, holder): &(&str, Option<&str>)| Waiter { place: dn(place), holder: holder.map(dn) };
        all.iter().map(waiter).collect()
    }

    #[test]
    fn rings_are_found_and_who_waits_for_others_is_not_in_them() {
        // a and b exchange; c, d and e pass round, d under the name that it has; f waits for a; g for nobody who waits.
        let all = waiters(&[
            ("a", Some("b")),
            ("b", Some("a")),
            ("c", Some("old-d")),
            ("old-d", Some("e")),
            ("e", Some("c")),
            ("f", Some("a")),
            ("g", Some("h")),
            ("i", None),
            ("j", Some("j")),
        ]);
        let opposed = opposed(&all);
        assert_eq!(opposed, [0, 1, 2, 3, 4, 5]);
        assert_eq!(ring(&all, &opposed, 5), [0, 1]);
        assert_eq!(ring(&all, &opposed, 3), [3, 4, 2]);
    }
}
