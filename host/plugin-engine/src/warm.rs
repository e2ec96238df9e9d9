//! Instances that wait for their tenant's next message.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::instance::Instance;

/// Most instances kept warm for one tenant and plugin.
const WARM_MAX: usize = 8;

/// The warm instances of one tenant.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<(Instant, Box<Instance>)>>);

impl Shelf {
    /// Takes one of the same generation; older ones are dropped.
    pub(crate) fn take(&self, idle: Duration) -> Option<Box<Instance>> {
        let mut shelf = self.0.lock();
        while let Some((since, instance)) = shelf.pop() {
            if since.elapsed() <= idle {
                return Some(instance);
            }
        }
        None
    }

    /// Puts one back; where there is no room, it is dropped.
    pub(crate) fn put(&self, instance: Box<Instance>) {
        let mut shelf = self.0.lock();
        if shelf.len() < WARM_MAX {
            shelf.push((Instant::now(), instance));
        }
    }

    pub(crate) fn sweep(&self, idle: Duration) {
        self.0.lock().retain(|(since, _)| since.elapsed() <= idle);
    }
}
