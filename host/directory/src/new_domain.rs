//! Domains, added with everything that belongs to them; and what of that is missing where an addition was broken off.

use mail_types::{Address, Domain, Lookup};

use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::domains::other_domain;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::layout::ADDRESSES;
use crate::plan::{Plan, container, postmaster, set_all, with_classes};
use crate::schema::{Class, Field, Schema};
use crate::view::View;

/// Where users and groups of a new domain are, below its base.
const CONTAINERS: [&str; 2] = ["People", "Groups"];

/// A domain to be hosted.
#[derive(Debug, Clone)]
pub struct NewDomain {
    /// Its name.
    pub domain: Domain,
    /// Who reads postmaster@domain (RFC 5321 §4.5.1); may be somebody of the new domain.
    pub administrator: Option<Address>,
    /// Further attributes of the domain's entry.
    pub attributes: Vec<(Field, String)>,
}

/// What came of adding a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedDomain {
    /// The entries that were added.
    pub added: Vec<Dn>,
    /// Whether the domain was there before, in part: an addition that was broken off.
    pub was_begun: bool,
    /// Whether the group of its postmaster is among the entries.
    pub postmaster: bool,
}

/// A part of a domain that an addition makes, and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainGap {
    /// The entry that its description names as the top of its users.
    Base(Dn),
    /// The container of users or groups.
    Container(Dn),
    /// Whoever reads the postmaster's mail (RFC 5321 §4.5.1).
    Postmaster(Address),
}

/// What a domain lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainGaps {
    /// Top-down.
    pub gaps: Vec<DomainGap>,
    /// Whether [`Directory::add_domain`] completes it.
    pub completes: bool,
}

impl Directory {
    /// Adds a new domain (R13): an entry for every missing component of its name, top-down, in the
    /// DC tree (R14); its organisation with containers for users and groups; and the group
    /// postmaster@domain that leads to the administrator. One durable batch: all of it or nothing
    /// (R21). A source of the tree takes entry by entry: of a domain that is there in part, because an addition was
    /// broken off, the missing parts are added, and what is there is left as it is.
    pub async fn add_domain(&self, new: &NewDomain) -> Result<AddedDomain, EditError> {
        self.edit_with(|view| self.plan_domain(view, new)).await.map(|(_, added)| added)
    }

    /// What a domain lacks of that which an addition makes.
    pub fn domain_gaps(&self, domain: &Domain) -> Lookup<DomainGaps> {
        let answer = self.view().map_err(EditError::from).and_then(|view| {
            let Some(known) = view.domain(domain)? else { return Ok(None) };
            let gaps = gaps(&view, &known)?;
            let completes = !gaps.is_empty() && !is_of_others(&view, &known)?;
            Ok(Some(DomainGaps { gaps, completes }))
        });
        match answer {
            Ok(found) => found.map_or(Lookup::NotFound, Lookup::Found),
            Err(why) => Lookup::Unavailable(why.to_string()),
        }
    }

    fn plan_domain(&self, view: &View<'_>, new: &NewDomain) -> Result<(Vec<Edit>, AddedDomain), EditError> {
        if new.domain.as_ip().is_some() {
            return Err(EditError::AddressLiteral(new.domain.clone()));
        }
        let mut plan = Plan::new(view);
        let known = view.domain(&new.domain)?;
        let was_begun = known.is_some();
        match known {
            Some(known) => complete(&mut plan, &known, new)?,
            None => self.describe(&mut plan, new)?,
        }
        let added = plan.edits.iter().filter_map(|edit| match edit {
            Edit::Add(entry) => Some(entry),
            Edit::Modify(_) | Edit::Remove(_) => None,
        });
        let postmaster = postmaster(&new.domain).to_string();
        let reads = |entry: &Entry| view.schema.text(entry, Field::Mail) == Some(&postmaster);
        let postmaster = added.clone().any(reads);
        let added = added.map(|entry| entry.dn.clone()).collect();
        Ok((plan.edits, AddedDomain { added, was_begun, postmaster }))
    }

    /// All of a domain that nobody has described.
    fn describe(&self, plan: &mut Plan<'_, '_>, new: &NewDomain) -> Result<(), EditError> {
        let schema = plan.view.schema;
        // Asked for first: without one, nothing is written.
        administrator(new)?;
        let (dc_top, organization_top) = self.options().tops_of(&new.domain);
        let node = Dn::from_domain(&new.domain, dc_top)?;
        let base = organization_top.child("o", new.domain.as_str())?;
        plan.containers_above(&node)?;
        plan.upsert(
            with_classes(plan.container_or(&node)?, schema, &[Class::InetDomain])
                .with(schema.name(Field::InetDomainBaseDn), base.to_string()),
        )?;
        plan.containers_above(&base)?;
        plan.upsert(organization(plan.container_or(&base)?, schema, new))?;
        fill(plan, &base, new)
    }
}

/// The parts that are missing of a domain that is described; never of one that is described in another way than ours.
fn complete(plan: &mut Plan<'_, '_>, known: &DomainEntry, new: &NewDomain) -> Result<(), EditError> {
    let used = || EditError::DomainUsed { domain: new.domain.clone(), by: known.dn.clone() };
    if known.domain != new.domain {
        return Err(used());
    }
    let gaps = gaps(plan.view, known)?;
    if gaps.is_empty() {
        return Err(EditError::DomainWhole { domain: new.domain.clone(), by: known.dn.clone() });
    }
    if is_of_others(plan.view, known)? {
        return Err(used());
    }
    for gap in gaps {
        match gap {
            DomainGap::Base(base) => {
                plan.containers_above(&base)?;
                plan.upsert(organization(container(&base), plan.view.schema, new))?;
            }
            DomainGap::Container(dn) => plan.ensure(&dn)?,
            DomainGap::Postmaster(_) => add_postmaster(plan, &known.base, new)?,
        }
    }
    Ok(())
}

/// Whether a domain is not ours to complete: its users are another's, it is about to go, or it has no place of its own.
fn is_of_others(view: &View<'_>, known: &DomainEntry) -> Result<bool, EditError> {
    let elsewhere = known.canonical.is_some() || known.base.depth() == 0;
    if elsewhere || known.effective_status().is_gone() {
        return Ok(true);
    }
    Ok(other_domain(view, known, &|other| other.base == known.base)?.is_some())
}

/// What a domain lacks, top-down.
fn gaps(view: &View<'_>, known: &DomainEntry) -> Result<Vec<DomainGap>, EditError> {
    let mut gaps = Vec::new();
    let is_there = |dn: &Dn| view.id_of(dn).map(|id| id.is_some());
    if known.base.depth() > 0 && !is_there(&known.base)? {
        gaps.push(DomainGap::Base(known.base.clone()));
    }
    // Its users are those of the other one.
    if known.canonical.is_some() {
        return Ok(gaps);
    }
    for name in CONTAINERS {
        let dn = known.base.child("ou", name)?;
        if !is_there(&dn)? {
            gaps.push(DomainGap::Container(dn));
        }
    }
    // Where others know the users, or somebody reads all that nobody has, the postmaster may be theirs.
    let elsewhere = !known.routing_hosts.is_empty() || known.smart_host.is_some();
    let caught = known.catch_all.is_some() || known.catch_all_mapping.is_some();
    let postmaster = postmaster(&known.domain);
    if !elsewhere && !caught && view.indexed(ADDRESSES, &postmaster.to_key())?.is_empty() {
        gaps.push(DomainGap::Postmaster(postmaster));
    }
    Ok(gaps)
}

fn administrator(new: &NewDomain) -> Result<&Address, EditError> {
    let postmaster = postmaster(&new.domain).to_key();
    let administrator = new.administrator.as_ref().filter(|address| address.to_key() != postmaster);
    administrator.ok_or_else(|| EditError::NoAdministrator(new.domain.clone()))
}

/// The entry that holds a domain's users.
fn organization(entry: Entry, schema: &Schema, new: &NewDomain) -> Entry {
    let classes = [Class::SunManagedOrganization, Class::InetDomain, Class::MailDomain];
    let mut organization = with_classes(entry, schema, &classes)
        .with(schema.name(Field::SunPreferredDomain), new.domain.as_str())
        .with(schema.name(Field::InetDomainStatus), "active")
        .with(schema.name(Field::MailDomainStatus), "active");
    set_all(&mut organization, schema, &new.attributes);
    organization
}

/// What belongs below the base.
fn fill(plan: &mut Plan<'_, '_>, base: &Dn, new: &NewDomain) -> Result<(), EditError> {
    for name in CONTAINERS {
        plan.ensure(&base.child("ou", name)?)?;
    }
    if plan.view.indexed(ADDRESSES, &postmaster(&new.domain).to_key())?.is_empty() {
        add_postmaster(plan, base, new)?;
    }
    Ok(())
}

fn add_postmaster(plan: &mut Plan<'_, '_>, base: &Dn, new: &NewDomain) -> Result<(), EditError> {
    let schema = plan.view.schema;
    let group = Entry::new(base.child("ou", "Groups")?.child("cn", "postmaster")?)
        .with("objectClass", "top")
        .with("objectClass", "organizationalRole");
    let group = with_classes(group, schema, &[Class::InetMailGroup])
        .with(schema.name(Field::CommonName), "postmaster")
        .with(schema.name(Field::Mail), postmaster(&new.domain).to_string())
        .with(schema.name(Field::InetMailGroupStatus), "active")
        .with(schema.name(Field::MgrpRfc822MailMember), administrator(new)?.to_string());
    // Not in the place of one that is there: that is somebody else's.
    plan.edits.push(Edit::Add(group));
    Ok(())
}

#[cfg(test)]
mod tests;
