//! The seeded simulation: queue and store over a disk that fails and loses power, remote hosts
//! with moods, a directory that goes away, an operator, readers,
//! clients at work in the same mailboxes, and paused time.
//!
//! `WASMTA_SEEDS` says how many seeds are run (default 1000), `WASMTA_SEED` where they begin. A
//! seed that breaks a promise is printed, and `WASMTA_SEED=n WASMTA_SEEDS=1` runs it again.

mod agents;
mod disk;
mod house;
mod ledger;
mod power_cuts;
mod sessions;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_seed_breaks_a_promise() {
    let (first, count) = (number("WASMTA_SEED", 1), number("WASMTA_SEEDS", 1000));
    let next = AtomicU64::new(first);
    let (broken, totals) =
        (parking_lot::Mutex::new(Vec::new()), parking_lot::Mutex::new(world::Totals::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    match world::run(seed) {
                        Ok(run) => totals.lock().add(&run),
                        Err(why) => broken.lock().push(format!("seed {seed}: {why}")),
                    }
                }
            });
        }
    });
    let (broken, totals) = (broken.into_inner(), totals.into_inner());
    println!("{count} seeds: {totals:?}");
    assert!(
        broken.is_empty(),
        "{} of {count} seeds broke a promise:\n{}",
        broken.len(),
        broken[..broken.len().min(5)].join("\n")
    );
    // A simulation in which nothing happens proves nothing.
    let lively = totals.acknowledged > count
        && totals.refused > 0
        && totals.crashes > 0
        && totals.commands > count
        && totals.failed_commits > 0
        && totals.failed_readings > 0;
    assert!(lively || count < 100, "too little happened: {totals:?}");
}
