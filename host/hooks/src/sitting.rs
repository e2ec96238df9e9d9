//! What lasts as long as one decision.

use std::any::Any;

/// The time from the first question of a decision to its last. Who runs plugins may keep something here until the next
/// question of the same decision, a running instance for example; it is gone with the decision. One thing at a time: what
/// is asked next makes room first, so that nobody holds one thing while waiting for another.
#[derive(Default)]
pub struct Sitting(Option<Box<dyn Any + Send>>);

impl Sitting {
    /// Takes what was kept; what is of another type is let go.
    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        self.0.take()?.downcast().ok().map(|kept| *kept)
    }

    /// Keeps something, in place of what was kept before.
    pub fn keep<T: Any + Send>(&mut self, kept: T) {
        self.0 = Some(Box::new(kept));
    }
}

impl std::fmt::Debug for Sitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sitting").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_kept_and_nothing_of_another_kind_is_given() {
        let mut sitting = Sitting::default();
        assert_eq!(sitting.take::<u32>(), None);
        sitting.keep("first".to_owned());
        sitting.keep("second".to_owned());
        assert_eq!(sitting.take::<String>().as_deref(), Some("second"));
        assert_eq!(sitting.take::<String>(), None);
        sitting.keep(7_u32);
        assert_eq!(sitting.take::<String>(), None);
        assert_eq!(sitting.take::<u32>(), None, "it was let go");
    }
}
