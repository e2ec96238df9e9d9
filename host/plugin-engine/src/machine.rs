//! The engine that runs components: its configuration, its room, its clock of slices.
//!
//! Two profiles. *Serving* interrupts by slices of time (epochs) and takes instances from a pool, so that a fresh
//! instance costs microseconds. *Metering* counts instructions (fuel), the same on every run: for tools. Where the
//! pool's address space is not to be had, instances are made on demand, and [`Machine::allocation`] says so.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::fault::FRAMES_MAX;

/// Length of a slice: how late a guest that loops is seen.
pub const SLICE: Duration = Duration::from_millis(1);
/// Largest memory of any instance, in octets: what a slot of the pool holds.
pub const MEMORY_MAX: u64 = 128 << 20;
/// Instances that may exist at a time.
pub const INSTANCES_MAX: u32 = 256;
/// Core instances of one component: Python's have 38.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
/// Memories of one component: JavaScript's have 3.
pub(crate) const MEMORIES_MAX: u32 = 16;
/// Tables of one component.
pub(crate) const TABLES_MAX: u32 = 32;
/// What a place of the pool has of each.
const CORE_INSTANCES_OF_PLACE: u32 = 12;
const MEMORIES_OF_PLACE: u32 = 2;
const TABLES_OF_PLACE: u32 = 6;
/// Most elements of a table: the JavaScript and Python engines take thousands.
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// What of an instance's memory stays resident in its slot for the next one.
const KEEP_RESIDENT: usize = 512 << 10;
/// Slots that stay warm.
const WARM_SLOTS_MAX: u32 = 64;
/// Slices without a call before the clock stops until the next one.
const IDLE_SLICES: u32 = 200;
/// How long it then rests, where no call comes.
const REST: Duration = Duration::from_secs(1);

/// How a component is compiled and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Interrupted by time: for mail.
    Serving,
    /// Counted by instructions: for tools.
    Metering,
}

/// What machine code is made for: it only runs on an engine of the same profile and allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// How it is stopped.
    pub profile: Profile,
    /// How much room its memories have.
    pub allocation: Allocation,
}

impl Target {
    const ALL: [(&'static str, Self); 4] = [
        ("serving-pool", Self { profile: Profile::Serving, allocation: Allocation::Pool }),
        ("serving-on-demand", Self { profile: Profile::Serving, allocation: Allocation::OnDemand }),
        ("metering-pool", Self { profile: Profile::Metering, allocation: Allocation::Pool }),
        ("metering-on-demand", Self { profile: Profile::Metering, allocation: Allocation::OnDemand }),
    ];

    /// Its word on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, target)| *target == self).map_or("", |(word, _)| word)
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(word, _)| *word == text).map(|(_, target)| *target)
    }

    /// An engine that compiles for it, and sets no room aside.
    ///
    /// # Errors
    /// Nothing can be compiled on this processor.
    pub fn compiler(self) -> wasmtime::Result<Engine> {
        let mut config = configuration(self.profile, self.allocation);
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&config)
    }
}

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// From a pool of prepared slots.
    Pool,
    /// Made one by one.
    OnDemand,
}

/// An engine with its clock.
pub struct Machine {
    engine: Engine,
    allocation: Allocation,
    profile: Profile,
    running: Arc<Running>,
}

/// How many calls run, for the clock.
struct Running {
    calls: AtomicUsize,
    ticker: thread::Thread,
}

/// A call under way: while one lives, the clock goes.
pub(crate) struct Turn(Arc<Running>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Machine {
    /// Builds an engine, from a pool where the machine has room for one.
    ///
    /// # Errors
    /// The processor or system cannot run components at all.
    pub fn new(profile: Profile) -> wasmtime::Result<Self> {
        let pooled = Engine::new(&configuration(profile, Allocation::Pool));
        let (engine, allocation) = match pooled {
            Ok(engine) => (engine, Allocation::Pool),
            Err(_) => (Engine::new(&configuration(profile, Allocation::OnDemand))?, Allocation::OnDemand),
        };
        Ok(Self::with(engine, allocation, profile))
    }

    /// An engine that sets no room aside: for what is rare.
    ///
    /// # Errors
    /// The processor or system cannot run components at all.
    pub fn on_demand(profile: Profile) -> wasmtime::Result<Self> {
        let engine = Engine::new(&configuration(profile, Allocation::OnDemand))?;
        Ok(Self::with(engine, Allocation::OnDemand, profile))
    }

    fn with(engine: Engine, allocation: Allocation, profile: Profile) -> Self {
        let ticker = begin_ticking(engine.weak());
        let running = Arc::new(Running { calls: AtomicUsize::new(0), ticker: ticker.thread().clone() });
        // The thread learns of the counter through its own channel of one.
        ticker.hand_over(Arc::downgrade(&running));
        Self { engine, allocation, profile, running }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where instances come from.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// How its guests are stopped.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What its machine code is made for.
    #[must_use]
    pub fn target(&self) -> Target {
        Target { profile: self.profile, allocation: self.allocation }
    }

    /// Begins a call: wakes the clock where it slept.
    pub(crate) fn turn(&self) -> Turn {
        if self.running.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            self.running.ticker.unpark();
        }
        Turn(Arc::clone(&self.running))
    }
}

/// The clock's thread, before it knows what to watch.
struct Ticker {
    handle: thread::JoinHandle<()>,
    to: std::sync::mpsc::Sender<std::sync::Weak<Running>>,
}

impl Ticker {
    fn thread(&self) -> &thread::Thread {
        self.handle.thread()
    }

    fn hand_over(self, running: std::sync::Weak<Running>) {
        // A thread that ended has no engine to drive either.
        let _ = self.to.send(running);
    }
}

/// A plain thread, so that it goes on when every worker is busy with guests: exactly then it is needed.
fn begin_ticking(engine: EngineWeak) -> Ticker {
    let (to, inbox) = std::sync::mpsc::channel::<std::sync::Weak<Running>>();
    let handle = thread::spawn(move || {
        let Ok(running) = inbox.recv() else { return };
        let mut idle = 0_u32;
        loop {
            thread::sleep(SLICE);
            let (Some(engine), Some(running)) = (engine.upgrade(), running.upgrade()) else { return };
            engine.increment_epoch();
            if running.calls.load(Ordering::Relaxed) > 0 {
                idle = 0;
                continue;
            }
            idle += 1;
            drop((engine, running));
            if idle >= IDLE_SLICES {
                let parked = Instant::now();
                // Woken by the next call; looks from time to time whether its engine still lives.
                thread::park_timeout(REST);
                if parked.elapsed() < REST {
                    idle = 0;
                }
            }
        }
    });
    Ticker { handle, to }
}

/// How many places an instance takes that is made of so many parts: no pool runs out before the places do.
pub(crate) fn places_of(core_instances: u32, memories: u32, tables: u32) -> u32 {
    let core_instances = core_instances.div_ceil(CORE_INSTANCES_OF_PLACE);
    core_instances.max(memories.div_ceil(MEMORIES_OF_PLACE)).max(tables.div_ceil(TABLES_OF_PLACE)).max(1)
}

/// The engine's configuration. What compiles and what runs must agree in it.
pub(crate) fn configuration(profile: Profile, allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(profile == Profile::Serving)
        .consume_fuel(profile == Profile::Metering)
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(profile == Profile::Metering)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .memory_init_cow(true);
    match allocation {
        Allocation::Pool => {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(INSTANCES_MAX)
                .total_core_instances(INSTANCES_MAX * CORE_INSTANCES_OF_PLACE)
                .total_memories(INSTANCES_MAX * MEMORIES_OF_PLACE)
                .total_tables(INSTANCES_MAX * TABLES_OF_PLACE)
                .total_stacks(INSTANCES_MAX)
                .max_core_instances_per_component(CORE_INSTANCES_MAX)
                .max_memories_per_component(MEMORIES_MAX)
                .max_tables_per_component(TABLES_MAX)
                .max_memory_size(usize::try_from(MEMORY_MAX).unwrap_or(usize::MAX))
                .table_elements(TABLE_ELEMENTS_MAX)
                .max_memories_per_module(2)
                .max_tables_per_module(4)
                .max_core_instance_size(1 << 20)
                .max_component_instance_size(1 << 20)
                .linear_memory_keep_resident(KEEP_RESIDENT)
                .table_keep_resident(64 << 10)
                .async_stack_keep_resident(64 << 10)
                .pagemap_scan(Enabled::Auto)
                // Not in batches: what stays resident is given back with nothing to decommit, and a batch would keep its slot
                // waiting for others, call the system for nothing, and hand out slots that no cache holds any more.
                .decommit_batch_size(1)
                .max_unused_warm_slots(WARM_SLOTS_MAX);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Allocation::OnDemand => {
            config.memory_reservation(256 << 20);
        }
    }
    config
}
