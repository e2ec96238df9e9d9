//! What one call may use, and what it has used: the state behind an instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hooks::{CallReport, Content, FailureKind, LogLine, World};
use mail_types::{Domain, Timestamp};
use postcard::ser_flavors::Size;
use postcard::serialize_with_flavor;
use runtime::Random;
use serde::Serialize;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::kv::Kv;
use crate::machine::SLICE;
use crate::plugin::Manner;
use crate::settings::{Limits, Settings};
use crate::tape::Tape;
use crate::tenant::{Held, Tenant};

/// What host functions work with, the same for all calls.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) world: Arc<dyn World>,
    pub(crate) kv: Kv,
}

/// The state of a store: the plugin and tenant it works for, and the call under way.
pub(crate) struct Call {
    pub(crate) settings: Arc<Settings>,
    /// The configuration as the plugin sees it: keys joined by dots.
    pub(crate) values: Arc<Values>,
    pub(crate) surroundings: Option<Surroundings>,
    pub(crate) tenant: Option<Domain>,
    pub(crate) content: Option<Content>,
    pub(crate) now: Timestamp,
    /// Whether it only shows what would be.
    pub(crate) explains: bool,
    /// From which the chance that it sees is drawn, and that chance, made when it is first asked for.
    seed: u64,
    random: Option<Random>,
    held: Held,
    memory: u64,
    used: Used,
    /// Until when the host may wait for others: then there is time left for the plugin to say something all the same.
    waits_until: Option<tokio::time::Instant>,
    /// Why a host function broke the call off.
    breach: Option<(FailureKind, String)>,
    pub(crate) tape: Tape,
}

/// A plugin's configuration, key by key.
pub(crate) type Values = std::collections::BTreeMap<String, crate::bindings::wasmta::policy::config::Value>;

/// What the call under way has used.
struct Used {
    began: Instant,
    in_host: Duration,
    slices: u64,
    /// Slices in which the host worked for it, and nobody looked whether its time is over.
    worked: u64,
    /// Octets of rows that were looked through in the one under way.
    looked: usize,
    host_calls: u32,
    output: usize,
    dns_queries: u32,
    log: Vec<LogLine>,
    log_cut: bool,
}

impl Used {
    fn nothing(began: Instant) -> Self {
        Self {
            began,
            in_host: Duration::ZERO,
            slices: 0,
            worked: 0,
            looked: 0,
            host_calls: 0,
            output: 0,
            dns_queries: 0,
            log: Vec::new(),
            log_cut: false,
        }
    }

    /// Processor time, at most. By the clock alone, a call would pay for the time in which the machine or this worker
    /// did other things: but in each slice that it has begun it ran for one at most. `begun` is the slice under way.
    fn cpu(&self, begun: u64, spent: Duration) -> Duration {
        let slices = u32::try_from(self.slices + self.worked + begun).unwrap_or(u32::MAX);
        spent.saturating_sub(self.in_host).min(SLICE.saturating_mul(slices))
    }
}

/// What a call used of its tenant's processor time, and when it ended.
pub(crate) struct Paid {
    pub(crate) cpu: Duration,
    pub(crate) at: Instant,
}

/// What an item of a list counts for, beside its text, in octets.
pub(crate) const ITEM_OCTETS: usize = 16;
/// Octets of rows that the host looks through in a slice at most.
const LOOKED_MAX: usize = 64 << 10;
/// The share of a call's time (`limits.wall`) that no wait for others takes.
const SPARE_SHARE: u32 = 8;
/// What a plugin is told of a wait that was given up.
pub(crate) const NOT_IN_TIME: &str = "there was no answer within the time of this call (limits.wall)";
/// Longest line of a plugin's log, in octets.
const LOG_LINE_MAX: usize = 1024;

impl Call {
    /// Takes what a call used off its tenant's share; what only shows what would be costs no mail its turn.
    pub(crate) fn pay(&self, share: &Tenant, paid: &Paid) {
        if !self.explains {
            share.spend(paid.cpu, paid.at);
        }
    }

    pub(crate) fn new(
        settings: Arc<Settings>,
        values: Arc<Values>,
        surroundings: Option<Surroundings>,
        tenant: Option<Domain>,
        share: Arc<Tenant>,
        now: Instant,
    ) -> Self {
        Self {
            settings,
            values,
            surroundings,
            tenant,
            content: None,
            now: Timestamp(0),
            explains: false,
            seed: 0,
            random: None,
            held: Held::nothing(share),
            memory: 0,
            used: Used::nothing(now),
            waits_until: None,
            breach: None,
            tape: Tape::Off,
        }
    }

    /// Begins a call now on an instance, new or warm, that has to be over at an instant.
    pub(crate) fn begin(&mut self, manner: Manner, now: Instant, end: tokio::time::Instant) {
        self.waits_until = end.checked_sub(self.limits().wall / SPARE_SHARE);
        (self.now, self.explains) = (manner.now, manner.explains);
        (self.seed, self.random) = (manner.seed, None);
        self.content = manner.content;
        self.tape = manner.tape;
        self.used = Used::nothing(now);
        self.breach = None;
    }

    /// The chance that the call sees.
    pub(crate) fn random(&mut self) -> &Random {
        self.random.get_or_insert_with(|| Random::seeded(self.seed))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// Ends the call: what it took.
    pub(crate) fn end(&mut self) -> (CallReport, Paid) {
        self.content = None;
        let at = Instant::now();
        let used = std::mem::replace(&mut self.used, Used::nothing(at));
        let spent = at.saturating_duration_since(used.began);
        let cpu = used.cpu(1, spent);
        let report = CallReport {
            uncounted: None,
            digest: String::new(),
            microseconds: u64::try_from(spent.as_micros()).unwrap_or(u64::MAX),
            cpu_milliseconds: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            memory: self.memory,
            host_calls: used.host_calls,
            fuel: None,
            remembered: false,
            log: used.log,
            backtrace: Vec::new(),
        };
        (report, Paid { cpu, at })
    }

    /// Octets of memory that the instance has.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    pub(crate) fn take_breach(&mut self) -> Option<(FailureKind, String)> {
        self.breach.take()
    }

    /// Breaks the call off, for a reason that the operator is told.
    pub(crate) fn break_off(&mut self, kind: FailureKind, why: impl Into<String>) -> wasmtime::Error {
        let why = why.into();
        let error = wasmtime::Error::msg(why.clone());
        self.breach.get_or_insert((kind, why));
        error
    }

    /// Books a call to the host, with the octets that the guest handed over.
    pub(crate) fn charge(&mut self, octets: usize) -> wasmtime::Result<&Surroundings> {
        self.used.host_calls += 1;
        self.used.output = self.used.output.saturating_add(octets);
        let Limits { host_calls, output, .. } = *self.limits();
        if self.used.host_calls > host_calls {
            let why = format!("it called the host more than {host_calls} times (limits.host-calls)");
            return Err(self.break_off(FailureKind::Calls, why));
        }
        if self.used.output > output {
            return Err(self.says_too_much());
        }
        if self.surroundings.is_none() {
            return Err(self.break_off(FailureKind::Denied, "describe may not call the host"));
        }
        self.surroundings.as_ref().ok_or_else(|| wasmtime::Error::msg("no surroundings"))
    }

    /// Books what the plugin answers, or how it fails: whether that may pass.
    pub(crate) fn charge_answer(&mut self, answer: &impl Serialize) -> wasmtime::Result<()> {
        // As texts and a little for what is around them, which is about what the contract's own form of it takes.
        let octets = serialize_with_flavor(answer, Size::default()).unwrap_or(usize::MAX);
        self.used.output = self.used.output.saturating_add(octets);
        if self.used.output > self.limits().output { Err(self.says_too_much()) } else { Ok(()) }
    }

    fn says_too_much(&mut self) -> wasmtime::Error {
        let output = self.limits().output;
        let why = format!("it handed the host more than {output} octets (limits.output)");
        self.break_off(FailureKind::Calls, why)
    }

    /// Books octets of rows that the host looks through: in a long question no slice of the guest's begins. An error where the
    /// call's time is over.
    pub(crate) fn charge_work(&mut self, octets: usize) -> wasmtime::Result<()> {
        self.used.looked = self.used.looked.saturating_add(octets);
        let begun = self.used.looked / LOOKED_MAX;
        if begun == 0 {
            return Ok(());
        }
        self.used.looked %= LOOKED_MAX;
        self.used.worked += begun as u64;
        if self.is_over() { Err(self.takes_too_long()) } else { Ok(()) }
    }

    /// Whether the processor time of the call is used up.
    fn is_over(&self) -> bool {
        self.used.cpu(0, self.used.began.elapsed()) > self.limits().cpu
    }

    fn takes_too_long(&mut self) -> wasmtime::Error {
        let cpu = self.limits().cpu.as_millis();
        self.break_off(FailureKind::Cpu, format!("it used more than {cpu} ms of processor time (limits.cpu)"))
    }

    /// Books a question to the DNS.
    pub(crate) fn charge_dns(&mut self) -> wasmtime::Result<()> {
        self.used.dns_queries += 1;
        let max = self.limits().dns_queries;
        if self.used.dns_queries > max {
            let why = format!("it asked the DNS more than {max} times (limits.dns-queries)");
            return Err(self.break_off(FailureKind::Calls, why));
        }
        Ok(())
    }

    /// Waits for something outside, which does not count as the guest's time. `None`: so long that the call would not end in time
    /// if it waited on; what is there at once is always had.
    pub(crate) async fn wait_for<T>(&mut self, outside: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let came = match self.waits_until {
            Some(until) => tokio::time::timeout_at(until, outside).await.ok(),
            None => Some(outside.await),
        };
        self.used.in_host += began.elapsed();
        came
    }

    /// Keeps a line; what is too much is cut, and told once.
    pub(crate) fn log(&mut self, level: &str, mut text: String) {
        if self.used.log.len() >= self.limits().log_lines as usize {
            if !self.used.log_cut {
                self.used.log_cut = true;
                let text =
                    format!("more than {} lines are not kept (limits.log-lines)", self.limits().log_lines);
                self.used.log.push(LogLine { level: "warn".to_owned(), text });
            }
            return;
        }
        if text.len() > LOG_LINE_MAX {
            let end = (0..=LOG_LINE_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        self.used.log.push(LogLine { level: level.to_owned(), text });
    }

    /// A slice of time has passed while the guest ran: whether it may go on.
    pub(crate) fn slice(&mut self) -> UpdateDeadline {
        self.used.slices += 1;
        if self.is_over() {
            drop(self.takes_too_long());
            return UpdateDeadline::Interrupt;
        }
        // Lets other sessions of this worker go on between slices.
        UpdateDeadline::Yield(1)
    }
}

impl ResourceLimiter for Call {
    /// All memories of the instance count together.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current) as u64;
        let max = self.limits().memory;
        if self.memory.saturating_add(more) > max {
            let why = format!("it wanted more than {max} octets of memory (limits.memory)");
            return Err(self.break_off(FailureKind::Memory, why));
        }
        if !self.held.grow(more) {
            let why = "its tenant's memory is used up (limits.tenant-memory)";
            return Err(self.break_off(FailureKind::Memory, why));
        }
        self.memory += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }
}

/// Most elements of a table.
const TABLE_ELEMENTS_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BreakerOptions;
    use crate::tenant::Tenants;

    #[test]
    fn a_call_does_not_pay_for_time_in_which_it_did_not_run() {
        let settings = Settings::new("busy".parse().unwrap());
        let limit = settings.limits.cpu;
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let mut call = Call::new(Arc::new(settings), Arc::default(), None, None, share, Instant::now());
        // The machine does something else meanwhile.
        std::thread::sleep(limit * 3);
        assert!(matches!(call.slice(), UpdateDeadline::Yield(_)));
        let slices = limit.as_millis() / SLICE.as_millis();
        for _ in 1..slices {
            assert!(matches!(call.slice(), UpdateDeadline::Yield(_)));
        }
        assert!(matches!(call.slice(), UpdateDeadline::Interrupt));
        assert_eq!(call.end().1.cpu, SLICE * u32::try_from(slices + 2).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_leaves_time_for_an_answer() {
        use std::future::{pending, ready};
        let mut settings = Settings::new("patient".parse().unwrap());
        let wall = Duration::from_secs(8);
        settings.limits.wall = wall;
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let mut call = Call::new(Arc::new(settings), Arc::default(), None, None, share, Instant::now());
        let manner = Manner {
            tape: Tape::Off,
            now: Timestamp(0),
            seed: 0,
            fresh: true,
            explains: false,
            content: None,
        };
        let began = tokio::time::Instant::now();
        call.begin(manner, Instant::now(), began + wall);
        assert_eq!(call.wait_for(ready(1)).await, Some(1));
        let waiting = tokio::time::timeout(wall, call.wait_for(pending::<()>())).await;
        assert_eq!(waiting, Ok(None), "it is given up before the call's time is over");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(7) && waited < Duration::from_millis(7100), "{waited:?}");
        // What is known has its answer all the same; what is not is not waited for any more.
        assert_eq!(call.wait_for(ready(2)).await, Some(2));
        assert_eq!(call.wait_for(pending::<()>()).await, None);
        assert!(began.elapsed() < waited + Duration::from_millis(100));
    }
}
