//! The parts of which edits of domains and users are planned.

use mail_types::{Address, Domain, LocalPart};

use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::schema::{Class, Field, Schema};
use crate::view::View;

pub(crate) fn postmaster(domain: &Domain) -> Address {
    Address::new(LocalPart::new("postmaster").expect("a fixed word is a local part"), domain.clone())
}

/// Edits that grow: what they add counts as there.
pub(crate) struct Plan<'v, 's> {
    pub(crate) view: &'v View<'s>,
    pub(crate) edits: Vec<Edit>,
}

impl<'v, 's> Plan<'v, 's> {
    pub(crate) fn new(view: &'v View<'s>) -> Self {
        Self { view, edits: Vec::new() }
    }

    pub(crate) fn has(&self, dn: &Dn) -> Result<bool, EditError> {
        Ok(self.edits.iter().any(|edit| edit.dn() == dn) || self.view.id_of(dn)?.is_some())
    }

    /// Adds every missing entry above a name, top-down.
    pub(crate) fn containers_above(&mut self, dn: &Dn) -> Result<(), EditError> {
        let above = std::iter::successors(dn.parent(), Dn::parent).filter(|dn| dn.depth() > 0);
        let above: Vec<Dn> = above.collect();
        above.iter().rev().try_for_each(|dn| self.ensure(dn))
    }

    pub(crate) fn ensure(&mut self, dn: &Dn) -> Result<(), EditError> {
        if !self.has(dn)? {
            self.edits.push(Edit::Add(container(dn)));
        }
        Ok(())
    }

    /// The entry of that name, or a new container.
    pub(crate) fn container_or(&self, dn: &Dn) -> Result<Entry, EditError> {
        Ok(self.view.entry(dn)?.unwrap_or_else(|| container(dn)))
    }

    pub(crate) fn upsert(&mut self, entry: Entry) -> Result<(), EditError> {
        let edit = if self.view.id_of(&entry.dn)?.is_some() { Edit::Modify(entry) } else { Edit::Add(entry) };
        self.edits.push(edit);
        Ok(())
    }
}

/// A plain entry of the class that fits its name.
pub(crate) fn container(dn: &Dn) -> Entry {
    let mut entry = Entry::new(dn.clone()).with("objectClass", "top");
    for (attribute, value) in dn.leaf_values() {
        let class = match attribute.to_ascii_lowercase().as_str() {
            "dc" => "domain",
            "o" => "organization",
            "ou" => "organizationalUnit",
            _ => "extensibleObject",
        };
        entry.add("objectClass", class);
        entry.add(&attribute, value);
    }
    entry
}

pub(crate) fn with_classes(mut entry: Entry, schema: &Schema, classes: &[Class]) -> Entry {
    for class in classes {
        entry.add(schema.name(Field::ObjectClass), schema.class(*class));
    }
    entry
}

/// Sets further attributes; the first value of one replaces what stands there by default.
pub(crate) fn set_all(entry: &mut Entry, schema: &Schema, attributes: &[(Field, String)]) {
    let mut replaced = Vec::new();
    for (field, value) in attributes {
        if !replaced.contains(field) {
            replaced.push(*field);
            entry.replace(schema.name(*field), Vec::new());
        }
        entry.add(schema.name(*field), value.as_str());
    }
}

/// Takes an entry out of the groups that name it as a member, those below `gone` left out: they go
/// themselves. The root leaves out none.
pub(crate) fn leave_groups(
    view: &View<'_>,
    member: &Dn,
    gone: &Dn,
    edits: &mut Vec<Edit>,
) -> Result<(), EditError> {
    for group in view.groups_of(member)? {
        if gone.depth() > 0 && group.dn.is_within(gone) {
            continue;
        }
        let planned =
            edits.iter().position(|edit| matches!(edit, Edit::Modify(entry) if entry.dn == group.dn));
        let mut group = match planned.map(|at| edits.remove(at)) {
            Some(Edit::Modify(planned)) => planned,
            _ => group,
        };
        let is_member = |value: &[u8]| {
            std::str::from_utf8(value).is_ok_and(|text| Dn::parse(text).is_ok_and(|dn| dn == *member))
        };
        for name in [Field::UniqueMember, Field::Member].iter().flat_map(|field| view.schema.names(*field)) {
            let others = group.values(name).filter(|value| !is_member(value)).map(<[u8]>::to_vec).collect();
            group.replace(name, others);
        }
        edits.insert(0, Edit::Modify(group));
    }
    Ok(())
}
