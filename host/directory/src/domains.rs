//! Domains, removed with everything that belongs to them.

use std::collections::HashSet;
use std::ops::ControlFlow;

use mail_types::Domain;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::edit::{EDIT_ENTRIES_MAX, Edit};
use crate::entry::Entry;
use crate::error::EditError;
use crate::kind::Kind;
use crate::layout::{DOMAINS, Role};
use crate::plan::{container, leave_groups, postmaster};
use crate::schema::{Field, Schema};
use crate::view::View;

/// What happens to users and groups of a domain that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainUsers {
    /// They keep the domain from being removed.
    Refuse,
    /// They go too.
    Remove,
}

impl Directory {
    /// Removes a domain with its containers, its postmaster group, and the components of its name
    /// that nothing else needs (R22). Users and groups are removed first, in bounded batches, if
    /// asked: broken off, the same call goes on. What is no business of mail keeps it from being removed, in any case.
    /// Returns how many entries were removed.
    pub async fn remove_domain(&self, domain: &Domain, users: DomainUsers) -> Result<usize, EditError> {
        {
            // Before the first batch: nothing has gone then.
            let view = self.raw_view()?;
            if let Some(known) = view.domain(domain)?.filter(|known| known.canonical.is_none()) {
                owns_all_below(&view, &known)?;
            }
        }
        let mut removed = 0;
        loop {
            let plan = self.edit_with(|view| plan_domain_removal(view, domain, users)).await?;
            let (_, (edits, step)) = plan;
            removed += edits;
            if step == Removal::Complete {
                return Ok(removed);
            }
        }
    }
}

/// How far one step of a removal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// There is more to remove.
    Partial,
    /// The domain is gone.
    Complete,
}

type RemovalPlan = (Vec<Edit>, (usize, Removal));

fn plan_domain_removal(view: &View<'_>, name: &Domain, users: DomainUsers) -> Result<RemovalPlan, EditError> {
    let Some(domain) = view.domain(name)? else { return Err(EditError::NoDomain(name.clone())) };
    if domain.domain != *name {
        return Err(EditError::OtherName { name: name.clone(), domain: domain.domain, by: domain.dn });
    }
    let mut edits = Vec::new();
    if domain.canonical.is_none() {
        shared_base(view, &domain)?;
        let postmaster = postmaster(&domain.domain).to_key();
        let (mut in_use, mut foreign) = (None, None);
        let mut leaving = Vec::new();
        let complete = view.scan_back_under(&domain.base, &mut |entry| {
            let is_postmaster =
                || view.schema.text(&entry, Field::Mail).is_some_and(|m| m.to_lowercase() == postmaster);
            let belongs = match view.kind(&entry) {
                Kind::Domain => true,
                Kind::Other if is_container(&entry, view.schema) => true,
                Kind::Other => {
                    foreign = Some(entry.dn);
                    return ControlFlow::Break(());
                }
                Kind::Group => is_postmaster(),
                Kind::User => false,
            };
            if !belongs && users == DomainUsers::Refuse {
                in_use = Some(entry.dn);
                return ControlFlow::Break(());
            }
            if edits.len() == EDIT_ENTRIES_MAX {
                return ControlFlow::Break(());
            }
            if matches!(view.kind(&entry), Kind::User | Kind::Group) {
                leaving.push(entry.dn.clone());
            }
            edits.push(Edit::Remove(entry.dn));
            ControlFlow::Continue(())
        })?;
        if let Some(example) = foreign {
            return Err(EditError::ForeignBelow { domain: domain.domain, example });
        }
        if let Some(example) = in_use {
            return Err(EditError::DomainInUse { domain: domain.domain, example });
        }
        for member in &leaving {
            leave_groups(view, member, &domain.base, &mut edits)?;
        }
        if !complete {
            let count = removals(&edits);
            return Ok((edits, (count, Removal::Partial)));
        }
    }
    let mut nodes: Vec<Dn> =
        std::iter::once(domain.dn.clone()).chain(domain.further.iter().cloned()).collect();
    for alias in std::iter::once(&domain.domain).chain(&domain.aliases) {
        for (role, id) in view.indexed(DOMAINS, alias.as_str())? {
            if role == Role::Alias {
                nodes.extend(view.entry_by_id(id)?.map(|entry| entry.dn));
            }
        }
    }
    for node in nodes {
        remove_node(view, node, &mut edits)?;
    }
    let count = removals(&edits);
    Ok((edits, (count, Removal::Complete)))
}

/// Refuses to remove a domain with entries below its base that are neither mail's nor containers: people without mail,
/// devices, accounts of services. Somebody else put them there.
fn owns_all_below(view: &View<'_>, domain: &DomainEntry) -> Result<(), EditError> {
    let mut foreign = None;
    view.scan_back_under(&domain.base, &mut |entry| {
        if view.kind(&entry) != Kind::Other || is_container(&entry, view.schema) {
            return ControlFlow::Continue(());
        }
        foreign = Some(entry.dn);
        ControlFlow::Break(())
    })?;
    match foreign {
        Some(example) => Err(EditError::ForeignBelow { domain: domain.domain.clone(), example }),
        None => Ok(()),
    }
}

/// Whether an entry does nothing but hold others, by name and class, whatever else is said of it.
fn is_container(entry: &Entry, schema: &Schema) -> bool {
    let is_class = |wanted: &str| {
        schema.texts(entry, Field::ObjectClass).any(|class| class.eq_ignore_ascii_case(wanted))
    };
    let holds = [("o", "organization"), ("ou", "organizationalUnit"), ("dc", "domain"), ("dc", "dcObject")];
    let named =
        |wanted: &str| entry.dn.leaf_values().iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    // What we make for other names has no other class: see `plan::container`.
    let mut classes = schema.texts(entry, Field::ObjectClass);
    let is_plain =
        |class: &str| ["top", "extensibleObject"].iter().any(|one| one.eq_ignore_ascii_case(class));
    holds.iter().any(|(name, class)| named(name) && is_class(class)) || classes.all(is_plain)
}

fn removals(edits: &[Edit]) -> usize {
    edits.iter().filter(|edit| matches!(edit, Edit::Remove(_))).count()
}

/// Removes a domain's node and the components above it that nothing else needs; where another
/// domain lies below, the node stays as a plain component.
fn remove_node(view: &View<'_>, node: Dn, edits: &mut Vec<Edit>) -> Result<(), EditError> {
    let gone =
        |dn: &Dn, edits: &[Edit]| edits.iter().any(|edit| matches!(edit, Edit::Remove(gone) if gone == dn));
    let mut level = Some(node.clone());
    while let Some(dn) = level {
        if !gone(&dn, edits) {
            let Some(entry) = view.entry(&dn)? else { return Ok(()) };
            let mut needed = false;
            view.scan_under(&dn, &mut |_, below| {
                needed = below.dn != dn && !gone(&below.dn, edits);
                if needed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if needed && dn == node {
                edits.push(Edit::Modify(container(&dn)));
            }
            let is_component =
                dn == node || (view.kind(&entry) == Kind::Other && dn.leaf().is_some_and(is_dc));
            if needed || !is_component {
                return Ok(());
            }
            edits.push(Edit::Remove(dn.clone()));
        }
        level = dn.parent().filter(|above| above.leaf().is_some_and(is_dc));
    }
    Ok(())
}

fn is_dc((attribute, _): (String, String)) -> bool {
    attribute.eq_ignore_ascii_case("dc")
}

/// Refuses to remove a base that other domains live in.
fn shared_base(view: &View<'_>, domain: &DomainEntry) -> Result<(), EditError> {
    let is_below = |other: &DomainEntry| [&other.base, &other.dn].iter().any(|dn| dn.is_within(&domain.base));
    match other_domain(view, domain, &is_below)? {
        Some(other) => {
            // What is the base itself stays as long as something is below it.
            let own = std::iter::once(&domain.dn).chain(&domain.further).find(|dn| **dn != domain.base);
            Err(EditError::BaseShared {
                domain: domain.domain.clone(),
                other,
                own: Box::new(own.unwrap_or(&domain.dn).clone()),
            })
        }
        None => Ok(()),
    }
}

/// An entry of another domain for which something holds.
pub(crate) fn other_domain(
    view: &View<'_>,
    domain: &DomainEntry,
    holds: &dyn Fn(&DomainEntry) -> bool,
) -> Result<Option<Dn>, EditError> {
    let mut other = None;
    let mut failure = None;
    // An entry stands there under each of its names.
    let mut seen = HashSet::new();
    view.snapshot
        .scan(DOMAINS, &[], &[0xff; 9], &mut |key, _| {
            let id = key.len().checked_sub(8).map_or(0, |at| crate::layout::read_u64(&key[at..]));
            if !seen.insert(id) {
                return ControlFlow::Continue(());
            }
            let node = view.entry_by_id(id).map(|e| e.and_then(|e| DomainEntry::read(&e, view.schema)));
            match node {
                Ok(Some(node)) => {
                    let mine = node.dn == domain.dn || domain.further.contains(&node.dn);
                    if !mine && holds(&node) {
                        other = Some(node.dn);
                    }
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
            if other.is_some() || failure.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(crate::error::DirectoryError::from)?;
    failure.map_or(Ok(other), |error| Err(error.into()))
}
