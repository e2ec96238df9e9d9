//! What a monitoring system reads of this server (R101): gathered anew each time, from where each number is kept.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use events::MailCounts;
use hooks::{FailureKind, PluginName};
use mail_types::Timestamp;
use metrics::{Families, Kind, Source};
use plugin_engine::{LeftOut, Plugin, TenantUse};
use runtime::ProcessUse;

use super::Parts;
use super::services::InForce;

/// Tenants of one plugin that are shown one by one: those that have used most processor time; the others are added up.
const TENANTS_SHOWN_MAX: usize = 100;
/// The label of what is not shown one by one, and of what serves no tenant in particular: neither is a domain's name.
const OTHERS: &str = "(others)";
const NOBODY: &str = "";

/// Gathers the numbers.
pub(super) struct Numbers {
    parts: Parts,
    in_force: InForce,
    /// When the server began, in seconds since 1970.
    began: u64,
}

impl Numbers {
    /// Of a server that has these parts and listeners.
    pub(super) fn new(parts: Parts, in_force: InForce) -> Self {
        let began = parts.clock.now().0 / 1000;
        Self { parts, in_force, began }
    }
}

impl Source for Numbers {
    fn gather(&self) -> Pin<Box<dyn Future<Output = Families> + Send + '_>> {
        Box::pin(async {
            let (parts, in_force, began) = (self.parts.clone(), self.in_force.clone(), self.began);
            // There may be much to count, and nobody's mail waits for it.
            let counted = self.parts.background.spawn(async move {
                let mut all = Families::default();
                of_process(&mut all, began);
                of_sessions(&mut all, &in_force);
                of_mail(&mut all, &parts);
                of_queue(&mut all, &parts);
                of_storage(&mut all, &parts);
                of_directory(&mut all, &parts).await;
                of_plugins(&mut all, &parts);
                all
            });
            // A panic has said so itself; the page is empty then.
            counted.await.unwrap_or_default()
        })
    }
}

/// Seconds of a number of microseconds.
#[allow(
    clippy::cast_precision_loss,
    reason = "fractions of a microsecond after a hundred years do not matter"
)]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn of_process(all: &mut Families, began: u64) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    all.begin("wasmta_build_info", Kind::Gauge, "Always 1; which version runs").add(&version, 1);
    let help = "When the server began, in seconds since 1970";
    all.begin("wasmta_start_time_seconds", Kind::Gauge, help).add(&[], began);
    let Some(used) = ProcessUse::now() else { return };
    let help = "Processor time of all threads";
    all.begin("process_cpu_seconds_total", Kind::Counter, help).add_fraction(&[], used.cpu_seconds);
    let help = "Memory that is resident, mapped files included";
    all.begin("process_resident_memory_bytes", Kind::Gauge, help).add(&[], used.resident_octets);
    all.begin("process_threads", Kind::Gauge, "Threads").add(&[], used.threads);
    all.begin("process_open_fds", Kind::Gauge, "Files and sockets that are open").add(&[], used.open_files);
}

fn of_sessions(all: &mut Families, in_force: &InForce) {
    let traffic = in_force.traffic();
    let open = all.begin("wasmta_connections", Kind::Gauge, "Connections that are open");
    for one in &traffic {
        let labels = [("listener", one.listener.as_str()), ("protocol", one.protocol.word())];
        open.add(&labels, one.connections as u64);
    }
    let most = all.begin("wasmta_connections_max", Kind::Gauge, "Most connections that may be open");
    for one in &traffic {
        let labels = [("listener", one.listener.as_str()), ("protocol", one.protocol.word())];
        most.add(&labels, one.connections_max as u64);
    }
}

fn of_mail(all: &mut Families, parts: &Parts) {
    let counters = parts.events.counters();
    let help = "What happened, by the names that the log has for it";
    let events = all.begin("wasmta_events_total", Kind::Counter, help);
    for (event, count) in counters.all() {
        events.add(&[("event", event)], count);
    }
    let MailCounts { accepted_octets, accepted_recipients, attempts, delays, delay_seconds } =
        counters.mail();
    let help = "Size of the messages that were accepted";
    all.begin("wasmta_accepted_bytes_total", Kind::Counter, help).add(&[], accepted_octets);
    let help = "Recipients of the messages that were accepted";
    all.begin("wasmta_accepted_recipients_total", Kind::Counter, help).add(&[], accepted_recipients);
    let help = "Tries to hand a message that waited on, one for each recipient, by what they came to";
    let tried = all.begin("wasmta_attempts_total", Kind::Counter, help);
    for (outcome, count) in attempts {
        tried.add(&[("outcome", &outcome.to_string())], count);
    }
    let help = "From acceptance until a message that waited was handed on, one for each recipient";
    let waits = all.begin("wasmta_delivery_delay_seconds", Kind::Histogram, help);
    waits.add_histogram(&[], &delays, delay_seconds);
}

/// By channel alone: there are as many destinations as the world has.
fn of_queue(all: &mut Families, parts: &Parts) {
    let help = "Messages that wait";
    all.begin("wasmta_queue_messages", Kind::Gauge, help).add(&[], parts.queue.len() as u64);
    let help = "Attempts that are under way";
    all.begin("wasmta_queue_attempts", Kind::Gauge, help).add(&[], parts.queue.active() as u64);
    // A queue that cannot be read has said so as an event.
    let mut sums = BTreeMap::<String, (u64, u64, Timestamp)>::new();
    for sum in parts.queue.summary().unwrap_or_default() {
        let of_channel = sums.entry(sum.route.channel.to_string()).or_insert((0, 0, sum.oldest));
        of_channel.0 += sum.waiting;
        of_channel.1 += sum.held;
        of_channel.2 = of_channel.2.min(sum.oldest);
    }
    let waiting = all.begin("wasmta_queue_recipients", Kind::Gauge, "Recipients that wait, by channel");
    for (channel, (due, held, _)) in &sums {
        waiting.add(&[("channel", channel.as_str()), ("state", "waiting")], *due);
        waiting.add(&[("channel", channel.as_str()), ("state", "held")], *held);
    }
    let help = "How long the oldest recipient waits, by channel";
    let oldest = all.begin("wasmta_queue_oldest_seconds", Kind::Gauge, help);
    for (channel, (.., since)) in &sums {
        oldest.add(&[("channel", channel.as_str())], parts.clock.now().since(*since).as_secs());
    }
}

fn of_storage(all: &mut Families, parts: &Parts) {
    let stats: Vec<_> = parts
        .each_storage()
        .into_iter()
        .filter_map(|(name, storage)| Some((name, storage.stats().ok()??)))
        .collect();
    let mut each = |name, help, octets: fn(&storage::EngineStats) -> u64| {
        let family = all.begin(name, Kind::Gauge, help);
        for (environment, stats) in &stats {
            family.add(&[("environment", environment)], octets(stats));
        }
    };
    each("wasmta_storage_file_bytes", "Size of a storage's file", |stats| stats.file_octets);
    each("wasmta_storage_free_bytes", "What of it holds nothing now", |stats| stats.free_octets);
    each("wasmta_storage_max_bytes", "Most that it may grow to", |stats| stats.size_max);
}

async fn of_directory(all: &mut Families, parts: &Parts) {
    if let Ok(counts) = parts.directory.counts() {
        let entries = all.begin("wasmta_directory_entries", Kind::Gauge, "Entries of the directory");
        let others = counts.entries - counts.domains - counts.users - counts.groups;
        for (kind, count) in
            [("domain", counts.domains), ("user", counts.users), ("group", counts.groups), ("other", others)]
        {
            entries.add(&[("kind", kind)], count);
        }
    }
    if let Ok(Some(state)) = parts.routing.tables().state() {
        let help = "Changes of the directory that the tables have not followed yet";
        let behind = parts.directory.csn().saturating_sub(state.csn);
        all.begin("wasmta_tables_behind_changes", Kind::Gauge, help).add(&[], behind);
        all.begin("wasmta_tables_rows", Kind::Gauge, "Rows of the tables when they were built")
            .add(&[], state.rows);
    }
    let mut statuses = Vec::new();
    for mirror in parts.mirror.iter().flat_map(|mirror| mirror.all()) {
        // A directory that cannot be read has said so as an event.
        statuses.extend(mirror.status().await);
    }
    let help = "Whether a directory server was reached when it was last tried";
    let up = all.begin("wasmta_directory_server_up", Kind::Gauge, help);
    for (status, server) in
        statuses.iter().flat_map(|one| one.servers.iter().map(move |server| (one, server)))
    {
        up.add(&[("source", status.source.as_str()), ("server", server.server.as_str())], server.up.into());
    }
    let help = "When a full sync last ended well, in seconds since 1970";
    let full = all.begin("wasmta_sync_full_timestamp_seconds", Kind::Gauge, help);
    for status in &statuses {
        full.add(&[("source", status.source.as_str())], status.full_at.unwrap_or(0) / 1000);
    }
    let help = "When anything that the source said was last taken in, in seconds since 1970";
    let heard = all.begin("wasmta_sync_heard_timestamp_seconds", Kind::Gauge, help);
    for status in &statuses {
        heard.add(&[("source", status.source.as_str())], status.heard_at.unwrap_or(0) / 1000);
    }
    let help = "Entries of a source that break a rule: their last good versions stay";
    let refused = all.begin("wasmta_sync_refused_entries", Kind::Gauge, help);
    for status in &statuses {
        refused.add(&[("source", status.source.as_str())], status.refused.len() as u64);
    }
}

fn of_plugins(all: &mut Families, parts: &Parts) {
    let plugins = parts.plugins.in_force();
    let help = "Questions to a plugin, by how they were answered";
    let questions = all.begin("wasmta_plugin_questions_total", Kind::Counter, help);
    for (name, plugin) in &plugins {
        let numbers = &plugin.numbers;
        for (way, count) in [
            ("call", &numbers.calls),
            ("remembered", &numbers.remembered),
            ("passed_over", &numbers.passed_over),
        ] {
            questions.add(&[("plugin", name.as_str()), ("by", way)], count.load(Ordering::Relaxed));
        }
    }
    let help = "Time of all calls of a plugin, from question to answer";
    let time = all.begin("wasmta_plugin_call_seconds_total", Kind::Counter, help);
    for (name, plugin) in &plugins {
        let spent = plugin.numbers.microseconds.load(Ordering::Relaxed);
        time.add_fraction(&[("plugin", name.as_str())], seconds(spent));
    }
    let failures =
        all.begin("wasmta_plugin_failures_total", Kind::Counter, "Questions that a plugin did not answer");
    for (name, plugin) in &plugins {
        for (kind, count) in plugin.numbers.failures() {
            failures.add(&[("plugin", name.as_str()), ("kind", kind.as_str())], count);
        }
    }
    // Those too that are not there.
    for (name, count) in parts.plugins.missed() {
        failures.add(&[("plugin", name.as_str()), ("kind", FailureKind::Missing.as_str())], count);
    }
    let help = "Calls of a plugin that were to be recorded and are not, by cause";
    let unrecorded = all.begin("wasmta_plugin_unrecorded_total", Kind::Counter, help);
    for name in plugins.keys() {
        let LeftOut { too_large, unanswered, unwritten } = parts.plugins.left_out(name);
        for (cause, count) in [("too_large", too_large), ("unanswered", unanswered), ("unwritten", unwritten)]
        {
            if count > 0 {
                unrecorded.add(&[("plugin", name.as_str()), ("cause", cause)], count);
            }
        }
    }
    of_tenants(all, &plugins);
}

fn of_tenants(all: &mut Families, plugins: &BTreeMap<PluginName, Arc<Plugin>>) {
    let of_each: Vec<_> =
        plugins.iter().map(|(name, plugin)| (name.as_str(), most_used(plugin.uses()))).collect();
    let labels = |plugin, tenant| [("plugin", plugin), ("tenant", tenant)];
    let calls = all.begin("wasmta_tenant_calls_total", Kind::Counter, "Calls of a plugin for a tenant");
    for (plugin, tenant, used) in each_tenant(&of_each) {
        calls.add(&labels(plugin, tenant), used.calls);
    }
    let help = "Processor time of a plugin for a tenant";
    let cpu = all.begin("wasmta_tenant_cpu_seconds_total", Kind::Counter, help);
    for (plugin, tenant, used) in each_tenant(&of_each) {
        cpu.add_fraction(&labels(plugin, tenant), seconds(used.cpu_microseconds));
    }
    let help = "Memory that the instances of a plugin hold for a tenant";
    let memory = all.begin("wasmta_tenant_memory_bytes", Kind::Gauge, help);
    for (plugin, tenant, used) in each_tenant(&of_each) {
        memory.add(&labels(plugin, tenant), used.memory);
    }
}

/// What the tenants of one plugin use, by label.
type Uses = Vec<(String, TenantUse)>;

fn each_tenant<'a>(
    of_each: &'a [(&'a str, Uses)],
) -> impl Iterator<Item = (&'a str, &'a str, &'a TenantUse)> {
    of_each
        .iter()
        .flat_map(|(plugin, uses)| uses.iter().map(move |(tenant, used)| (*plugin, tenant.as_str(), used)))
}

/// Those that have used most, and what the others have together.
fn most_used(mut uses: Vec<TenantUse>) -> Uses {
    uses.sort_by(|one, other| {
        other.cpu_microseconds.cmp(&one.cpu_microseconds).then_with(|| one.tenant.cmp(&other.tenant))
    });
    let others = uses.split_off(uses.len().min(TENANTS_SHOWN_MAX));
    let label =
        |used: &TenantUse| used.tenant.as_ref().map_or_else(|| NOBODY.to_owned(), ToString::to_string);
    let mut shown: Uses = uses.into_iter().map(|used| (label(&used), used)).collect();
    if !others.is_empty() {
        let sum = |number: fn(&TenantUse) -> u64| others.iter().map(number).sum();
        let together = TenantUse {
            tenant: None,
            calls: sum(|used| used.calls),
            cpu_microseconds: sum(|used| used.cpu_microseconds),
            memory: sum(|used| used.memory),
        };
        shown.push((OTHERS.to_owned(), together));
    }
    shown
}

#[cfg(test)]
mod tests {
    use mail_types::Domain;

    use super::*;

    #[test]
    fn those_that_use_most_are_shown_and_the_others_together() {
        let one = |number: usize| TenantUse {
            tenant: Some(Domain::parse(&format!("d{number}.example")).unwrap()),
            calls: 1,
            cpu_microseconds: number as u64,
            memory: 10,
        };
        assert_eq!(most_used((0..3).map(one).collect()).len(), 3);
        let shown = most_used((0..TENANTS_SHOWN_MAX + 2).map(one).collect());
        assert_eq!(shown.len(), TENANTS_SHOWN_MAX + 1);
        assert_eq!(shown[0].0, format!("d{}.example", TENANTS_SHOWN_MAX + 1));
        let (label, others) = shown.last().unwrap();
        assert_eq!(
            (label.as_str(), others.calls, others.cpu_microseconds, others.memory),
            (OTHERS, 2, 1, 20)
        );
    }
}
