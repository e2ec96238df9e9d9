//! What in the bindings of plugins contradicts something: told by `check-config`, at the start and by a reload alike.

use std::path::Path;

use hooks::PluginName;
use mail_types::{ChannelName, Domain};
use plugin_engine::{Contradiction, InstalledAs, Known, Settings};

use super::{Parts, policy};
use crate::config::Config;

/// The channels of a configuration, as plugins name them.
pub(super) fn channels(config: &Config) -> Vec<ChannelName> {
    config.channels.iter().map(|channel| ChannelName::new(&channel.name)).collect()
}

fn settings(config: &Config) -> Vec<Settings> {
    config.plugins.iter().map(|plugin| plugin.settings.clone()).collect()
}

/// By what is installed in a folder, where there is one; the directory is not open.
pub(super) fn before_a_start(config: &Config, folder: Option<&Path>) -> Vec<String> {
    // Rules that cannot be read have been told of as faults.
    let rules = policy::load(config).map(|(rules, _)| rules.plugins()).unwrap_or_default();
    match folder.map(plugin_engine::installed_in).transpose() {
        Ok(None) => absent(config, &|_| None).chain(found(config, (None, &rules))).collect(),
        Ok(Some(installed)) => {
            absent(config, &installed).chain(found(config, (Some(&installed), &rules))).collect()
        }
        Err(why) => vec![why],
    }
}

fn absent(config: &Config, installed: InstalledAs<'_>) -> impl Iterator<Item = String> {
    plugin_engine::absent(&settings(config), installed).into_iter().map(|one| one.to_string())
}

fn found(
    config: &Config,
    (installed, rules): (Option<InstalledAs<'_>>, &[(PluginName, String)]),
) -> Vec<String> {
    let (settings, channels) = (settings(config), channels(config));
    let known = Known { settings: &settings, installed, channels: &channels, rules, tenant_of: None };
    plugin_engine::contradictions(&known).iter().map(Contradiction::to_string).collect()
}

/// By what is in force: a configuration that was just taken up.
pub(super) fn in_force(config: &Config, parts: &Parts) -> Vec<String> {
    let (settings, channels) = (settings(config), channels(config));
    let rules = parts.routing.plugins_of_rules();
    let tenant_of = |domain: &Domain| parts.routing.tables().canonical_domain(domain);
    let known = Known {
        settings: &settings,
        installed: Some(&|name| parts.plugins.stand(name)),
        channels: &channels,
        rules: &rules,
        tenant_of: Some(&tenant_of),
    };
    plugin_engine::contradictions(&known).iter().map(Contradiction::to_string).collect()
}
