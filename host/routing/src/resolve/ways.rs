//! All ways by which an address was reached. It is resolved once, on the first of them; but mail that has been with a user whose
//! forward is on one way has not been with those of another, and goes by that (R72).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use mail_types::Address;

/// Most ways to one address that are told apart, by the users whose forwards are on them; of more, the shortest.
pub(super) const WAYS_MAX: usize = 8;

/// An address of a walk.
pub(super) type Place = usize;

/// The address that the walk begins with.
pub(super) const FIRST: Place = 0;

/// The users whose forwards are on a way, in their order.
type Way = Rc<[Address]>;

/// One step of a way: by which user's forward, where it is one.
struct Step {
    from: Place,
    to: Place,
    by: Option<Address>,
}

/// The addresses of a walk, and the steps between them, also those to addresses that were seen before.
#[derive(Default)]
pub(super) struct Ways {
    places: HashMap<String, Place>,
    steps: Vec<Step>,
    has_forwards: bool,
}

impl Ways {
    /// Begins with an address.
    pub(super) fn new(first: &Address) -> Self {
        Self { places: HashMap::from([(first.to_key(), FIRST)]), ..Self::default() }
    }

    /// Notes a step. Gives the place where it leads, if nothing has led there before.
    pub(super) fn step(&mut self, from: Place, to: &Address, by: Option<&Address>) -> Option<Place> {
        let new = self.places.len();
        let to = *self.places.entry(to.to_key()).or_insert(new);
        self.has_forwards |= by.is_some();
        self.steps.push(Step { from, to, by: by.cloned() });
        (to == new).then_some(new)
    }

    /// Notes that two places are addresses of one entry, which the second is expanded for.
    pub(super) fn joined(&mut self, from: Place, to: Place) {
        self.steps.push(Step { from, to, by: None });
    }

    /// The ways to each place, those with the fewest steps first; nothing where all are by nobody's forward.
    pub(super) fn all(&self) -> Option<Vec<Vec<Way>>> {
        if !self.has_forwards {
            return None;
        }
        let mut from = vec![Vec::new(); self.places.len()];
        for step in &self.steps {
            from[step.from].push(step);
        }
        let mut ways: Vec<Vec<Way>> = vec![Vec::new(); self.places.len()];
        let mut waiting = VecDeque::from([(FIRST, Way::from([]))]);
        while let Some((place, way)) = waiting.pop_front() {
            let known = &mut ways[place];
            // One that passes all users of another is no better than that; so circles end, too.
            let is_no_better = |other: &Way| other.iter().all(|user| way.contains(user));
            if known.len() == WAYS_MAX || known.iter().any(is_no_better) {
                continue;
            }
            known.push(Rc::clone(&way));
            for step in &from[place] {
                let longer = match &step.by {
                    Some(by) => way.iter().chain([by]).cloned().collect(),
                    None => Rc::clone(&way),
                };
                waiting.push_back((step.to, longer));
            }
        }
        Some(ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str) -> Address {
        Address::parse(&format!("{name}@here.test")).unwrap()
    }

    /// The ways to `z` over steps `from by to`, `.` for nobody.
    fn ways(steps: &[&str]) -> Vec<String> {
        let mut ways = Ways::new(&address("a"));
        for step in steps {
            let words: Vec<&str> = step.split(' ').collect();
            let by = (words[1] != ".").then(|| address(words[1]));
            let from = ways.places[&address(words[0]).to_key()];
            ways.step(from, &address(words[2]), by.as_ref());
        }
        let Some(all) = ways.all() else { return Vec::new() };
        let shown = |way: &Way| way.iter().map(|user| user.local.as_str()).collect::<Vec<_>>().join(" ");
        all[ways.places[&address("z").to_key()]].iter().map(shown).collect()
    }

    #[test]
    fn an_address_has_all_ways_that_differ() {
        for (steps, expected) in [
            (&["a . z"][..], &[][..]),
            (&["a . b", "a . c", "b b z", "c c z"], &["b", "c"]),
            // What lies above is a way, too, whenever it turns up.
            (&["a . b", "a . c", "b b d", "d . z", "c c d"], &["b", "c"]),
            (&["a . b", "b b z", "a . c", "c . d", "d . z"], &["b", ""]),
            // Circles, and detours that pass the same users, are none.
            (&["a . b", "b b z", "z z b", "a . c", "c c b"], &["b"]),
        ] {
            assert_eq!(ways(steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn there_are_no_more_than_so_many() {
        let mut ways = Ways::new(&address("a"));
        for number in 0..WAYS_MAX + 5 {
            let by = address(&format!("by{number}"));
            let place = ways.step(FIRST, &by, None).unwrap();
            ways.step(place, &address("z"), Some(&by));
        }
        let place = ways.places[&address("z").to_key()];
        assert_eq!(ways.all().unwrap()[place].len(), WAYS_MAX);
    }
}
