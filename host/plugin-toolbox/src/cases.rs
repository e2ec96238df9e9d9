//! `cases.toml`: a plugin's surroundings and the calls that show what it does. The format stands in the author's manual
//! (`docs/plugins/README.md`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hooks::{PluginName, Role};
use mail_types::{ChannelName, Domain, Timestamp};
use plugin_engine::{Candidate, Limits, Manifest, Reuse, Settings, Table};
use serde_json::Value as Json;
use toml::de::DeTable;

use crate::draft::{self, Draft};
use crate::letter::Letter;
use crate::reading::{Section, Source};
use crate::units;

/// What the clock shows where the table does not say: 2027-01-15 08:00 UTC. Fixed, so that answers are.
const NOW_SECONDS: u64 = 1_800_000_000;
/// Largest file of cases, in octets.
const CASES_MAX: u64 = 64 << 20;
/// Processor time of a call where the table does not say: a debug build and a busy machine are no faults. How near a
/// plugin comes to a server's limit is told apart.
const CPU: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(10);

/// A file of cases.
pub(crate) struct Cases {
    /// What the plugin finds when it is called.
    pub(crate) surroundings: Surroundings,
    /// Expectations are held against the answer as it was given, not against what the host makes of it.
    pub(crate) raw: bool,
    /// It may answer otherwise the second time.
    pub(crate) stateful: bool,
    /// The tool's own hostile questions are asked, too.
    pub(crate) hostile: bool,
    /// In the order of the contract's roles, then of the file.
    pub(crate) cases: Vec<Case>,
}

/// What a plugin finds when it is called.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) config: Json,
    /// Where that stands, or its file; empty where there is none.
    pub(crate) config_place: String,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) now: Timestamp,
    pub(crate) tables: BTreeMap<String, Table>,
    /// By name in lower case and kind.
    pub(crate) dns: HashMap<(String, String), Vec<String>>,
    pub(crate) kv: Vec<(String, String)>,
    pub(crate) limits: Limits,
    /// It acts for single tenants: it may lead to domains of theirs, or elsewhere, never to another tenant's.
    pub(crate) as_tenant: bool,
    /// Domains of other tenants.
    pub(crate) hosted: BTreeSet<Domain>,
    /// The channels that it may route to.
    pub(crate) channels: BTreeSet<ChannelName>,
}

/// A call, and what is expected of it.
pub(crate) struct Case {
    pub(crate) role: Role,
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) line: usize,
    pub(crate) draft: Draft,
    /// A line for each action or row; one for other roles.
    pub(crate) expect: Vec<String>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            config: Json::Object(serde_json::Map::new()),
            config_place: String::new(),
            secrets: BTreeMap::new(),
            now: Timestamp(NOW_SECONDS * 1000),
            tables: BTreeMap::new(),
            dns: HashMap::new(),
            kv: Vec::new(),
            limits: Limits { cpu: CPU, wall: WALL, ..Limits::default() },
            as_tenant: false,
            hosted: BTreeSet::new(),
            channels: BTreeSet::new(),
        }
    }
}

impl Surroundings {
    /// The settings of a plugin in them: it is granted all that it imports, and instances stay warm.
    pub(crate) fn settings(
        &self,
        name: PluginName,
        manifest: &Manifest,
        tenants: BTreeSet<Domain>,
    ) -> Settings {
        let mut settings = Settings::new(name);
        settings.grants.extend(manifest.imports.iter().copied());
        settings.limits = self.limits.clone();
        settings.config = self.config.clone();
        let secrets = self.secrets.iter();
        settings.secrets.0 =
            secrets.map(|(name, value)| (name.clone(), value.clone().into_bytes().into())).collect();
        settings.tables =
            self.tables.iter().map(|(name, table)| (name.clone(), Arc::new(table.clone()))).collect();
        settings.channels = self.channels.clone();
        if self.as_tenant {
            settings.tenants = tenants;
        }
        settings.reuse = Some(Reuse { calls: u32::MAX, idle: Duration::from_secs(3600), growth: u64::MAX });
        settings
    }
}

impl Surroundings {
    /// Holds the configuration against what a component describes: a mistake in it is the file's, not the component's.
    ///
    /// # Errors
    /// It does not fit; with its place.
    pub(crate) async fn fit(&self, candidate: &Candidate) -> Result<(), String> {
        let mut settings = Settings::new(crate::trying::name()?);
        settings.limits.memory = self.limits.memory;
        // What it cannot say of itself, whoever starts it tells.
        let Ok(description) = candidate.describe(settings).await else { return Ok(()) };
        if !description.faults(None).is_empty() {
            return Ok(());
        }
        let faults = description.faults(Some(&self.config));
        if faults.is_empty() {
            return Ok(());
        }
        let place = if self.config_place.is_empty() { "" } else { &format!("{}: ", self.config_place) };
        Err(format!("{place}config: {}; mend [config], or the schema in describe()", faults.join("; ")))
    }
}

impl Cases {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let fault = |why: String| format!("{}: {why}", path.display());
        let octets = runtime::files::read(path, CASES_MAX).map_err(|error| fault(error.to_string()))?;
        let text = String::from_utf8(octets).map_err(|_| fault("it is not UTF-8".to_owned()))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads a file's text; everything wrong with it is told at once, with lines.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let source = Source::new(name, text);
        let root = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| source.line(span.start));
            format!("{name}:{line}: {}", error.message())
        })?;
        let mut cases = Self::read(Section::of(&source, 0, root.get_ref()));
        if cases.surroundings.config_place.is_empty() {
            name.clone_into(&mut cases.surroundings.config_place);
        }
        match source.into_faults() {
            None => Ok(cases),
            Some(faults) => Err(faults),
        }
    }

    fn read(mut root: Section<'_>) -> Self {
        let mut cases = Self {
            raw: root.flag("raw").unwrap_or(false),
            stateful: root.flag("stateful").unwrap_or(false),
            hostile: root.flag("hostile").unwrap_or(true),
            surroundings: surroundings(&mut root),
            cases: Vec::new(),
        };
        for role in Role::ALL {
            for section in root.list(role.as_str()) {
                cases.cases.push(case(role, section));
            }
        }
        // A channel that an expectation names is there.
        let expected = cases.cases.iter().flat_map(|case| &case.expect);
        let named = expected.filter_map(|text| text.strip_prefix("route ")?.split(' ').nth(1));
        let named: Vec<ChannelName> = named.map(ChannelName::new).collect();
        cases.surroundings.channels.extend(named);
        root.close();
        cases
    }

    /// The tenants that calls are for.
    pub(crate) fn tenants(&self) -> BTreeSet<Domain> {
        self.cases.iter().filter_map(|case| case.draft.question(case.role).tenant).collect()
    }
}

fn surroundings(root: &mut Section<'_>) -> Surroundings {
    let mut read =
        Surroundings { as_tenant: root.flag("as-tenant").unwrap_or(false), ..Surroundings::default() };
    for text in root.texts("hosted").unwrap_or_default() {
        match Domain::parse(&text) {
            Ok(domain) => drop(read.hosted.insert(domain)),
            Err(error) => root.source.fault(root.place("hosted"), error.to_string()),
        }
    }
    let channels = root.texts("channels").unwrap_or_default();
    read.channels.extend(channels.iter().map(|name| ChannelName::new(name)));
    if let Some(config) = root.section("config") {
        read.config_place = config.source.place(config.at);
        read.config = config.json();
    }
    read.secrets = root.attributes("secrets").into_iter().collect();
    if let Some(mut clock) = root.section("clock") {
        read.now = Timestamp(clock.number("seconds").unwrap_or(NOW_SECONDS).saturating_mul(1000));
        clock.close();
    }
    if let Some(tables) = root.section("tables") {
        for (name, rows) in tables.named() {
            let rows = rows.named().into_iter().map(|(key, row)| (key.to_lowercase(), row.pairs()));
            read.tables.insert(name, rows.collect());
        }
    }
    if let Some(dns) = root.section("dns") {
        for (name, kinds) in dns.named() {
            for (kind, records) in kinds.named_texts() {
                read.dns.insert((name.to_lowercase(), kind), records);
            }
        }
    }
    read.kv = root.attributes("kv");
    if let Some(section) = root.section("limits") {
        read.limits = limits(section, read.limits);
    }
    read
}

fn limits(mut section: Section<'_>, default: Limits) -> Limits {
    let number = |section: &mut Section<'_>, key, default: u32| {
        section.number(key).map_or(default, |number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let limits = Limits {
        cpu: section.read("cpu", units::duration).unwrap_or(default.cpu),
        wall: section.read("wall", units::duration).unwrap_or(default.wall),
        memory: section.read("memory", units::size).unwrap_or(default.memory),
        tenant_memory: section.read("tenant-memory", units::size).unwrap_or(default.tenant_memory),
        output: section
            .read("output", units::size)
            .map_or(default.output, |size| usize::try_from(size).unwrap_or(usize::MAX)),
        host_calls: number(&mut section, "host-calls", default.host_calls),
        log_lines: number(&mut section, "log-lines", default.log_lines),
        dns_queries: number(&mut section, "dns-queries", default.dns_queries),
        kv: section.read("kv", units::size).unwrap_or(default.kv),
        ..default
    };
    section.close();
    limits
}

fn case(role: Role, mut section: Section<'_>) -> Case {
    let name = section.text("name");
    let expect = section.texts("expect");
    let mut draft = Draft::default();
    if role == Role::RouteTable {
        draft.domain = section.text("domain").unwrap_or_default();
        draft.dn = section.text("dn").unwrap_or_default();
        draft.attributes = section.attributes("attrs");
    } else {
        draft.address = section.text("address").unwrap_or_default();
        draft.tenant = section.read("tenant", |text| draft::tenant(text).map(|()| text.to_owned()));
        draft.channel = section.text("channel");
        draft.authenticated = section.text("authenticated");
        if !section.has("address") {
            section.source.fault(section.at, "the case has no address");
        }
    }
    match role {
        Role::Rewrite => {
            draft.position = word(&mut section, "position", &["envelope", "header"]);
            draft.direction = word(&mut section, "direction", &["to", "from"]);
            draft.function = section.text("function").unwrap_or_default();
            draft.argument = section.text("argument").unwrap_or_default();
        }
        Role::Reverse => {
            draft.position = word(&mut section, "position", &["envelope", "header"]);
            draft.destination = section.text("destination").unwrap_or_default();
            draft.forwarded = section.flag("forwarded").unwrap_or(false);
        }
        Role::AuthorizeSender => {
            draft.account = section.text("account");
            draft.attributes = section.attributes("attrs");
        }
        Role::Disposition => {
            draft.original = section.text("original");
            draft.detail = section.text("detail").unwrap_or_default();
            draft.account = section.text("account");
            draft.sender = section.text("sender");
            draft.attributes = section.attributes("profile");
            draft.message = Letter::octets_of(&section.text("message").unwrap_or_default());
        }
        Role::RouteTable => {}
    }
    if !section.has("expect") {
        section.source.fault(section.at, "the case does not say what to expect");
    }
    let line = section.source.line(section.at);
    let name = name
        .unwrap_or_else(|| if role == Role::RouteTable { draft.dn.clone() } else { draft.address.clone() });
    section.close();
    Case { role, name, line, draft, expect: expect.unwrap_or_default() }
}

fn word(section: &mut Section<'_>, key: &'static str, words: &[&str]) -> Option<String> {
    section.read(key, |text| match words.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not one of {}", words.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surroundings_and_calls_are_read() {
        let text = r#"
stateful = true
[config]
separator = "+"
[config.deep]
n = 3
[secrets]
key = "horse"
[clock]
seconds = 5
[tables.users."Anna@example.org"]
mail = ["a@x.example", "b@x.example"]
[dns."Example.org"]
MX = "10 mx."
[kv]
k = "v"
[limits]
cpu = "20 ms"
memory = "8 MiB"
host-calls = 7

[[rewrite]]
address = "x@example.org"
expect = "route x@example.org partner mx.example"

[[disposition]]
name = "two"
address = "anna@example.org"
message = "A: b\n\nc"
expect = []
"#;
        let cases = Cases::parse("t", text).unwrap();
        let around = &cases.surroundings;
        assert_eq!(around.config, serde_json::json!({"separator": "+", "deep": {"n": 3}}));
        assert_eq!(around.now, Timestamp(5000));
        assert_eq!(around.tables["users"]["anna@example.org"].len(), 2);
        assert_eq!(around.dns[&("example.org".into(), "MX".into())], ["10 mx."]);
        assert_eq!((around.limits.cpu, around.limits.memory), (Duration::from_millis(20), 8 << 20));
        assert_eq!(around.limits.host_calls, 7);
        assert!(around.channels.contains(&ChannelName::new("partner")));
        assert!(cases.stateful && cases.hostile && !cases.raw);
        assert_eq!((cases.cases[0].name.as_str(), cases.cases[0].line), ("x@example.org", 22));
        assert_eq!(cases.cases[1].draft.message, b"A: b\r\n\r\nc");
        assert!(cases.cases[1].expect.is_empty());
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "colour = 1\n[limits]\ncpu = \"10\"\n[[rewrite]]\naddres = \"x@example.org\"\nposition = \"up\"\n\
                    [[reverse]]\naddress = 5\nexpect = \"unchanged\"\n[[authorize]]\n";
        let faults = Cases::parse("cases.toml", text).err().unwrap();
        for wanted in [
            "cases.toml:1: \"colour\" is not known here",
            "cases.toml:3: cpu: \"10\" is no whole number",
            "cases.toml:4: the case has no address",
            "cases.toml:4: the case does not say what to expect",
            "cases.toml:5: \"addres\" is not known here",
            "cases.toml:6: position: \"up\" is not one of envelope, header",
            "cases.toml:8: address is a number, not a text",
            "cases.toml:10: \"authorize\" is not known here",
        ] {
            assert!(faults.contains(wanted), "{wanted} is not in\n{faults}");
        }
        assert!(Cases::parse("t", "a = \n").err().unwrap().starts_with("t:1: "));
    }
}
