//! The graceful stop: everybody is told once, sessions finish, and the last one out is awaited.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The order to stop, shared by all tasks. Clones are the same order.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    triggered: watch::Sender<bool>,
    sessions: watch::Sender<usize>,
}

/// Counts one live session (or other work worth waiting for) until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct SessionGuard(Arc<Inner>);

impl Shutdown {
    /// An order not given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the order. Again has no effect.
    pub fn trigger(&self) {
        self.0.triggered.send_replace(true);
    }

    /// Whether the order was given.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.triggered.borrow()
    }

    /// Returns once the order is given; at once where it was.
    pub async fn wait(&self) {
        // The sender lives in `self`, so the only way out is the order.
        let _ = self.0.triggered.subscribe().wait_for(|triggered| *triggered).await;
    }

    /// Counts a session as live.
    pub fn guard(&self) -> SessionGuard {
        self.0.sessions.send_modify(|count| *count += 1);
        SessionGuard(Arc::clone(&self.0))
    }

    /// How many sessions are live.
    #[must_use]
    pub fn sessions(&self) -> usize {
        *self.0.sessions.borrow()
    }

    /// Waits until no session is live, or the time is up. Gives how many were left.
    pub async fn drained(&self, deadline: Duration) -> usize {
        let mut sessions = self.0.sessions.subscribe();
        let _ = tokio::time::timeout(deadline, sessions.wait_for(|count| *count == 0)).await;
        self.sessions()
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_order() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        waiting.await.unwrap();
        assert!(shutdown.is_triggered());
        shutdown.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_sessions_but_not_for_ever() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.drained(Duration::from_secs(1)).await, 0);
        let (one, two) = (shutdown.guard(), shutdown.guard());
        assert_eq!(shutdown.sessions(), 2);
        drop(one);
        assert_eq!(shutdown.drained(Duration::from_secs(1)).await, 1);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(two);
        });
        assert_eq!(shutdown.drained(Duration::from_secs(60)).await, 0);
    }
}
