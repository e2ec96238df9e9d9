//! What lasts as long as one decision.

use std::any::Any;

/// The time from the first question of a decision to its last. Who runs plugins may keep something here until the next
/// question of the same decision, a running instance for example; it is gone with the decision. One thing at a time: what
/// is asked next makes room first, so that nobody holds one thing while waiting for another.
#[derive(Default)]
pub struct Sitting {
    kept: Option<Box<dyn Any + Send>>,
    counted: bool,
}

impl Sitting {
    /// One in which it is counted what calls cost ([`crate::CallReport::fuel`]): for explanations, which may take their time. Nothing
    /// lasts that a call does in it: neither what the plugin keeps, nor what is known of it afterwards.
    #[must_use]
    pub fn counted() -> Self {
        Self { kept: None, counted: true }
    }

    /// Whether it is counted what calls cost.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// Takes what was kept; what is of another type is let go.
    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        self.kept.take()?.downcast().ok().map(|kept| *kept)
    }

    /// Keeps something, in place of what was kept before.
    pub fn keep<T: Any + Send>(&mut self, kept: T) {
        self.kept = Some(Box::new(kept));
    }
}

impl std::fmt::Debug for Sitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kept, counted } = self;
        f.debug_struct("Sitting").field("kept", &kept.is_some()).field("counted", counted).finish()
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
