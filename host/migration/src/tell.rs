//! Progress, on its way to whoever asked.

/// What telling came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Go on.
    GoOn,
    /// Nobody waits for the end any more.
    Stop,
}

/// Takes how far the work is: messages done, of how many (as far as that is known), and at what.
pub type Tell<'t> = &'t (dyn Fn(u64, u64, &str) -> Told + Send + Sync);
