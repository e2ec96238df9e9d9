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
}

/// One plugin `policy`, with this changed; installed is one of the roles rewrite and disposition.
fn case(change: impl FnOnce(&mut Settings)) -> Case {
    let mut settings = Settings::new(name("policy"));
    change(&mut settings);
    Case { settings: vec![settings], rules: Vec::new(), installed: true, enabled: true, directory: true }
}

impl Case {
    fn told(&self) -> Vec<String> {
        let manifest = Manifest {
            digest: Digest::of(b""),
            size: 0,
            roles: vec![Role::Rewrite, Role::Disposition],
            imports: Vec::new(),
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
