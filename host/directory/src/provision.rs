//! Domains and users, added and removed with everything that belongs to them.

use std::ops::ControlFlow;

use mail_types::{Address, Domain, LocalPart};

use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::edit::{EDIT_ENTRIES_MAX, Edit};
use crate::entry::Entry;
use crate::error::EditError;
use crate::group_entry::GroupEntry;
use crate::kind::Kind;
use crate::layout::{ADDRESSES, DOMAINS, Role};
use crate::schema::{Class, Field, Schema};
use crate::user_entry::{PasswordHash, UserEntry};
use crate::view::View;

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

/// A user to be added.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Primary address; its local part becomes the login name.
    pub address: Address,
    /// Full name.
    pub name: Option<String>,
    /// Hashed passwords; none: the user cannot log in yet.
    pub passwords: Vec<PasswordHash>,
    /// Alternate addresses.
    pub alternates: Vec<Address>,
    /// Further attributes of the entry.
    pub attributes: Vec<(Field, String)>,
}

/// What happens to users and groups of a domain that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainUsers {
    /// They keep the domain from being removed.
    Refuse,
    /// They go too.
    Remove,
}

impl Directory {
    /// Adds a new domain (R13): an entry for every missing component of its name, top-down, in the
    /// DC tree (R14); its organisation with containers for users and groups; and the group
    /// postmaster@domain that leads to the administrator. One durable batch: all of it or nothing
    /// (R21).
    /// Returns the names of the entries that were added.
    pub async fn add_domain(&self, new: &NewDomain) -> Result<Vec<Dn>, EditError> {
        self.edit_with(|view| self.plan_domain(view, new)).await.map(|(_, added)| added)
    }

    fn plan_domain(&self, view: &View<'_>, new: &NewDomain) -> Result<(Vec<Edit>, Vec<Dn>), EditError> {
        let domain = &new.domain;
        if let Some(known) = view.domain(domain)? {
            return Err(EditError::DomainUsed { domain: domain.clone(), by: known.dn });
        }
        let postmaster = postmaster(domain);
        let administrator =
            new.administrator.as_ref().filter(|address| address.to_key() != postmaster.to_key());
        let administrator = administrator.ok_or_else(|| EditError::NoAdministrator(domain.clone()))?;
        let options = self.options();
        let mut plan = Plan::new(view);
        let node = Dn::from_domain(domain, &options.dc_suffix)?;
        let base = options.organization_suffix.child("o", domain.as_str())?;
        plan.containers_above(&node)?;
        plan.upsert(
            with_classes(plan.container_or(&node)?, view.schema, &[Class::InetDomain])
                .with(view.schema.name(Field::InetDomainBaseDn), base.to_string()),
        )?;
        plan.containers_above(&base)?;
        let classes = [Class::SunManagedOrganization, Class::InetDomain, Class::MailDomain];
        let mut organization = with_classes(plan.container_or(&base)?, view.schema, &classes)
            .with(view.schema.name(Field::SunPreferredDomain), domain.as_str())
            .with(view.schema.name(Field::InetDomainStatus), "active")
            .with(view.schema.name(Field::MailDomainStatus), "active");
        set_all(&mut organization, view.schema, &new.attributes);
        plan.upsert(organization)?;
        plan.ensure(&base.child("ou", "People")?)?;
        let groups = base.child("ou", "Groups")?;
        plan.ensure(&groups)?;
        if view.indexed(ADDRESSES, &postmaster.to_key())?.is_empty() {
            let group = Entry::new(groups.child("cn", "postmaster")?)
                .with("objectClass", "top")
                .with("objectClass", "organizationalRole");
            let group = with_classes(group, view.schema, &[Class::InetMailGroup])
                .with(view.schema.name(Field::CommonName), "postmaster")
                .with(view.schema.name(Field::Mail), postmaster.to_string())
                .with(view.schema.name(Field::InetMailGroupStatus), "active")
                .with(view.schema.name(Field::MgrpRfc822MailMember), administrator.to_string());
            plan.upsert(group)?;
        }
        let added = plan.edits.iter().filter(|edit| matches!(edit, Edit::Add(_))).map(|e| e.dn().clone());
        let added = added.collect();
        Ok((plan.edits, added))
    }

    /// Removes a domain with its containers, its postmaster group, and the components of its name
    /// that nothing else needs (R22). Users and groups are removed first, in bounded batches, if
    /// asked: broken off, the same call goes on. Returns how many entries were removed.
    pub async fn remove_domain(&self, domain: &Domain, users: DomainUsers) -> Result<usize, EditError> {
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

    /// Adds a user to a domain that is in the directory. Returns the new entry's name.
    pub async fn add_user(&self, new: &NewUser) -> Result<Dn, EditError> {
        self.edit_with(|view| plan_user(view, new)).await.map(|(_, dn)| dn)
    }

    /// Replaces all passwords of a user, named by login or any address.
    pub async fn set_password(&self, user: &str, passwords: &[PasswordHash]) -> Result<Dn, EditError> {
        let plan = |view: &View<'_>| {
            let (mut entry, _) = self.find_user(view, user)?;
            for name in view.schema.names(Field::UserPassword) {
                entry.replace(name, Vec::new());
            }
            let values = passwords.iter().map(|hash| hash.reveal().as_bytes().to_vec()).collect();
            entry.replace(view.schema.name(Field::UserPassword), values);
            let dn = entry.dn.clone();
            Ok((vec![Edit::Modify(entry)], dn))
        };
        self.edit_with(plan).await.map(|(_, dn)| dn)
    }

    /// Removes a user, named by login or any address. Whoever alone is behind the postmaster
    /// address of a domain stays (RFC 5321 §4.5.1). Groups forget the user as a member.
    pub async fn remove_user(&self, user: &str) -> Result<Dn, EditError> {
        let plan = |view: &View<'_>| {
            let (entry, view_of_user) = self.find_user(view, user)?;
            keeps_postmaster(view, &view_of_user)?;
            let mut edits = Vec::new();
            leave_groups(view, &entry.dn, &Dn::root(), &mut edits)?;
            edits.push(Edit::Remove(entry.dn.clone()));
            Ok((edits, entry.dn))
        };
        self.edit_with(plan).await.map(|(_, dn)| dn)
    }

    fn find_user(&self, view: &View<'_>, text: &str) -> Result<(Entry, UserEntry), EditError> {
        let mut id = self.login_id(view, text)?;
        if id.is_none()
            && let Ok(address) = Address::parse(text)
        {
            id = view.indexed(ADDRESSES, &address.to_key())?.first().map(|(_, id)| *id);
        }
        let entry = id.map(|id| view.entry_by_id(id)).transpose()?.flatten();
        let user = entry.and_then(|entry| UserEntry::read(&entry, view.schema).map(|user| (entry, user)));
        user.ok_or_else(|| EditError::NoUser(text.to_owned()))
    }
}

fn plan_user(view: &View<'_>, new: &NewUser) -> Result<(Vec<Edit>, Dn), EditError> {
    let domain = &new.address.domain;
    let Some(hosted) = view.domain(domain)? else { return Err(EditError::NoDomain(domain.clone())) };
    for alternate in &new.alternates {
        if view.domain(&alternate.domain)?.is_none() {
            return Err(EditError::NoDomain(alternate.domain.clone()));
        }
    }
    let mut plan = Plan::new(view);
    let people = hosted.base.child("ou", "People")?;
    plan.containers_above(&people)?;
    plan.ensure(&people)?;
    let uid = new.address.local.as_str();
    let name = new.name.as_deref().unwrap_or(uid);
    let surname = name.rsplit(' ').next().unwrap_or(name);
    let mut entry = Entry::new(people.child("uid", uid)?);
    for class in ["top", "person", "organizationalPerson"] {
        entry.add(view.schema.name(Field::ObjectClass), class);
    }
    let schema = view.schema;
    let mut entry = with_classes(entry, schema, &[Class::InetOrgPerson]);
    entry.add(schema.name(Field::ObjectClass), "inetUser");
    let mut entry = with_classes(entry, schema, &[Class::InetMailUser]);
    entry.add(schema.name(Field::ObjectClass), "inetLocalMailRecipient");
    for (field, value) in [
        (Field::Uid, uid),
        (Field::CommonName, name),
        (Field::Surname, surname),
        (Field::Mail, &new.address.to_string()),
        (Field::InetUserStatus, "active"),
        (Field::MailUserStatus, "active"),
        (Field::MailDeliveryOption, "mailbox"),
    ] {
        entry.add(schema.name(field), value);
    }
    if let Some(host) = &hosted.preferred_mail_host {
        entry.add(schema.name(Field::MailHost), host.as_str());
    }
    for alternate in &new.alternates {
        entry.add(schema.name(Field::MailAlternateAddress), alternate.to_string());
    }
    for hash in &new.passwords {
        entry.add(schema.name(Field::UserPassword), hash.reveal());
    }
    set_all(&mut entry, schema, &new.attributes);
    let dn = entry.dn.clone();
    plan.edits.push(Edit::Add(entry));
    Ok((plan.edits, dn))
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
    let mut edits = Vec::new();
    if domain.canonical.is_none() {
        shared_base(view, &domain)?;
        let postmaster = postmaster(&domain.domain).to_key();
        let mut in_use = None;
        let mut leaving = Vec::new();
        let complete = view.scan_back_under(&domain.base, &mut |entry| {
            let is_postmaster =
                || view.schema.text(&entry, Field::Mail).is_some_and(|m| m.to_lowercase() == postmaster);
            let belongs = match view.kind(&entry) {
                Kind::Other | Kind::Domain => true,
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

fn is_dc((attribute, _): (&str, &str)) -> bool {
    attribute.eq_ignore_ascii_case("dc")
}

/// Takes an entry out of the groups that name it as a member, those below `gone` left out: they go
/// themselves. The root leaves out none.
fn leave_groups(view: &View<'_>, member: &Dn, gone: &Dn, edits: &mut Vec<Edit>) -> Result<(), EditError> {
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
            let others = group.values(name).iter().filter(|value| !is_member(value)).cloned().collect();
            group.replace(name, others);
        }
        edits.insert(0, Edit::Modify(group));
    }
    Ok(())
}

/// Refuses to remove a base that other domains live in.
fn shared_base(view: &View<'_>, domain: &DomainEntry) -> Result<(), EditError> {
    let mut other = None;
    let mut failure = None;
    view.snapshot
        .scan(DOMAINS, &[], &[0xff; 9], &mut |key, _| {
            let id = key.len().checked_sub(8).map_or(0, |at| crate::layout::read_u64(&key[at..]));
            let node = view.entry_by_id(id).map(|e| e.and_then(|e| DomainEntry::read(&e, view.schema)));
            match node {
                Ok(Some(node)) => {
                    let mine = node.dn == domain.dn || domain.further.contains(&node.dn);
                    if !mine && (node.base.is_within(&domain.base) || node.dn.is_within(&domain.base)) {
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
    match (failure, other) {
        (Some(error), _) => Err(error.into()),
        (None, Some(example)) => Err(EditError::DomainInUse { domain: domain.domain.clone(), example }),
        (None, None) => Ok(()),
    }
}

/// Refuses to remove a user who has a postmaster address, or is alone behind one.
fn keeps_postmaster(view: &View<'_>, user: &UserEntry) -> Result<(), EditError> {
    let alone = |postmaster: Address| EditError::Postmaster { who: user.dn.to_string(), postmaster };
    for address in user.addresses() {
        let postmaster = postmaster(&address.domain);
        if address.to_key() == postmaster.to_key() {
            return Err(alone(postmaster));
        }
        let Some((_, id)) = view.indexed(ADDRESSES, &postmaster.to_key())?.first().copied() else { continue };
        let Some(group) = view.entry_by_id(id)?.and_then(|entry| GroupEntry::read(&entry, view.schema))
        else {
            continue;
        };
        let is_user = |member: &Address| user.addresses().any(|own| own.to_key() == member.to_key());
        let all = group.members.iter().all(|dn| *dn == user.dn)
            && group.member_addresses.iter().all(is_user)
            && group.member_urls.is_empty();
        if all && group.members.len() + group.member_addresses.len() > 0 {
            return Err(alone(postmaster));
        }
    }
    Ok(())
}

fn postmaster(domain: &Domain) -> Address {
    Address::new(LocalPart::new("postmaster").expect("a fixed word is a local part"), domain.clone())
}

/// Edits that grow: what they add counts as there.
struct Plan<'v, 's> {
    view: &'v View<'s>,
    edits: Vec<Edit>,
}

impl<'v, 's> Plan<'v, 's> {
    fn new(view: &'v View<'s>) -> Self {
        Self { view, edits: Vec::new() }
    }

    fn has(&self, dn: &Dn) -> Result<bool, EditError> {
        Ok(self.edits.iter().any(|edit| edit.dn() == dn) || self.view.id_of(dn)?.is_some())
    }

    /// Adds every missing entry above a name, top-down.
    fn containers_above(&mut self, dn: &Dn) -> Result<(), EditError> {
        let above = std::iter::successors(dn.parent(), Dn::parent).filter(|dn| dn.depth() > 0);
        let above: Vec<Dn> = above.collect();
        above.iter().rev().try_for_each(|dn| self.ensure(dn))
    }

    fn ensure(&mut self, dn: &Dn) -> Result<(), EditError> {
        if !self.has(dn)? {
            self.edits.push(Edit::Add(container(dn)));
        }
        Ok(())
    }

    /// The entry of that name, or a new container.
    fn container_or(&self, dn: &Dn) -> Result<Entry, EditError> {
        Ok(self.view.entry(dn)?.unwrap_or_else(|| container(dn)))
    }

    fn upsert(&mut self, entry: Entry) -> Result<(), EditError> {
        let edit = if self.view.id_of(&entry.dn)?.is_some() { Edit::Modify(entry) } else { Edit::Add(entry) };
        self.edits.push(edit);
        Ok(())
    }
}

/// A plain entry of the class that fits its name.
fn container(dn: &Dn) -> Entry {
    let mut entry = Entry::new(dn.clone()).with("objectClass", "top");
    for (attribute, value) in dn.leaf_values() {
        let class = match attribute.to_ascii_lowercase().as_str() {
            "dc" => "domain",
            "o" => "organization",
            "ou" => "organizationalUnit",
            _ => "extensibleObject",
        };
        entry.add("objectClass", class);
        entry.add(attribute, value);
    }
    entry
}

fn with_classes(mut entry: Entry, schema: &Schema, classes: &[Class]) -> Entry {
    for class in classes {
        entry.add(schema.name(Field::ObjectClass), schema.class(*class));
    }
    entry
}

/// Sets further attributes; the first value of one replaces what stands there by default.
fn set_all(entry: &mut Entry, schema: &Schema, attributes: &[(Field, String)]) {
    let mut replaced = Vec::new();
    for (field, value) in attributes {
        if !replaced.contains(field) {
            replaced.push(*field);
            entry.replace(schema.name(*field), Vec::new());
        }
        entry.add(schema.name(*field), value.as_str());
    }
}
