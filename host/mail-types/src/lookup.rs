//! The three answers of a lookup.

use serde::{Deserialize, Serialize};

/// What a directory, a table or the DNS answers. *Not found* is a permanent fact (5xx);
/// *unavailable* is a passing one (4xx); the two are never mixed up, because code has to name both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Lookup<T> {
    /// It exists.
    Found(T),
    /// The source answered, and it does not exist.
    NotFound,
    /// The source did not answer; why, for the log.
    Unavailable(String),
}

impl<T> Lookup<T> {
    /// Changes what was found.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(value) => Lookup::Found(change(value)),
            Self::NotFound => Lookup::NotFound,
            Self::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    /// Whether it exists.
    #[must_use]
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }
}

impl<T> From<Option<T>> for Lookup<T> {
    /// For sources that cannot fail: `None` is *not found*.
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::NotFound, Self::Found)
    }
}
