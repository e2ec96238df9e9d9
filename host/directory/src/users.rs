//! Users, added, changed and removed.

use mail_types::Address;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::group_entry::GroupEntry;
use crate::layout::ADDRESSES;
use crate::plan::{Plan, leave_groups, postmaster, set_all, with_classes};
use crate::schema::{Class, Field};
use crate::user_entry::{PasswordHash, UserEntry};
use crate::view::View;

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

impl Directory {
    /// Adds a user to a domain that is in the directory. Returns the new entry's name.
    pub async fn add_user(&self, new: &NewUser) -> Result<Dn, EditError> {
        self.edit_with(|view| plan_user(view, new)).await.map(|(_, dn)| dn)
    }

    /// Replaces all passwords of a user, named by login or any address.
    pub async fn set_password(&self, user: &str, passwords: &[PasswordHash]) -> Result<Dn, EditError> {
        let plan = |view: &View<'_>| {
            let (mut entry, _) = self.find_user(view, user)?;
            put_passwords(view, &mut entry, passwords);
            let dn = entry.dn.clone();
            Ok((vec![Edit::Modify(entry)], dn))
        };
        self.edit_with(plan).await.map(|(_, dn)| dn)
    }

    /// Replaces the passwords of an entry if they are still `known`; whether they were.
    pub async fn replace_password(
        &self,
        dn: &Dn,
        known: &[PasswordHash],
        passwords: &[PasswordHash],
    ) -> Result<bool, EditError> {
        let plan = |view: &View<'_>| {
            let entry = view.id_of(dn)?.map(|id| view.entry_by_id(id)).transpose()?.flatten();
            let user = entry.and_then(|entry| UserEntry::read(&entry, view.schema).map(|user| (entry, user)));
            match user {
                Some((mut entry, user)) if user.password_hashes == known => {
                    put_passwords(view, &mut entry, passwords);
                    Ok((vec![Edit::Modify(entry)], true))
                }
                _ => Ok((Vec::new(), false)),
            }
        };
        self.edit_with(plan).await.map(|(_, replaced)| replaced)
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

    pub(crate) fn find_user(&self, view: &View<'_>, text: &str) -> Result<(Entry, UserEntry), EditError> {
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

/// These passwords, in place of all that an entry has.
fn put_passwords(view: &View<'_>, entry: &mut Entry, passwords: &[PasswordHash]) {
    for name in view.schema.names(Field::UserPassword) {
        entry.replace(name, Vec::new());
    }
    let values = passwords.iter().map(|hash| hash.reveal().as_bytes().to_vec()).collect();
    entry.replace(view.schema.name(Field::UserPassword), values);
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
