//! Bindings that do not fit: each is told with its key and what to do.

use hooks::{OnFailure, Role};
use mail_types::{ChannelName, Lookup};

use super::*;
use crate::{CONTRADICTIONS_MAX, Digest, DomainPattern, Known, Manifest, Stand, contradictions};

/// A configuration, and what it is held against.
struct Case {
    settings: Vec<Settings>,
    rules: Vec<(PluginName, String)>,
    installed: bool,
    enabled: bool,
    directory: bool,
    roles: Vec<Role>,
    imports: Vec<Capability>,
}

/// One plugin `policy`, with this changed; installed is one of the roles rewrite and disposition.
fn case(change: impl FnOnce(&mut Settings)) -> Case {
    let mut settings = Settings::new(name("policy"));
    change(&mut settings);
    Case {
        settings: vec![settings],
        rules: Vec::new(),
        installed: true,
        enabled: true,
        directory: true,
        roles: vec![Role::Rewrite, Role::Disposition],
        imports: Vec::new(),
    }
}

impl Case {
    fn told(&self) -> Vec<String> {
        let manifest = Manifest {
            digest: Digest::of(b""),
            size: 0,
            roles: self.roles.clone(),
            imports: self.imports.clone(),
            foreign: Vec::new(),
            contract: "1.0.0".into(),
            core_instances: 1,
            memories: 1,
            tables: 1,
            memory: 0,
        };
        let installed = |_: &PluginName| {
            self.installed.then(|| Stand { enabled: self.enabled, manifest: Some(manifest.clone()) })
        };
        // Of example.org, which is called example.com too; the only other domain is example.net.
        let tenant_of = |domain: &Domain| match domain.as_str() {
            "example.org" | "example.com" => Lookup::Found(Domain::parse("example.org").unwrap()),
            "example.net" => Lookup::Found(domain.clone()),
            _ => Lookup::NotFound,
        };
        let known = Known {
            settings: &self.settings,
            installed: Some(&installed),
            channels: &[ChannelName::new("smtp"), ChannelName::new("store")],
            rules: &self.rules,
            tenant_of: if self.directory { Some(&tenant_of) } else { None },
        };
        contradictions(&known).iter().map(ToString::to_string).collect()
    }

    fn one(&self, parts: &[&str]) {
        let told = self.told();
        let [one] = &told[..] else { panic!("{told:?}") };
        assert!(parts.iter().all(|part| one.contains(part)), "{one}");
    }

    fn none(&self) {
        assert_eq!(self.told(), Vec::<String>::new());
    }
}

fn bound_to(settings: &mut Settings, domain: &str) {
    settings.domains.push(domain.parse::<DomainPattern>().unwrap());
    settings.tenants.insert(Domain::parse("example.org").unwrap());
}

#[test]
fn roles_that_it_does_not_have() {
    case(|one| one.roles.extend([Role::Rewrite, Role::Reverse])).one(&[
        "plugins.policy.roles: names reverse",
        "it has rewrite, disposition",
        "take it out",
    ]);
    case(|one| one.roles.extend([Role::Rewrite])).none();
    // What is not there has no roles that anybody knows.
    Case { installed: false, ..case(|one| one.roles.extend([Role::Reverse])) }.none();
}

#[test]
fn domains_of_others_than_its_tenants() {
    let other = case(|one| bound_to(one, "example.net"));
    other.one(&[
        "plugins.policy.domains: it is bound to example.net,",
        "act for example.org alone",
        "tempfail",
        "add the tenant to tenants",
    ]);
    Case { directory: false, ..other }.one(&["example.net (unless that is another name"]);
    case(|one| bound_to(one, "nobody.example")).one(&["a domain of nobody here"]);
    case(|one| bound_to(one, "*")).one(&["\"*\" binds it to every domain"]);
    case(|one| bound_to(one, ".example.org")).one(&["\".example.org\" binds it to every domain below"]);
    case(|one| bound_to(one, "example.org")).none();
    case(|one| bound_to(one, "example.com")).none();
    // Rows of a domain that it does not act for are the server's to build.
    case(|one| {
        bound_to(one, "example.net");
        one.roles.insert(Role::RouteTable);
    })
    .one(&["plugins.policy.roles: names route-table"]);
    let builder = |domain: &str| Case { roles: vec![Role::RouteTable], ..case(|one| bound_to(one, domain)) };
    builder("example.net").one(&[
        "bound to example.net,",
        "the server builds its rows itself",
        "add the tenant",
    ]);
    builder("*").none();
    builder("example.com").none();
    let both =
        Case { roles: vec![Role::RouteTable, Role::Rewrite], ..case(|one| bound_to(one, "example.net")) };
    both.one(&["tempfail", ", and the server builds its rows itself"]);
}

#[test]
fn channels_that_are_not_there() {
    case(|one| one.channels.extend([ChannelName::new("nix"), ChannelName::new("smtp")]))
        .one(&["plugins.policy.channels: the configuration has no channel nix:", "there are smtp, store"]);
    case(|one| one.channels.extend([ChannelName::new("store")])).none();
}

#[test]
fn rules_that_ask_nobody() {
    let asked = |name_of: &str| Case {
        rules: vec![(name(name_of), "rewrite.rules:3".into())],
        ..case(|one| one.on_failure = Some(OnFailure::Reject))
    };
    asked("policy").none();
    asked("nobody").one(&[
        "rewrite.rules:3: the rule asks the plugin nobody",
        "[plugins.nobody]",
        "tempfail",
    ]);
    Case { installed: false, ..asked("policy") }.one(&["which is not installed", "refused for good"]);
    Case { enabled: false, ..asked("policy") }.one(&["which is disabled", "plugin enable policy"]);
}

#[test]
fn of_many_some_are_told() {
    let many = case(|one| (0..150).for_each(|nth| bound_to(one, &format!("d{nth}.example"))));
    let told = many.told();
    assert_eq!(told.len(), CONTRADICTIONS_MAX + 1);
    assert!(told[CONTRADICTIONS_MAX].contains("50 more"), "{:?}", told.last());
}

#[test]
fn domains_that_nobody_knows() {
    let nowhere = |one: &mut Settings| one.domains.push("nosuch.example".parse().unwrap());
    case(nowhere).one(&["plugins.policy.domains: the directory does not know nosuch.example", "domain add"]);
    Case { directory: false, ..case(nowhere) }.none();
    case(|one| one.tenants.extend(Domain::parse("nosuch.example")))
        .one(&["plugins.policy.tenants: the directory does not know nosuch.example"]);
    case(|one| one.tenants.extend(Domain::parse("example.com")))
        .one(&["plugins.policy.tenants: example.com is another name of example.org"]);
}

#[test]
fn what_cannot_be_remembered() {
    let remembering = |one: &mut Settings| {
        one.remember = 10;
        one.grants.extend([Capability::Lookup, Capability::Clock]);
    };
    case(remembering).none();
    Case { imports: vec![Capability::Lookup], ..case(remembering) }.none();
    // What is not granted, no answer depends on.
    Case { imports: vec![Capability::Dns], ..case(remembering) }.none();
    Case { imports: vec![Capability::Clock], ..case(remembering) }.one(&[
        "plugins.policy.remember: nothing is remembered",
        "it imports clock",
        "take it out",
    ]);
    Case { roles: vec![Role::Disposition], ..case(remembering) }
        .one(&["only answers as rewrite are, and it has disposition"]);
}

#[test]
fn rows_that_depend_on_more_than_their_entry() {
    let granted = |one: &mut Settings| one.grants.extend([Capability::Lookup, Capability::Clock]);
    let builder = |imports: &[Capability]| Case {
        roles: vec![Role::Rewrite, Role::RouteTable],
        imports: imports.to_vec(),
        ..case(granted)
    };
    builder(&[Capability::Lookup, Capability::Random]).none();
    builder(&[Capability::Clock]).one(&["plugins.policy.allow: rows", "may depend on clock"]);
    let mut other = builder(&[Capability::Clock]);
    other.settings[0].roles.insert(Role::Rewrite);
    other.none();
}

#[test]
fn two_builders_of_one_domains_rows() {
    let told = |patterns: [&str; 2], tenants: [&str; 2]| {
        let mut settings: Vec<Settings> = Vec::new();
        for (nth, (pattern, tenant)) in patterns.into_iter().zip(tenants).enumerate() {
            let mut one = Settings::new(name(["second", "first"][nth]));
            one.order = 1 - i64::try_from(nth).unwrap();
            one.domains.push(pattern.parse().unwrap());
            one.tenants.extend(Domain::parse(tenant));
            settings.push(one);
        }
        let mut case = Case { roles: vec![Role::RouteTable], directory: false, ..case(|_| ()) };
        case.settings = settings;
        case.told()
    };
    for meeting in [
        ["example.org", "example.org"],
        ["example.org", ".org"],
        [".org", "example.org"],
        ["*", "a.example.org"],
        ["a.example.org", "*"],
        [".example.org", ".org"],
        [".org", ".example.org"],
    ] {
        let told = told(meeting, ["", ""]);
        assert!(
            told.len() == 1
                && told[0].starts_with("plugins.second.domains: first and second are both bound to")
                && told[0].contains("only the first builds a domain's rows: first"),
            "{meeting:?}: {told:?}"
        );
    }
    for apart in [["example.org", "example.net"], ["example.org", ".example.org"], [".org", "example.net"]] {
        assert_eq!(told(apart, ["", ""]), Vec::<String>::new(), "{apart:?}");
    }
    assert_eq!(told(["*", "*"], ["example.org", "example.net"]), Vec::<String>::new());
    assert_eq!(told(["*", "*"], ["example.org", "example.org"]).len(), 1);
}
