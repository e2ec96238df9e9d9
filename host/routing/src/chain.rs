//! Which plugins are to be asked, for whoever asks them in other roles than routing does.

use hooks::{PluginName, Role};
use mail_types::{Address, Domain, Lookup, Refusal};

use crate::resolve::domains::View;
use crate::resolve::refusals;
use crate::routing::Routing;
use crate::sender::row_of;
use crate::tables::TableError;
use crate::tables::row::RowKind;

/// Who is asked about a user's mail, and on whose behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChain {
    /// The plugins, in order.
    pub plugins: Vec<PluginName>,
    /// The tenant that the address belongs to: its canonical domain, where the directory knows it; `None` without plugins.
    pub tenant: Option<Domain>,
}

impl Routing {
    /// The subaddress of an address: what stands behind the separator; empty for none.
    #[must_use]
    pub fn detail_of(&self, address: &Address) -> String {
        let policy = self.policy();
        let separator = policy.options().separator;
        let (_, detail) = crate::rewrite::substitution::split_detail(address.local.as_str(), separator);
        detail.strip_prefix(separator).unwrap_or_default().to_owned()
    }

    /// The plugins for a role of a domain, in order: those of the configuration, then those of the domain's entry. Of
    /// a domain that the directory does not know, the configuration's.
    pub fn chain(&self, role: Role, domain: &Domain) -> Lookup<Vec<PluginName>> {
        found(self.with_view(|_, view| {
            names(view, role, domain.as_str()).map(Some).map_err(|error| refusals::unavailable(&error))
        }))
    }

    /// The plugins for a role of a user, in order: those of the configuration and of the address's domain, then those of
    /// the user's own entry, which cannot end what the operator's would look at. `NotFound` where the address leads to no user.
    pub fn user_chain(&self, role: Role, address: &Address) -> Lookup<UserChain> {
        found(
            self.with_view(|_, view| {
                of_user(view, role, address).map_err(|error| refusals::unavailable(&error))
            }),
        )
    }
}

fn found<T>(answer: Result<Option<T>, Refusal>) -> Lookup<T> {
    match answer {
        Ok(known) => known.into(),
        Err(refusal) => Lookup::Unavailable(refusal.cause),
    }
}

fn names(view: &View<'_>, role: Role, domain: &str) -> Result<Vec<PluginName>, TableError> {
    Ok(view.links(role, domain)?.into_iter().map(|link| link.plugin).collect())
}

fn of_user(view: &View<'_>, role: Role, address: &Address) -> Result<Option<UserChain>, TableError> {
    let Some((_, row)) = row_of(view, address)? else { return Ok(None) };
    if row.kind != RowKind::User {
        return Ok(None);
    }
    let own = row.detail.map(|detail| detail.plugins).unwrap_or_default();
    let mut plugins = names(view, role, address.domain.as_str())?;
    let own = own.into_iter().filter(|binding| view.means(binding, role)).map(|binding| binding.plugin);
    for plugin in own {
        if !plugins.contains(&plugin) {
            plugins.push(plugin);
        }
    }
    // Most users have none: then nobody asks whose they are.
    let tenant = if plugins.is_empty() { None } else { view.tenant(&address.domain)? };
    Ok(Some(UserChain { plugins, tenant }))
}
