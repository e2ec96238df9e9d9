//! So many of something, for whoever wants some and has least: in whichever order they come, those who have much already wait
//! behind those who have little. One who has many calls that take long does not stand before another's first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mail_types::Domain;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who wants some: a tenant, or the server for itself.
pub(crate) type Holder = Option<Domain>;

/// What is given out.
pub(crate) struct Fair {
    state: Mutex<State>,
}

struct State {
    free: u32,
    held: HashMap<Holder, u32>,
    /// In the order in which they came. No more than there are calls under way.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    holder: Holder,
    many: u32,
    tell: oneshot::Sender<Held>,
}

/// Some of it, until this is dropped.
pub(crate) struct Held {
    of: Arc<Fair>,
    holder: Holder,
    many: u32,
}

impl State {
    fn take(&mut self, holder: &Holder, many: u32) {
        self.free -= many;
        match self.held.get_mut(holder) {
            Some(held) => *held += many,
            None => drop(self.held.insert(holder.clone(), many)),
        }
    }

    fn give_back(&mut self, holder: &Holder, many: u32) {
        self.free += many;
        let Some(held) = self.held.get_mut(holder) else { return };
        *held = held.saturating_sub(many);
        if *held == 0 {
            self.held.remove(holder);
        }
    }

    /// Whose turn it is, if there is enough for it: what is too little for it is saved up.
    fn next(&mut self) -> Option<Waiter> {
        // Who has given up has nothing to say any more.
        self.waiting.retain(|waiter| !waiter.tell.is_closed());
        let held = |waiter: &Waiter| self.held.get(&waiter.holder).copied().unwrap_or(0);
        let (at, waiter) = self.waiting.iter().enumerate().min_by_key(|(_, waiter)| held(waiter))?;
        if waiter.many > self.free {
            return None;
        }
        let waiter = self.waiting.remove(at)?;
        self.take(&waiter.holder, waiter.many);
        Some(waiter)
    }
}

impl Fair {
    pub(crate) fn new(count: u32) -> Arc<Self> {
        let state = State { free: count, held: HashMap::new(), waiting: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// So many, where they are free and nobody waits.
    pub(crate) fn now(self: &Arc<Self>, holder: &Holder, many: u32) -> Option<Held> {
        let mut state = self.state.lock();
        if many > state.free || !state.waiting.is_empty() {
            return None;
        }
        state.take(holder, many);
        drop(state);
        Some(Held { of: Arc::clone(self), holder: holder.clone(), many })
    }

    /// So many, in one's turn. There must be so many at all.
    pub(crate) async fn wait(self: &Arc<Self>, holder: &Holder, many: u32) -> Option<Held> {
        let (tell, told) = oneshot::channel();
        self.state.lock().waiting.push_back(Waiter { holder: holder.clone(), many, tell });
        // It may have become free before.
        self.serve();
        told.await.ok()
    }

    /// Gives to those who wait what there is.
    fn serve(self: &Arc<Self>) {
        loop {
            let Some(Waiter { holder, many, tell }) = self.state.lock().next() else { return };
            let held = Held { of: Arc::clone(self), holder, many };
            if let Err(mut given_up) = tell.send(held) {
                // Not by its end, which would come here again.
                self.state.lock().give_back(&given_up.holder, given_up.many);
                given_up.many = 0;
            }
        }
    }

    /// How many are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.state.lock().free as usize
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.many == 0 {
            return;
        }
        let mut state = self.of.state.lock();
        state.give_back(&self.holder, self.many);
        let waits = !state.waiting.is_empty();
        drop(state);
        if waits {
            self.of.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn holder(name: &str) -> Holder {
        Domain::parse(name).ok()
    }

    /// Whether it has come.
    async fn come<T>(waiting: &mut (impl Future<Output = Option<T>> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            held = waiting => held,
            () = tokio::task::yield_now() => None,
        }
    }

    #[tokio::test]
    async fn who_has_least_is_next_and_who_needs_many_is_not_passed_by() {
        let fair = Fair::new(4);
        let (many, few) = (holder("many.example"), holder("few.example"));
        let mut held: Vec<Held> = (0..4).map(|_| fair.now(&many, 1).unwrap()).collect();
        assert!(fair.now(&few, 1).is_none());
        let mut third = pin!(fair.wait(&many, 1));
        assert!(come(&mut third).await.is_none());
        let mut large = pin!(fair.wait(&few, 2));
        assert!(come(&mut large).await.is_none());
        // One is not enough for whose turn it is, and nobody else's.
        drop(held.pop());
        assert!(come(&mut large).await.is_none() && come(&mut third).await.is_none());
        assert!(fair.now(&few, 1).is_none(), "who comes now is not before those who wait");
        drop(held.pop());
        let of_few = come(&mut large).await.unwrap();
        assert!(come(&mut third).await.is_none());
        drop(of_few);
        let of_many = come(&mut third).await.unwrap();
        drop((of_many, held));
        assert_eq!(fair.free(), 4);
        assert!(fair.state.lock().held.is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let fair = Fair::new(2);
        let (one, other) = (holder("one.example"), holder("other.example"));
        let both = fair.now(&one, 2).unwrap();
        {
            let mut gives_up = pin!(fair.wait(&other, 2));
            assert!(come(&mut gives_up).await.is_none());
            // It has been given some, and never looks.
            let mut late = Box::pin(fair.wait(&other, 1));
            assert!(come(&mut late).await.is_none());
            drop(both);
            drop(late);
        }
        assert_eq!(fair.free(), 2);
        assert!(fair.now(&one, 2).is_some());
    }
}
