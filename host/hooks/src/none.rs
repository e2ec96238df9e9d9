//! A server without plugins.

use mail_types::Domain;

use crate::name::PluginName;
use crate::plugins::Plugins;
use crate::role::Role;

/// No plugin is installed. One that is named nevertheless, by a rule or an entry of the directory, is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn bound(&self, _: Role, _: &Domain) -> Vec<PluginName> {
        Vec::new()
    }

    fn any_bound(&self, _: Role) -> bool {
        false
    }
}
