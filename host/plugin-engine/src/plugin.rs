//! One version of a plugin, ready to be asked.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hooks::{CallReport, Content, Failed, FailureKind, Role, Sitting};
use mail_types::{Domain, Timestamp};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

use crate::breaker::Gate;
use crate::call::{Call, Surroundings, Values};
use crate::card::{Description, describe, not_held};
use crate::component::{Manifest, Unfit, built_anew};
use crate::fair::{Held, Holder};
use crate::fault::{Fault, one_line};
use crate::host::flatten;
use crate::instance::{Indices, Instance};
use crate::interest::Interests;
use crate::linking::linker;
use crate::machine::{Machine, Profile};
use crate::made_with::MadeWith;
use crate::memo::Memo;
use crate::numbers::Numbers;
use crate::places::{Owner, Places};
use crate::question::{Answer, Question};
use crate::reads::Reads;
use crate::schema::Schema;
use crate::seat::Seat;
use crate::settings::{Reuse, Settings};
use crate::tape::Tape;
use crate::tenant::{Tenant, TenantUse, Tenants};

/// Fuel of one call in the metering profile: a bound where no clock of slices runs.
const FUEL_MAX: u64 = 2_000_000_000;

/// What a plugin hands over takes memory of the host before it is counted: a list of short texts several times as much as
/// `limits.output` counts of it. So much may be taken for it, for each octet of the limit …
const LIFTED_FACTOR: usize = 4;
/// … and in any case, for the answers to a long batch that say next to nothing each.
const LIFTED_OCTETS: usize = 1 << 20;

/// A version of a plugin with its settings. Calls under way keep theirs when it is replaced.
pub struct Plugin {
    pub(crate) settings: Arc<Settings>,
    pub(crate) manifest: Manifest,
    pub(crate) description: Description,
    pub(crate) interests: Interests,
    pub(crate) reads: Arc<Reads>,
    pub(crate) memo: Option<Memo>,
    /// What has been counted.
    pub numbers: Arc<Numbers>,
    pub(crate) tenants: Tenants,
    values: Arc<Values>,
    surroundings: Surroundings,
    pre: InstancePre<Call>,
    indices: Indices,
    machine: Arc<Machine>,
    /// Places in the pool, shared by all plugins of the machine.
    places: Arc<Places>,
    /// Its number among those who have shared them.
    number: u64,
    made_with: OnceLock<Arc<MadeWith>>,
}

/// The last call has ended, and put back what it ran on: what waits there now would wait for nobody.
impl Drop for Plugin {
    fn drop(&mut self) {
        self.places.let_go(self.number);
    }
}

/// How one call goes.
pub(crate) struct Manner {
    /// What the host answers is kept, or played.
    pub(crate) tape: Tape,
    /// The time that it sees.
    pub(crate) now: Timestamp,
    /// From which its chance is drawn.
    pub(crate) seed: u64,
    /// Not on a warm instance, whatever the settings say.
    pub(crate) fresh: bool,
    /// Whether it only shows what would be: nothing that it keeps lasts.
    pub(crate) explains: bool,
    /// The message that it may look at.
    pub(crate) content: Option<Content>,
}

/// Where a call runs.
enum Room {
    /// On this instance.
    Taken(Box<Instance>),
    /// On one that is still to be made, in this place of the pool.
    Empty(Held),
}

/// What came of a call.
pub(crate) struct Asked {
    pub(crate) answer: Result<Answer, (FailureKind, String)>,
    pub(crate) report: CallReport,
    pub(crate) tape: Tape,
}

impl Asked {
    /// Nothing ran, or what ran was given up.
    fn nothing(kind: FailureKind, why: String) -> Self {
        Self { answer: Err((kind, why)), report: CallReport::default(), tape: Tape::Off }
    }
}

impl Plugin {
    /// Brings a compiled component to the point where it can be asked: links what is imported and granted, lets it
    /// describe itself, and holds the configuration against its schema.
    ///
    /// # Errors
    /// [`Unfit`] says what is wrong with it, or with its settings.
    pub(crate) async fn load(
        machine: &Arc<Machine>,
        places: &Arc<Places>,
        component: &Component,
        manifest: Manifest,
        settings: Settings,
        surroundings: Surroundings,
    ) -> Result<Self, Unfit> {
        let (pre, indices) = linked(machine, component, (&manifest.contract, &settings))?;
        let settings = Arc::new(settings);
        let description = describe(machine, (places, manifest.weight()), &pre, &indices, &settings).await?;
        let schema = Schema::parse(&description.config_schema).map_err(not_held)?;
        let config = schema.fill(&settings.config).map_err(|problems| {
            let what = format!("its configuration does not fit: {}", problems.join("; "));
            Unfit::new(what, format!("mend plugins.{}.config", settings.name))
        })?;
        let values = flatten(&config);
        let interests =
            description.interests.iter().map(|(role, selector)| (role.as_str(), selector.as_str()));
        let interests = Interests::parse(interests, &values).map_err(not_held)?;
        let reads = Reads::parse(description.entry_attributes.as_deref(), &values).map_err(not_held)?;
        let usable = manifest.imports.iter().filter(|capability| settings.grants.contains(capability));
        let pure = !usable.clone().any(|capability| capability.is_impure());
        let memo = (pure && settings.remember > 0).then(|| Memo::new(settings.remember));
        Ok(Self {
            tenants: Tenants::new(settings.limits.clone(), settings.breaker.clone()),
            values: Arc::new(values),
            numbers: Arc::default(),
            machine: Arc::clone(machine),
            places: Arc::clone(places),
            number: places.number(),
            made_with: OnceLock::new(),
            settings,
            manifest,
            description,
            interests,
            reads: Arc::new(reads),
            memo,
            surroundings,
            pre,
            indices,
        })
    }

    /// What a component says of itself, without a configuration.
    pub(crate) async fn described(
        machine: &Arc<Machine>,
        places: &Arc<Places>,
        component: &Component,
        manifest: &Manifest,
        settings: Settings,
    ) -> Result<Description, Unfit> {
        // What is granted matters to nobody yet: that describe calls the host is the fault, not what.
        let settings = Settings { grants: manifest.imports.iter().copied().collect(), ..settings };
        let (pre, indices) = linked(machine, component, (&manifest.contract, &settings))?;
        describe(machine, (places, manifest.weight()), &pre, &indices, &Arc::new(settings)).await
    }

    /// Makes an instance and lets it go again: what a fresh call costs before it begins.
    pub(crate) async fn start(&self, tenant: Option<&Domain>) -> Result<(), String> {
        let share = self.tenants.of(tenant);
        let place = self
            .places
            .of(&tenant.cloned(), self.manifest.weight())
            .await
            .ok_or("there is no pool any more")?;
        let _turn = self.machine.turn();
        let until = tokio::time::Instant::now() + self.settings.limits.wall;
        let store = self.store(tenant, &share, Instant::now());
        let started = Instance::new(&self.pre, store, place, until).await;
        started.map(drop).map_err(|(error, _)| Fault::of(&error).sentence)
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What each tenant uses of it (R94).
    #[must_use]
    pub fn uses(&self) -> Vec<TenantUse> {
        self.tenants.uses()
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A failure of a call in a role.
    pub(crate) fn failed(&self, role: Role, kind: FailureKind, message: impl Into<String>) -> Failed {
        let on_failure = self.settings.on_failure(role, kind);
        Failed { plugin: self.settings.name.clone(), kind, message: message.into(), on_failure }
    }

    /// Whether a call is made, and what for; or why not. An explanation is nobody's probe.
    pub(crate) fn gate(
        &self,
        share: &Tenant,
        role: Role,
        (now, explains): (Duration, bool),
    ) -> Result<Gate, Failed> {
        if share.is_spent(Instant::now()) {
            let why = "its tenant's processor time of this second is used up (limits.tenant-cpu)";
            return Err(self.failed(role, FailureKind::Busy, why));
        }
        // No mail waits for rows, and who asks for them divides what fails, and waits, by itself.
        if role == Role::RouteTable {
            return Ok(Gate::Closed);
        }
        // Last, because it lets a probe through that has to be made then.
        let gate = if explains {
            share.breaker.rests(now).map_or(Gate::Closed, Gate::Open)
        } else {
            share.breaker.gate(now)
        };
        match gate {
            Gate::Open(rest) => {
                let why = format!("it failed too often, and rests for {} s more", rest.as_secs().max(1));
                Err(self.failed(role, FailureKind::Resting, why))
            }
            gate => Ok(gate),
        }
    }

    /// What recordings of its calls say of its settings.
    pub(crate) fn made_with(&self) -> Arc<MadeWith> {
        Arc::clone(self.made_with.get_or_init(|| Arc::new(MadeWith::of(&self.settings))))
    }

    pub(crate) fn world(&self) -> &dyn hooks::World {
        &*self.surroundings.world
    }

    fn owner(&self, share: &Tenant) -> Owner {
        Owner { plugin: self.number, tenant: share.number }
    }

    fn store(&self, tenant: Option<&Domain>, share: &Arc<Tenant>, now: Instant) -> Store<Call> {
        let call = Call::new(
            Arc::clone(&self.settings),
            Arc::clone(&self.values),
            Some(self.surroundings.clone()),
            tenant.cloned(),
            Arc::clone(share),
            now,
        );
        new_store(&self.machine, call)
    }

    /// A warm instance, or a place for a new one, where either is to be had without waiting.
    fn room_now(
        &self,
        (tenant, share): (&Holder, &Tenant),
        warm: Option<&Reuse>,
        now: Instant,
    ) -> Option<Room> {
        if let Some(instance) = warm.and_then(|_| self.places.take(self.owner(share), now)) {
            return Some(Room::Taken(instance));
        }
        self.places.now(tenant, self.manifest.weight()).map(Room::Empty)
    }

    /// The same, with a place among the calls of the tenant, and with all the patience of the caller.
    async fn room(
        &self,
        (tenant, share): (&Holder, &Tenant),
        warm: Option<&Reuse>,
    ) -> Option<(OwnedSemaphorePermit, Room)> {
        let turn = share.place().await?;
        if let Some(room) = self.room_now((tenant, share), warm, Instant::now()) {
            return Some((turn, room));
        }
        Some((turn, Room::Empty(self.places.of(tenant, self.manifest.weight()).await?)))
    }

    /// Asks on an instance of a tenant. Always ends within the limits: to wait for a place takes `limits.wall` at most, and so
    /// do start and answer together.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        tenant: Option<&Domain>,
        share: &Arc<Tenant>,
        manner: Manner,
        sitting: &mut Sitting,
    ) -> Asked {
        let wall = self.settings.limits.wall;
        // What is recorded must be the same again on an instance that has heard nothing else.
        let fresh = manner.fresh || !manner.tape.is_off();
        let warm = if fresh { None } else { self.settings.reuse.as_ref() };
        let sits = !fresh && warm.is_none();
        // What serves nobody now is let go before anything is waited for.
        let seat = sitting.take::<Seat>().filter(|seat| sits && seat.is_of(&self.settings, tenant));
        // The clock is read where time may have passed, and nowhere else: it takes longer than all the rest here.
        let mut now = Instant::now();
        let holder = tenant.cloned();
        let ready = match seat {
            Some(Seat { instance, turn }) => Some((turn, Room::Taken(instance))),
            None => {
                share.place_now().and_then(|turn| Some((turn, self.room_now((&holder, share), warm, now)?)))
            }
        };
        let found = match ready {
            Some(found) => Some(found),
            None => {
                let waited = tokio::time::timeout(wall, Box::pin(self.room((&holder, share), warm))).await;
                now = Instant::now();
                waited.ok().flatten()
            }
        };
        let Some((turn, room)) = found else {
            let why = "no place to run it came free in time (limits.wall)";
            return Asked::nothing(FailureKind::Busy, why.to_owned());
        };
        let _running = self.machine.turn();
        let end = tokio::time::Instant::now() + wall;
        let mut instance = match room {
            Room::Taken(mut instance) => {
                instance.store.data_mut().begin(manner, now, end);
                instance
            }
            Room::Empty(place) => {
                let mut store = self.store(tenant, share, now);
                store.data_mut().begin(manner, now, end);
                match Instance::new(&self.pre, store, place, end).await {
                    Ok(instance) => instance,
                    Err((error, mut store)) => return ended(store.data_mut(), Err(error), share).0,
                }
            }
        };
        arm(&self.machine, &mut instance.store);
        let outcome =
            tokio::time::timeout_at(end, instance.ask(&self.indices, &self.reads.narrowed(question))).await;
        let fuel = fuel_used(&self.machine, &instance.store);
        let Ok(outcome) = outcome else {
            let call = instance.store.data_mut();
            let (report, paid) = call.end();
            call.pay(share, &paid);
            let why = format!("it took longer than {} ms (limits.wall)", wall.as_millis());
            return Asked { report: CallReport { fuel, ..report }, ..Asked::nothing(FailureKind::Wall, why) };
        };
        // After a trap an instance answers nothing any more.
        let whole = outcome.is_ok();
        instance.calls += 1;
        let (mut asked, at) = ended(instance.store.data_mut(), outcome, share);
        asked.report.fuel = fuel;
        match warm {
            Some(reuse) if whole && instance.may_serve_again(reuse) => {
                self.places.put(self.owner(share), instance, at + reuse.idle);
            }
            None if whole && sits && instance.may_serve_again(&Reuse::default()) => {
                sitting.keep(Seat { instance, turn });
            }
            _ => {}
        }
        asked
    }
}

/// The end of a call that ended by itself, and when that was.
fn ended(
    call: &mut Call,
    outcome: wasmtime::Result<Result<Answer, crate::bindings::wasmta::policy::types::Failure>>,
    share: &Tenant,
) -> (Asked, Instant) {
    let mut backtrace = Vec::new();
    let outcome = outcome.and_then(|said| {
        match &said {
            Ok(answer) => call.charge_answer(answer)?,
            Err(failure) => call.charge_answer(failure)?,
        }
        Ok(said)
    });
    let answer = match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => {
            let kind = if failure.permanent { FailureKind::Permanent } else { FailureKind::Temporary };
            Err((kind, one_line(&failure.message)))
        }
        Err(error) => Err(call.take_breach().unwrap_or_else(|| {
            let Fault { kind, sentence, backtrace: frames } = Fault::of(&error);
            backtrace = frames;
            (kind, sentence)
        })),
    };
    let tape = std::mem::take(&mut call.tape);
    let (mut report, paid) = call.end();
    report.backtrace = backtrace;
    call.pay(share, &paid);
    (Asked { answer, report, tape }, paid.at)
}

/// A store whose memory and time are bounded from the first instruction on.
pub(crate) fn new_store(machine: &Machine, call: Call) -> Store<Call> {
    let mut store = Store::new(machine.engine(), call);
    store.limiter(|call| call);
    let output = store.data().limits().output;
    store.set_hostcall_fuel(output.saturating_mul(LIFTED_FACTOR).saturating_add(LIFTED_OCTETS));
    if machine.profile() == Profile::Serving {
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().slice()));
    }
    arm(machine, &mut store);
    store
}

/// Sets the deadline of the next slice, or the fuel of the next call.
fn arm(machine: &Machine, store: &mut Store<Call>) {
    match machine.profile() {
        Profile::Serving => store.set_epoch_deadline(1),
        // Cannot fail where it is counted.
        Profile::Metering => drop(store.set_fuel(FUEL_MAX)),
    }
}

/// What the last call used of it, where it is counted.
fn fuel_used(machine: &Machine, store: &Store<Call>) -> Option<u64> {
    match machine.profile() {
        Profile::Serving => None,
        Profile::Metering => store.get_fuel().ok().map(|left| FUEL_MAX.saturating_sub(left)),
    }
}

/// Links what a component imports and is granted.
fn linked(
    machine: &Machine,
    component: &Component,
    (contract, settings): (&str, &Settings),
) -> Result<(InstancePre<Call>, Indices), Unfit> {
    let linker = linker(machine.engine(), component, &settings.grants)?;
    let pre = linker.instantiate_pre(component).map_err(|error| {
        Unfit::new(format!("its imports are not those of the contract: {error:#}"), built_anew(contract))
    })?;
    let indices = Indices::new(&pre).map_err(|error| {
        Unfit::new(format!("its exports are not those of the contract: {error:#}"), "build it anew")
    })?;
    Ok((pre, indices))
}
