//! Groups, added and removed.

use mail_types::Address;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::group_entry::GroupEntry;
use crate::layout::{ADDRESSES, address_keys};
use crate::plan::{Plan, leave_groups, postmaster, with_classes};
use crate::schema::{Class, Field};
use crate::view::View;

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupMember {
    /// An entry of the directory.
    Entry(Dn),
    /// An address, of anywhere.
    Address(Address),
}

impl Directory {
    /// Adds a group to a domain that is in the directory. Returns the new entry's name.
    pub async fn add_group(&self, address: &Address, members: &[GroupMember]) -> Result<Dn, EditError> {
        self.edit_with(|view| plan_group(view, address, members)).await.map(|(_, dn)| dn)
    }

    /// Removes a group by any of its addresses, but for a domain's postmaster (RFC 5321 §4.5.1). Groups forget it as a member.
    pub async fn remove_group(&self, address: &Address) -> Result<Dn, EditError> {
        let plan = |view: &View<'_>| {
            let id = view.indexed(ADDRESSES, &address.to_key())?.first().map(|(_, id)| *id);
            let entry = id.map(|id| view.entry_by_id(id)).transpose()?.flatten();
            let entry = entry.filter(|entry| GroupEntry::read(entry, view.schema).is_some());
            let entry = entry.ok_or_else(|| EditError::NoGroup(address.clone()))?;
            for (key, _) in address_keys(&entry, view.schema) {
                let Ok(own) = Address::parse(&key) else { continue };
                let postmaster = postmaster(&own.domain);
                if own.to_key() == postmaster.to_key() {
                    return Err(EditError::Postmaster { who: entry.dn.to_string(), postmaster });
                }
            }
            let mut edits = Vec::new();
            leave_groups(view, &entry.dn, &Dn::root(), &mut edits)?;
            edits.push(Edit::Remove(entry.dn.clone()));
            Ok((edits, entry.dn))
        };
        self.edit_with(plan).await.map(|(_, dn)| dn)
    }
}

fn plan_group(
    view: &View<'_>,
    address: &Address,
    members: &[GroupMember],
) -> Result<(Vec<Edit>, Dn), EditError> {
    let domain = &address.domain;
    let Some(hosted) = view.domain(domain)? else { return Err(EditError::NoDomain(domain.clone())) };
    let mut plan = Plan::new(view);
    let groups = hosted.base.child("ou", "Groups")?;
    plan.containers_above(&groups)?;
    plan.ensure(&groups)?;
    let (schema, name) = (view.schema, address.local.as_str());
    let mut entry = Entry::new(groups.child("cn", name)?);
    // groupOfUniqueNames must have a member by entry (RFC 4519 §3.6); who has none yet is a group as postmaster is.
    let by_entry = members.iter().any(|member| matches!(member, GroupMember::Entry(_)));
    let structural = if by_entry { "groupOfUniqueNames" } else { "organizationalRole" };
    for class in ["top", structural] {
        entry.add(schema.name(Field::ObjectClass), class);
    }
    let mut entry = with_classes(entry, schema, &[Class::InetMailGroup])
        .with(schema.name(Field::CommonName), name)
        .with(schema.name(Field::Mail), address.to_string())
        .with(schema.name(Field::InetMailGroupStatus), "active");
    for member in members {
        match member {
            GroupMember::Entry(dn) => entry.add(schema.name(Field::UniqueMember), dn.to_string()),
            GroupMember::Address(address) => {
                entry.add(schema.name(Field::MgrpRfc822MailMember), address.to_string());
            }
        }
    }
    let dn = entry.dn.clone();
    plan.edits.push(Edit::Add(entry));
    Ok((plan.edits, dn))
}
