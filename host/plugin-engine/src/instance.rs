//! A component come to life, for one tenant.

use hooks::FailureKind;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::bindings::exports::wasmta::policy::{
    authorize_sender, disposition, plugin, reverse, rewrite, route_table,
};
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::Call;
use crate::fair::Held;
use crate::question::{Answer, Question};
use crate::settings::Reuse;

/// Where a component's exports are.
pub(crate) struct Indices {
    pub(crate) plugin: plugin::GuestIndices,
    pub(crate) rewrite: Option<rewrite::GuestIndices>,
    pub(crate) reverse: Option<reverse::GuestIndices>,
    pub(crate) authorize_sender: Option<authorize_sender::GuestIndices>,
    pub(crate) disposition: Option<disposition::GuestIndices>,
    pub(crate) route_table: Option<route_table::GuestIndices>,
}

impl Indices {
    pub(crate) fn new(pre: &InstancePre<Call>) -> wasmtime::Result<Self> {
        Ok(Self {
            plugin: plugin::GuestIndices::new(pre)?,
            // An interface that is not exported is a role that it does not have.
            rewrite: rewrite::GuestIndices::new(pre).ok(),
            reverse: reverse::GuestIndices::new(pre).ok(),
            authorize_sender: authorize_sender::GuestIndices::new(pre).ok(),
            disposition: disposition::GuestIndices::new(pre).ok(),
            route_table: route_table::GuestIndices::new(pre).ok(),
        })
    }
}

/// The functions of an instance, found when they are first used.
#[derive(Default)]
struct Functions {
    rewrite: Option<rewrite::Guest>,
    reverse: Option<reverse::Guest>,
    authorize_sender: Option<authorize_sender::Guest>,
    disposition: Option<disposition::Guest>,
    route_table: Option<route_table::Guest>,
}

/// An instance with its store.
pub(crate) struct Instance {
    pub(crate) store: Store<Call>,
    instance: wasmtime::component::Instance,
    functions: Functions,
    /// Calls answered so far.
    pub(crate) calls: u32,
    /// Memory before its first call, in octets.
    memory_at_first: u64,
    /// Its place in the pool.
    _place: Held,
}

/// What a call gives: outside, what went wrong; inside, what the plugin says went wrong.
type Asked<T> = wasmtime::Result<Result<T, Failure>>;

impl Instance {
    /// Starts one, until then at most. The store comes back from a start that failed, for what was used is booked.
    pub(crate) async fn new(
        pre: &InstancePre<Call>,
        mut store: Store<Call>,
        place: Held,
        until: tokio::time::Instant,
    ) -> Result<Box<Self>, (wasmtime::Error, Store<Call>)> {
        let started = match tokio::time::timeout_at(until, Box::pin(pre.instantiate_async(&mut store))).await
        {
            Ok(started) => started,
            Err(_) => {
                let wall = store.data().limits().wall.as_millis();
                let why = format!("it took longer than {wall} ms to start (limits.wall)");
                Err(store.data_mut().break_off(FailureKind::Wall, why))
            }
        };
        match started {
            Ok(instance) => {
                let memory_at_first = store.data().memory();
                let functions = Functions::default();
                Ok(Box::new(Self { store, instance, functions, calls: 0, memory_at_first, _place: place }))
            }
            Err(error) => Err((error, store)),
        }
    }

    /// Whether it has neither served nor grown enough.
    pub(crate) fn may_serve_again(&self, reuse: &Reuse) -> bool {
        let grown = self.store.data().memory().saturating_sub(self.memory_at_first);
        self.calls < reuse.calls && grown <= reuse.growth
    }

    pub(crate) async fn describe(&mut self, indices: &Indices) -> wasmtime::Result<plugin::Description> {
        let functions = indices.plugin.load(&mut self.store, &self.instance)?;
        functions.call_describe(&mut self.store).await
    }

    /// Finds all functions: whether their types are the contract's shows here.
    pub(crate) fn find_all(&mut self, indices: &Indices) -> wasmtime::Result<()> {
        let Self { store, instance, functions, .. } = self;
        if let Some(found) = &indices.rewrite {
            functions.rewrite = Some(found.load(&mut *store, instance)?);
        }
        if let Some(found) = &indices.reverse {
            functions.reverse = Some(found.load(&mut *store, instance)?);
        }
        if let Some(found) = &indices.authorize_sender {
            functions.authorize_sender = Some(found.load(&mut *store, instance)?);
        }
        if let Some(found) = &indices.disposition {
            functions.disposition = Some(found.load(&mut *store, instance)?);
        }
        if let Some(found) = &indices.route_table {
            functions.route_table = Some(found.load(&mut *store, instance)?);
        }
        Ok(())
    }

    /// Asks, and gives the answer as it came.
    pub(crate) async fn ask(&mut self, indices: &Indices, question: &Question) -> Asked<Answer> {
        let Self { store, instance, functions, .. } = self;
        macro_rules! function {
            ($role:ident) => {{
                if functions.$role.is_none() {
                    let Some(index) = &indices.$role else {
                        return Err(wasmtime::Error::msg("it does not have this role"));
                    };
                    functions.$role = Some(index.load(&mut *store, instance)?);
                }
                functions.$role.clone().ok_or_else(|| wasmtime::Error::msg("it does not have this role"))?
            }};
        }
        Ok(match question {
            Question::Rewrite(about, batch) => {
                let function = function!(rewrite);
                function.call_rewrite(store, about, batch).await?.map(Answer::Rewrite)
            }
            Question::Reverse(about, batch) => {
                let function = function!(reverse);
                function.call_reverse(store, about, batch).await?.map(Answer::Reverse)
            }
            Question::AuthorizeSender(about, request) => {
                let function = function!(authorize_sender);
                function.call_authorize(store, about, request).await?.map(Answer::AuthorizeSender)
            }
            Question::Disposition(about, recipients) => {
                let function = function!(disposition);
                let mut lists = Vec::with_capacity(recipients.len());
                for recipient in recipients {
                    match function.call_decide(&mut *store, about, recipient).await? {
                        Ok(actions) => lists.push(actions),
                        Err(failure) => return Ok(Err(failure)),
                    }
                }
                Ok(Answer::Disposition(lists))
            }
            Question::RouteTable(domain, entries) => {
                let function = function!(route_table);
                function.call_build(store, domain, entries).await?.map(Answer::RouteTable)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::machine::{Machine, Profile};
    use crate::places::Places;
    use crate::plugin::new_store;
    use crate::settings::{BreakerOptions, Settings};
    use crate::tenant::Tenants;

    /// A component of one core module, whose start function is a loop without an end.
    const NEVER: [u8; 48] = [
        0, b'a', b's', b'm', 0x0d, 0, 1, 0, // a component …
        1, 32, // … of a module:
        0, b'a', b's', b'm', 1, 0, 0, 0, // core
        1, 4, 1, 0x60, 0, 0, // type: nothing to nothing
        3, 2, 1, 0, // function: of that type
        8, 1, 0, // start: that function
        10, 9, 1, 7, 0, 3, 0x40, 0x0c, 0, 0x0b, 0x0b, // code: loop br 0 end
        2, 4, 1, 0, 0, 0, // … and an instance of it
    ];

    #[tokio::test]
    async fn a_start_ends_in_time_and_what_it_used_is_known() {
        let machine = Machine::on_demand(Profile::Serving).unwrap();
        let component = Component::new(machine.engine(), NEVER).unwrap();
        let pre = Linker::<Call>::new(machine.engine()).instantiate_pre(&component).unwrap();
        let mut settings = Settings::new("never".parse().unwrap());
        settings.limits.cpu = Duration::from_secs(60);
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let call = Call::new(Arc::new(settings), Arc::default(), None, None, share, Instant::now());
        let store = new_store(&machine, call);
        let place = Places::new(8).of(&None, 1).await.unwrap();
        let _turn = machine.turn();
        let until = tokio::time::Instant::now() + Duration::from_millis(50);
        let Err((_, mut store)) = Instance::new(&pre, store, place, until).await else { panic!("it began") };
        let (kind, why) = store.data_mut().take_breach().unwrap();
        assert_eq!((kind, why.contains("to start (limits.wall)")), (FailureKind::Wall, true), "{why}");
        assert!(store.data_mut().end().1.cpu >= Duration::from_millis(10));
    }
}
