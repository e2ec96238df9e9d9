//! Entries that pass their addresses or domains round: each wants what another one has, and none can go first.

use std::collections::{HashMap, HashSet};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// Where it stands: not where it is to stand, which may be another's place.
    pub(crate) place: Dn,
    /// Who has what it wants.
    pub(crate) holder: Option<Dn>,
}

/// For each, which of the others it waits for.
fn waits_for(waiters: &[Waiter]) -> Vec<Option<usize>> {
    let known: HashMap<&Dn, usize> = waiters.iter().enumerate().map(|(at, one)| (&one.place, at)).collect();
    let of = |(at, one): (usize, &Waiter)| {
        let other = known.get(one.holder.as_ref()?).copied();
        other.filter(|other| *other != at)
    };
    waiters.iter().enumerate().map(of).collect()
}

/// Those who wait for each other: rings, and whoever waits for a ring.
pub(super) fn opposed(waiters: &[Waiter]) -> Vec<usize> {
    let next = waits_for(waiters);
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); next.len()];
    for (at, other) in next.iter().enumerate() {
        if let Some(other) = other {
            behind[*other].push(at);
        }
    }
    // Who waits for nobody stands in nobody's way, nor do those behind.
    let mut free: Vec<usize> = (0..next.len()).filter(|at| next[*at].is_none()).collect();
    let mut is_opposed = vec![true; next.len()];
    while let Some(at) = free.pop() {
        is_opposed[at] = false;
        free.append(&mut behind[at]);
    }
    (0..next.len()).filter(|at| is_opposed[*at]).collect()
}

/// The rings among those who wait for each other.
fn rings(waiters: &[Waiter]) -> Vec<Vec<usize>> {
    let next = waits_for(waiters);
    let (mut rings, mut seen) = (Vec::new(), vec![None; next.len()]);
    for from in 0..next.len() {
        let (mut way, mut at) = (Vec::new(), Some(from));
        while let Some(one) = at.filter(|one| seen[*one].is_none()) {
            seen[one] = Some(from);
            way.push(one);
            at = next[one];
        }
        // Where a way comes back to itself, and not to one that was gone before, there a ring begins.
        if let Some(begins) = at.filter(|one| seen[*one] == Some(from))
            && let Some(begins) = way.iter().position(|one| *one == begins)
        {
            rings.push(way.split_off(begins));
        }
    }
    rings
}

/// Those who wait for each other or for the same, together: each group can be put in its place apart from the others.
pub(super) fn groups(waiters: &[Waiter]) -> Vec<Vec<usize>> {
    let mut number: HashMap<&Dn, usize> = HashMap::new();
    let mut above: Vec<usize> = Vec::new();
    fn top(above: &mut [usize], mut at: usize) -> usize {
        while above[at] != at {
            above[at] = above[above[at]];
            at = above[at];
        }
        at
    }
    let mut places = Vec::with_capacity(waiters.len());
    for one in waiters {
        let mut of = |dn| {
            *number.entry(dn).or_insert_with(|| {
                above.push(above.len());
                above.len() - 1
            })
        };
        let (place, holder) = (of(&one.place), one.holder.as_ref().map(of));
        places.push(place);
        if let Some(holder) = holder {
            let (a, b) = (top(&mut above, place), top(&mut above, holder));
            above[a] = b;
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_top: HashMap<usize, usize> = HashMap::new();
    for (at, place) in places.into_iter().enumerate() {
        let group = *of_top.entry(top(&mut above, place)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(at);
    }
    groups
}

impl Applying<'_, '_> {
    /// Puts those in their places who wait for somebody that goes first; who is left waits for others than these, or in a ring.
    pub(super) fn let_go_first<'f>(
        &mut self,
        waiting: Vec<Waiting<'f>>,
    ) -> Result<Vec<Waiting<'f>>, EditError> {
        let mut left: Vec<Option<Waiting<'f>>> = waiting.into_iter().map(Some).collect();
        let mut behind: HashMap<Dn, Vec<usize>> = HashMap::new();
        let mut due: Vec<usize> = (0..left.len()).rev().collect();
        while !due.is_empty() {
            let mut any = false;
            while let Some(at) = due.pop() {
                let Some((found, age, _)) = left[at].take() else { continue };
                let was = self.moved_from(found)?;
                match self.put(found, age) {
                    Ok(()) => {
                        any = true;
                        let freed = [Some(found.dn().clone()), was].into_iter().flatten();
                        due.extend(freed.filter_map(|dn| behind.remove(&dn)).flatten());
                    }
                    Err(why) => {
                        let why = passing(why)?;
                        if let Some(holder) = fault(&why).1 {
                            behind.entry(holder).or_default().push(at);
                        }
                        left[at] = Some((found, age, why));
                    }
                }
            }
            if any {
                // What stands in the way of these has no name: it may be gone.
                let nameless = |one: &Option<Waiting<'f>>| {
                    one.as_ref().is_some_and(|(_, _, why)| fault(why).1.is_none())
                };
                due = (0..left.len()).filter(|at| nameless(&left[*at])).collect();
            }
        }
        Ok(left.into_iter().flatten().collect())
    }

    /// Lets those that stand in each other's way pass each other; they wait no longer.
    pub(super) fn swap(&mut self, waiting: &mut Vec<Waiting<'_>>) -> Result<(), EditError> {
        let mut passed = Vec::new();
        for ring in rings(&self.waiters(waiting)?) {
            if self.pass(waiting, &ring)? {
                passed.extend(ring);
            }
        }
        take_out(waiting, &passed);
        if !passed.is_empty() {
            *waiting = self.let_go_first(std::mem::take(waiting))?;
        }
        // One may want what several have: then only all of them together pass.
        let rest = opposed(&self.waiters(waiting)?);
        if self.pass(waiting, &rest)? {
            take_out(waiting, &rest);
        }
        Ok(())
    }

    fn waiters(&self, waiting: &[Waiting<'_>]) -> Result<Vec<Waiter>, EditError> {
        waiting.iter().map(|(found, _, why)| self.waiter(found, why)).collect()
    }

    /// Who waits for whom, where an entry was refused.
    pub(super) fn waiter(&self, found: &Found, why: &EditError) -> Result<Waiter, EditError> {
        let place = self.moved_from(found)?.unwrap_or_else(|| found.dn().clone());
        Ok(Waiter { place, holder: fault(why).1 })
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

/// Takes those at some places out.
fn take_out(waiting: &mut Vec<Waiting<'_>>, places: &[usize]) {
    let places: HashSet<usize> = places.iter().copied().collect();
    let mut at = 0..;
    waiting.retain(|_| at.next().is_none_or(|at| !places.contains(&at)));
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
        assert_eq!(opposed(&all), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rings(&all), [vec![0, 1], vec![2, 3, 4]]);
        // i waits for nobody, and nobody for i: a group of its own, as are g and j.
        assert_eq!(groups(&all), [vec![0, 1, 5], vec![2, 3, 4], vec![6], vec![7], vec![8]]);
    }
}
