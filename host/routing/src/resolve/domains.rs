//! The routing table, as resolution sees it: one view, and the domain looked at last. Every hosted domain, by any of
//! its names, is a mail server to its users (R93, R100).

use std::cell::RefCell;
use std::rc::Rc;

use directory::{Dn, Status};
use hooks::{Binding, OnFailure, PluginName, RewriteRequest, Role};
use mail_types::{Address, Domain, Lookup};
use runtime::Random;

use super::Options;
use crate::consult::Consult;
use crate::rewrite::plugin::{Heard, Link};
use crate::rewrite::substitution::Facts;
use crate::tables::row::DomainRow;
use crate::tables::{Reader, TableError};

/// Most hops from alias to alias in the routing table.
const ALIASES_MAX: usize = 8;

/// A domain that the directory knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KnownDomain {
    /// What the routing table says.
    pub(crate) row: DomainRow,
    /// Where its users may be found besides under the name that was asked: the canonical name, then a domain whose
    /// users it shares.
    pub(crate) further: Vec<String>,
    /// The canonical name, where it was asked for by another one.
    pub(crate) canonical: Option<String>,
    /// The entry that says so, where it is one of its own: a pure alias.
    pub(crate) alias_dn: Option<String>,
    /// Whether this host handles it: no `mailRoutingHosts`, or ours among them; no better host by the DNS.
    pub(crate) local: bool,
}

impl KnownDomain {
    pub(crate) fn status(&self) -> Status {
        self.row.status()
    }
}

/// The tables in one view, with the rest of what rules may ask.
pub(crate) struct View<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) options: &'a Options,
    random: &'a Random,
    consult: &'a Consult<'a>,
    last: RefCell<Option<(String, Option<Rc<KnownDomain>>)>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        reader: &'a Reader,
        options: &'a Options,
        random: &'a Random,
        consult: &'a Consult<'a>,
    ) -> Self {
        Self { reader, options, random, consult, last: RefCell::new(None) }
    }

    /// A domain by any of its names. Rules and resolution ask for the same one in turn: the last answer is kept.
    pub(crate) fn domain(&self, name: &str) -> Result<Option<Rc<KnownDomain>>, TableError> {
        if let Some((known, answer)) = &*self.last.borrow()
            && known == name
        {
            return Ok(answer.clone());
        }
        let answer = self.look_up(name)?.map(Rc::new);
        *self.last.borrow_mut() = Some((name.to_owned(), answer.clone()));
        Ok(answer)
    }

    /// Notes an address that the tables do not have.
    pub(crate) fn miss(&self, address: &Address) {
        self.consult.miss(address);
    }

    /// Notes an entry of which the tables have no row.
    pub(crate) fn miss_entry(&self, dn: Dn) {
        self.consult.miss_entry(dn);
    }

    fn look_up(&self, name: &str) -> Result<Option<KnownDomain>, TableError> {
        let Some(mut row) = self.reader.domain(name)? else { return Ok(None) };
        let (mut further, mut alias_dn) = (Vec::new(), None);
        for _ in 0..ALIASES_MAX {
            further.extend(row.canonical.take());
            let Some(target) = row.target.take() else { break };
            alias_dn.get_or_insert_with(|| row.dn.clone());
            // A pure alias: the entry it stands for decides.
            let target = Dn::parse(&target).map_err(|_| TableError::Row("routing"))?;
            let Some(canonical) = self.reader.key_of(&target)? else { return Ok(None) };
            let Some(next) = self.reader.domain_row(&canonical)? else { return Ok(None) };
            further.push(canonical);
            row = next;
        }
        let canonical = further.last().filter(|canonical| *canonical != name).cloned();
        further.extend(row.shares.clone());
        further.retain(|other| other != name);
        further.dedup();
        let here = row.routing_hosts.is_empty() || row.routing_hosts.iter().any(|h| self.options.is_own(h));
        let local = here && !row.dns.as_ref().is_some_and(|dns| dns.relay);
        Ok(Some(KnownDomain { row, further, canonical, alias_dn, local }))
    }

    /// The plugins for a role of a domain: those of the configuration, by the name that was asked and by the canonical
    /// one, then those of its entry. Whom several name is asked once, where the first has it.
    pub(crate) fn links(&self, role: Role, domain: &str) -> Result<Vec<Link>, TableError> {
        let mut links = self.consult.bound(role, domain);
        let Some(known) = self.domain(domain)? else { return Ok(links) };
        let of_canonical = known.canonical.as_deref().map(|name| self.consult.bound(role, name));
        let own = known
            .row
            .plugins
            .iter()
            .filter(|binding| self.means(binding, role))
            .map(|binding| Link { plugin: binding.plugin.clone(), origin: known.row.dn.as_str().into() });
        for link in of_canonical.into_iter().flatten().chain(own) {
            if !links.iter().any(|other| other.plugin == link.plugin) {
                links.push(link);
            }
        }
        Ok(links)
    }

    /// Whether what an entry says of a plugin means a role.
    pub(crate) fn means(&self, binding: &Binding, role: Role) -> bool {
        self.consult.means(binding, role)
    }

    /// The tenant that a domain belongs to: its canonical name, where the directory knows it.
    pub(crate) fn tenant(&self, domain: &Domain) -> Result<Option<Domain>, TableError> {
        let Some(known) = self.domain(domain.as_str())? else { return Ok(None) };
        let canonical = known.canonical.as_deref().and_then(|name| Domain::parse(name).ok());
        Ok(Some(canonical.unwrap_or_else(|| domain.clone())))
    }
}

impl Facts for View<'_> {
    fn is_local(&self, domain: &str) -> Lookup<()> {
        match self.domain(domain) {
            Ok(Some(known)) if known.local => Lookup::Found(()),
            Ok(None) if self.options.is_own(domain) => Lookup::Found(()),
            Ok(_) => Lookup::NotFound,
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }

    fn general(&self, key: &str) -> Lookup<String> {
        self.options.general.as_ref().and_then(|table| table.get(&key.to_lowercase()).cloned()).into()
    }

    fn unique(&self) -> u64 {
        self.consult.unique(self.random)
    }

    fn has_chains(&self) -> bool {
        self.reader.state().chains || self.consult.any_bound(Role::Rewrite)
    }

    fn chain(&self, domain: &str) -> Lookup<Vec<Link>> {
        match self.links(Role::Rewrite, domain) {
            Ok(links) => Lookup::Found(links),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }

    fn hear(&self, plugin: &PluginName, request: &RewriteRequest, then: &[Link]) -> Heard {
        match self.tenant(&request.address.domain) {
            Ok(tenant) => self.consult.hear(plugin, tenant, request, then),
            Err(error) => Heard::Unavailable(error.to_string()),
        }
    }

    fn on_failure(&self, plugin: &PluginName) -> OnFailure {
        self.consult.on_failure(plugin)
    }
}
