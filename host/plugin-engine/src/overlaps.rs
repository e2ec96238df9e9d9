//! Two plugins that would build the rows of one domain: only the first of them does.

use std::collections::HashMap;

use hooks::Role;

use crate::contradictions::{Contradiction, Known};
use crate::settings::{DomainPattern, Settings};

/// Most plugins that are held against another one at one place: where more are, these are told first.
const HOLDERS_MAX: usize = 16;

/// Of each plugin that builds rows, one that comes before it and has a domain of it.
pub(crate) fn overlaps(known: &Known<'_>) -> Vec<Contradiction> {
    let mut builders: Vec<&Settings> =
        known.settings.iter().filter(|settings| is_builder(known, settings)).collect();
    builders.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    let mut before = Before::default();
    let mut found = Vec::new();
    for one in builders {
        let met = one.domains.iter().find_map(|pattern| Some((pattern, before.met(pattern, one)?)));
        if let Some((pattern, first)) = met {
            let what = format!(
                "{} and {} are both bound to {pattern} as route-table, and only the first builds a domain's rows: {}, by order",
                first.name, one.name, first.name
            );
            let mend = "take the domain or the role route-table from one of them".to_owned();
            found.push(Contradiction { key: format!("plugins.{}.domains", one.name), what, mend });
        }
        one.domains.iter().for_each(|pattern| before.add(pattern, one));
    }
    found
}

fn is_builder(known: &Known<'_>, settings: &Settings) -> bool {
    let named = settings.roles.contains(&Role::RouteTable);
    let stand = known.installed.and_then(|installed| installed(&settings.name));
    match stand.and_then(|stand| stand.manifest) {
        Some(manifest) => manifest.roles.contains(&Role::RouteTable) && (named || settings.roles.is_empty()),
        // What has not said its roles is taken at the configuration's word.
        None => named,
    }
}

/// The patterns of those that came before.
#[derive(Default)]
struct Before<'a> {
    /// Who has just this pattern.
    own: HashMap<String, Vec<&'a Settings>>,
    /// Who has this one, or a narrower one.
    within: HashMap<String, Vec<&'a Settings>>,
}

impl<'a> Before<'a> {
    fn met(&self, pattern: &DomainPattern, other: &Settings) -> Option<&'a Settings> {
        let wider = wider(pattern);
        let narrower = wider.first().and_then(|key| self.within.get(key));
        let all = wider.iter().filter_map(|key| self.own.get(key)).chain(narrower).flatten();
        all.copied().find(|one| one.name != other.name && meet(one, other))
    }

    fn add(&mut self, pattern: &DomainPattern, one: &'a Settings) {
        let put = |map: &mut HashMap<String, Vec<&'a Settings>>, key: String| {
            let holders = map.entry(key).or_default();
            if holders.len() < HOLDERS_MAX {
                holders.push(one);
            }
        };
        let wider = wider(pattern);
        if let Some(key) = wider.first() {
            put(&mut self.own, key.clone());
        }
        wider.into_iter().for_each(|key| put(&mut self.within, key));
    }
}

/// Whether some tenant is of both. Who does not act for a tenant leaves its rows to others.
fn meet(one: &Settings, other: &Settings) -> bool {
    one.tenants.is_empty() || other.tenants.is_empty() || !one.tenants.is_disjoint(&other.tenants)
}

/// A pattern, and all that take in what it takes in.
fn wider(pattern: &DomainPattern) -> Vec<String> {
    let text = pattern.to_string();
    let mut all = vec![text.clone()];
    if *pattern != DomainPattern::Any {
        all.extend(text.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| text[at..].to_owned()));
        all.push(DomainPattern::Any.to_string());
    }
    all
}
