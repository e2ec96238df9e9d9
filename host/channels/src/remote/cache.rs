//! Connections kept for the next message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail_types::{NextHop, Timestamp};
use runtime::Clock;

use crate::remote::peer::Peer;

/// How old a connection may become, however busy (some peers cut those that last).
const AGE_MAX: Duration = Duration::from_secs(300);

/// Unused connections by next hop, within maxima. Those unused for too long are closed by a task that
/// lives only while there are any.
#[derive(Debug, Clone)]
pub(crate) struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    idle: Duration,
    idle_max: usize,
    per_destination: usize,
    messages_max: u32,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    peers: HashMap<NextHop, Vec<(Peer, Timestamp)>>,
    count: usize,
    /// The closing task runs.
    swept: bool,
}

impl Cache {
    pub(crate) fn new(clock: Clock, options: &super::RemoteOptions) -> Self {
        Self(Arc::new(Inner {
            clock,
            idle: options.idle,
            idle_max: options.idle_max,
            per_destination: options.idle_per_destination,
            messages_max: options.messages_per_connection,
            kept: Mutex::default(),
        }))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, if it is still good.
    pub(crate) fn take(&self, next_hop: &NextHop) -> Option<Peer> {
        loop {
            let mut kept = self.kept();
            let peers = kept.peers.get_mut(next_hop)?;
            let (mut peer, since) = peers.pop()?;
            if peers.is_empty() {
                kept.peers.remove(next_hop);
            }
            kept.count -= 1;
            drop(kept);
            if self.0.clock.now().since(since) < self.0.idle && peer.is_quiet() {
                return Some(peer);
            }
        }
    }

    /// Keeps a connection, or gives it back where it is to be closed.
    pub(crate) fn put(&self, next_hop: &NextHop, peer: Peer) -> Option<Peer> {
        let now = self.0.clock.now();
        let worn = peer.messages >= self.0.messages_max || now.since(peer.opened) >= AGE_MAX;
        let mut kept = self.kept();
        let full = kept.count >= self.0.idle_max
            || kept.peers.get(next_hop).map_or(0, Vec::len) >= self.0.per_destination;
        if worn || full || self.0.idle.is_zero() {
            return Some(peer);
        }
        kept.peers.entry(next_hop.clone()).or_default().push((peer, now));
        kept.count += 1;
        if !kept.swept {
            kept.swept = true;
            tokio::spawn(self.clone().sweep());
        }
        None
    }

    async fn sweep(self) {
        loop {
            tokio::time::sleep(self.0.idle).await;
            let (expired, done) = self.expired(self.0.clock.now());
            for peer in expired {
                tokio::spawn(peer.quit());
            }
            if done {
                return;
            }
        }
    }

    fn expired(&self, now: Timestamp) -> (Vec<Peer>, bool) {
        let mut expired = Vec::new();
        let mut kept = self.kept();
        let idle = self.0.idle;
        kept.peers.retain(|_, peers| {
            let fresh = peers.iter().position(|(_, since)| now.since(*since) < idle).unwrap_or(peers.len());
            expired.extend(peers.drain(..fresh).map(|(peer, _)| peer));
            !peers.is_empty()
        });
        kept.count -= expired.len();
        kept.swept = kept.count > 0;
        (expired, !kept.swept)
    }

    /// All of them, to be closed.
    pub(crate) fn drain(&self) -> Vec<Peer> {
        let mut kept = self.kept();
        kept.count = 0;
        std::mem::take(&mut kept.peers).into_values().flatten().map(|(peer, _)| peer).collect()
    }
}
