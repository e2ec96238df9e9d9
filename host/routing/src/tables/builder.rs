//! Who builds the rows of an entry: the native builder, or a plugin with the role `route-table`.
//!
//! An entry belongs to the domain whose base (`inetDomainBaseDN`, or the domain's own entry) is the closest above it;
//! of several domains with one base, to the first by name that has a builder. The domain's builder is the first plugin
//! bound to the role `route-table`, by the configuration (under the canonical name) or else by the domain's entry, that
//! is in force for it, or that is installed or has built rows before and is away now: then its rows stay, because nobody
//! knows what it would say. Entries that describe domains are built natively, always: whose a domain is, no tenant's plugin decides.
//!
//! So that this is one look-up a level, a domain's base is a row of the routing table, too: under `/` and the base's
//! normal form, which is no domain's name.

use directory::Dn;
use events::Events;
use hooks::{PluginName, Plugins, Role, Standing};
use mail_types::Domain;
use runtime::Clock;

use super::TableError;
use super::row::DomainRow;

/// Longest base under which entries are found, in octets of its normal form; no entry has a longer name.
const BASE_KEY_MAX: usize = 500;
/// What the names of bases begin with.
const BASE_MARK: char = '/';

/// Who builds rows beside the native builder, and where it is told.
#[derive(Clone, Copy)]
pub struct Builders<'a> {
    /// The plugins.
    pub plugins: &'a dyn Plugins,
    /// Where failures are told.
    pub events: &'a Events,
    /// By which they are tried again.
    pub clock: &'a Clock,
}

/// The plugin that builds an entry's rows, and for which domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Builder {
    pub(super) domain: Domain,
    pub(super) plugin: PluginName,
    /// Whether it can be asked now.
    pub(super) is_ready: bool,
}

/// The name of a base among the keys of the routing table; `None` where nothing can be below it.
pub(super) fn base_name(base: &Dn) -> Option<String> {
    let key = std::str::from_utf8(base.key()).ok().filter(|key| key.len() <= BASE_KEY_MAX)?;
    Some(format!("{BASE_MARK}{key}"))
}

/// Whether a key of the routing table is a base's.
pub(super) fn is_base(name: &str) -> bool {
    name.starts_with(BASE_MARK)
}

/// The plugin that builds the rows of the entry of a name; `None`: the native builder does. `known` are those that have
/// built rows before; `rows_at` gives the rows of a key of the routing table.
pub(super) fn builder_of(
    dn: &Dn,
    plugins: &dyn Plugins,
    known: &[PluginName],
    rows_at: impl Fn(&str) -> Result<Vec<DomainRow>, TableError>,
) -> Result<Option<Builder>, TableError> {
    let mut level = Some(dn.clone());
    while let Some(name) = level {
        let rows = base_name(&name).map(|name| rows_at(&name)).transpose()?.unwrap_or_default();
        if !rows.is_empty() {
            return Ok(of_base(rows, plugins, known));
        }
        level = name.parent();
    }
    Ok(None)
}

/// The builder of the first domain that has one, of those with one base.
fn of_base(mut rows: Vec<DomainRow>, plugins: &dyn Plugins, known: &[PluginName]) -> Option<Builder> {
    rows.sort_by(|a, b| a.canonical.cmp(&b.canonical));
    rows.chunk_by(|a, b| a.canonical == b.canonical).find_map(|of_one| {
        let domain = Domain::parse(of_one.first()?.canonical.as_deref()?).ok()?;
        let own = of_one.iter().flat_map(|row| &row.plugins).filter(|own| own.is_for(Role::RouteTable));
        let chain = plugins.bound(Role::RouteTable, &domain).into_iter();
        chain.chain(own.map(|own| own.plugin.clone())).find_map(|plugin| {
            let is_ready = match plugins.standing(&plugin, Role::RouteTable, &domain) {
                Standing::Ready => true,
                Standing::Away => false,
                Standing::Absent if known.contains(&plugin) => false,
                Standing::Absent | Standing::Without => return None,
            };
            Some(Builder { domain: domain.clone(), plugin, is_ready })
        })
    })
}
