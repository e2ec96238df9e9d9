//! Access control lists: who else than its owner may do what with a mailbox (R77, RFC 4314).
//!
//! A list belongs to a mailbox's number: renaming keeps it, deleting removes it. Beside each list,
//! `store_granted` has its entries by identifier, so that what is shared with somebody is found
//! without looking at every account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use mail_types::AccountName;
use storage::Snapshot;

use crate::changes::Draft;
use crate::error::StoreError;
use crate::feed::Happened;
use crate::groups::{GROUP_PREFIX, group_text};
use crate::ids::MailboxId;
use crate::keys;
use crate::mailboxes::read_mailbox;
use crate::names::MailboxName;
use crate::rights::Rights;
use crate::{Store, accounts};

/// Most entries of one list.
pub const ACL_ENTRIES_MAX: usize = 1_000;
/// The identifier of everybody who has logged in (RFC 4314 §2).
pub const ANYONE: &str = "anyone";
/// The version of every list that is written.
const VERSION: u8 = 1;

/// Whom an entry is about: an account, `anyone`, or the members of a group (`group:ADDRESS`); with `-`, from whom it takes (RFC
/// 4314 §2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Takes an identifier; `None` where no account can have that name, and no group that address. Names are compared in
    /// lower case.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (sign, who) = text.strip_prefix('-').map_or(("", text), |who| ("-", who));
        if let Some((prefix, group)) = who.split_at_checked(GROUP_PREFIX.len())
            && prefix.eq_ignore_ascii_case(GROUP_PREFIX)
        {
            return group_text(group).map(|who| Self(format!("{sign}{who}")));
        }
        let who = AccountName::new(who).filter(|who| !who.as_str().starts_with('-'))?;
        Some(Self(format!("{sign}{who}")))
    }

    /// The entry that gives to an account.
    #[must_use]
    pub fn of(account: &AccountName) -> Self {
        Self(account.as_str().to_owned())
    }

    /// The entries that are about an account alone: the one that gives, and the one that takes.
    pub(crate) fn all_of(account: &AccountName) -> [Self; 2] {
        [Self::of(account), Self(format!("-{account}"))]
    }

    /// The entry that gives to the members of a group, by its address's key.
    pub(crate) fn of_group(group: &str) -> Self {
        Self(format!("{GROUP_PREFIX}{group}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is about the members of a group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.0.strip_prefix('-').unwrap_or(&self.0).starts_with(GROUP_PREFIX)
    }

    /// Whether it is about this account alone, giving or taking.
    #[must_use]
    pub fn is_about(&self, account: &AccountName) -> bool {
        self.0.strip_prefix('-').unwrap_or(&self.0) == account.as_str()
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The access control list of a mailbox; the owner, who has all rights, is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl {
    entries: BTreeMap<Identifier, Rights>,
}

impl Acl {
    /// The entries, by identifier.
    pub fn entries(&self) -> impl Iterator<Item = (&Identifier, Rights)> {
        self.entries.iter().map(|(identifier, rights)| (identifier, *rights))
    }

    /// Whether what somebody may do depends on the groups that they are in.
    pub(crate) fn names_groups(&self) -> bool {
        self.entries.keys().any(Identifier::is_group)
    }

    /// Whether it gives something to `anyone`.
    pub(crate) fn names_anyone(&self) -> bool {
        self.entries.keys().any(|identifier| identifier.0 == ANYONE)
    }

    /// What an account may do: all that its own entry, those of its groups and, where it is meant, that of `anyone` give,
    /// without what their `-` entries take (RFC 4314 §2).
    pub(crate) fn rights_of(&self, account: &AccountName, groups: &[String], is_anyone: bool) -> Rights {
        let of = |sign: &str| {
            let anyone = if is_anyone || sign == "-" { Some(ANYONE) } else { None };
            let plain = [account.as_str()].into_iter().chain(anyone).map(|who| format!("{sign}{who}"));
            let of_groups = groups.iter().map(|group| format!("{sign}{GROUP_PREFIX}{group}"));
            plain.chain(of_groups).fold(Rights::NONE, |rights, who| {
                rights.with(self.entries.get(&Identifier(who)).copied().unwrap_or_default())
            })
        };
        if self.entries.is_empty() { Rights::NONE } else { of("").without(of("-")) }
    }

    pub(crate) fn read(snapshot: &Snapshot, mailbox: MailboxId) -> Result<Self, StoreError> {
        match snapshot.get(keys::ACLS, &keys::mailbox(mailbox))? {
            Some(octets) => Self::parse(&octets)
                .ok_or_else(|| StoreError::corrupt(format!("the ACL of mailbox {mailbox} is unreadable"))),
            None => Ok(Self::default()),
        }
    }

    fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![VERSION, 0, 0, 0];
        for (identifier, rights) in &self.entries {
            let len = u16::try_from(identifier.0.len()).unwrap_or(u16::MAX);
            octets.extend_from_slice(&rights.bits().to_be_bytes());
            octets.extend_from_slice(&len.to_be_bytes());
            octets.extend_from_slice(identifier.0.as_bytes());
        }
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
        let (head, mut rest) = octets.split_at_checked(4)?;
        let mut entries = BTreeMap::new();
        while let Some((numbers, after)) = rest.split_at_checked(4) {
            let rights = u16::from_be_bytes([numbers[0], numbers[1]]);
            let len = u16::from_be_bytes([numbers[2], numbers[3]]);
            let (text, after) = after.split_at_checked(usize::from(len))?;
            let identifier = std::str::from_utf8(text).ok().and_then(Identifier::new)?;
            entries.insert(identifier, Rights::from_bits(rights));
            rest = after;
        }
        (head[0] == VERSION && rest.is_empty()).then_some(Self { entries })
    }

    /// The same list, with persons who have other names now. Where one has an entry under both, they add up.
    pub(crate) fn renamed(&self, names: &BTreeMap<&AccountName, &AccountName>) -> Self {
        let renamed = |Identifier(text): &Identifier| {
            let (sign, who) = text.strip_prefix('-').map_or(("", &**text), |who| ("-", who));
            let new = AccountName::new(who).and_then(|who| names.get(&who).copied());
            new.map_or_else(|| Identifier(text.clone()), |new| Identifier(format!("{sign}{new}")))
        };
        let mut entries: BTreeMap<Identifier, Rights> = BTreeMap::new();
        for (identifier, rights) in &self.entries {
            let entry = entries.entry(renamed(identifier)).or_default();
            *entry = entry.with(*rights);
        }
        Self { entries }
    }

    /// Drafts this list in place of another, with the index. The account's lock must be held.
    pub(crate) fn draft(&self, draft: &mut Draft, mailbox: MailboxId, before: &Self) {
        let key = keys::mailbox(mailbox);
        for identifier in before.entries.keys().filter(|known| !self.entries.contains_key(known)) {
            draft.batch.delete(keys::GRANTED, &keys::granted(&identifier.0, mailbox));
        }
        for identifier in self.entries.keys().filter(|new| !before.entries.contains_key(new)) {
            draft.batch.put(keys::GRANTED, &keys::granted(&identifier.0, mailbox), [0]);
        }
        match (self.entries.is_empty(), before.entries.is_empty()) {
            (true, true) => {}
            (true, false) => draft.batch.delete(keys::ACLS, &key),
            _ => draft.batch.put(keys::ACLS, &key, self.to_octets()),
        }
    }

    /// Drafts the end of a mailbox's list (RFC 4314 §4, DELETE).
    pub(crate) fn draft_gone(
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
    ) -> Result<(), StoreError> {
        Self::default().draft(draft, mailbox, &Self::read(snapshot, mailbox)?);
        Ok(())
    }
}

/// A change of one entry (RFC 4314 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// These rights and no others.
    Replace(Rights),
    /// These, too.
    Add(Rights),
    /// Not these.
    Remove(Rights),
    /// The entry goes (RFC 4314 §3.2).
    Delete,
}

impl Store {
    /// The list of a mailbox, for who may administer it.
    pub fn acl(&self, mailbox: MailboxId) -> Result<Acl, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        self.allow(&snapshot, mailbox, Rights::ADMINISTER)?;
        Acl::read(&snapshot, mailbox)
    }

    /// Changes an entry of a mailbox's list. Sessions that have the mailbox open hear of it. An entry
    /// that gives nothing more stays, until it is deleted.
    pub async fn set_acl(
        &self,
        mailbox: MailboxId,
        identifier: &Identifier,
        change: AclChange,
    ) -> Result<(), StoreError> {
        let held = self.inner.locks.lock(mailbox.account).await;
        let mut draft = Draft::new();
        {
            let snapshot = self.inner.storage.read()?;
            read_mailbox(&snapshot, mailbox)?;
            self.allow(&snapshot, mailbox, Rights::ADMINISTER)?;
            let owner = accounts::read_account(&snapshot, mailbox.account)?.name;
            if AccountName::new(&owner).is_some_and(|owner| identifier.is_about(&owner)) {
                return Err(StoreError::NotAllowed("the owner of a mailbox has all rights, always"));
            }
            let before = Acl::read(&snapshot, mailbox)?;
            let mut after = before.clone();
            let known = after.entries.get(identifier).copied().unwrap_or_default();
            let _ = match change {
                AclChange::Replace(rights) => after.entries.insert(identifier.clone(), rights),
                AclChange::Add(rights) => after.entries.insert(identifier.clone(), known.with(rights)),
                AclChange::Remove(rights) => after.entries.insert(identifier.clone(), known.without(rights)),
                AclChange::Delete => after.entries.remove(identifier),
            };
            if after.entries.len() > ACL_ENTRIES_MAX {
                return Err(StoreError::TooMany { what: "entries in the ACL", max: ACL_ENTRIES_MAX });
            }
            if after == before {
                return Ok(());
            }
            draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(mailbox));
            after.draft(&mut draft, mailbox, &before);
            draft.touch_rights(mailbox);
            if let Some(happened) = rights_changed(&snapshot, mailbox, identifier, (&before, &after))? {
                draft.note(happened);
            }
        }
        self.commit(draft, held).await.map(drop)
    }

    /// Takes an account that goes off every list: who comes later under its name is somebody else.
    pub(crate) async fn forget_grantee(&self, account: &AccountName) -> Result<(), StoreError> {
        for identifier in Identifier::all_of(account) {
            for mailbox in granted_to(&self.inner.storage.read()?, &identifier, usize::MAX)? {
                match self.set_acl(mailbox, &identifier, AclChange::Delete).await {
                    Ok(()) | Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// What those who listen hear of a changed entry; nothing where nobody of that name has an account.
fn rights_changed(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    identifier: &Identifier,
    (before, after): (&Acl, &Acl),
) -> Result<Option<Happened>, StoreError> {
    let who = identifier.0.strip_prefix('-').unwrap_or(&identifier.0);
    let name = MailboxName::new(&read_mailbox(snapshot, mailbox)?.name)?;
    // A group has many members: each looks whether it is about them.
    if who == ANYONE || identifier.is_group() {
        return Ok(Some(Happened::Rights { mailbox, person: None, name: Some(name) }));
    }
    let Some(account) = AccountName::new(who) else { return Ok(None) };
    // By their own entry alone: where groups give the same, who is told in vain looks again.
    let looks_up = |acl: &Acl| acl.rights_of(&account, &[], false).contains(Rights::LOOKUP);
    let name = (looks_up(before) != looks_up(after)).then_some(name);
    let person = accounts::read_account_id(snapshot, &account)?;
    Ok(person.map(|person| Happened::Rights { mailbox, person: Some(person), name }))
}

/// The mailboxes whose lists have an entry of this identifier, so many at most.
pub(crate) fn granted_to(
    snapshot: &Snapshot,
    identifier: &Identifier,
    max: usize,
) -> Result<BTreeSet<MailboxId>, StoreError> {
    let mut found = BTreeSet::new();
    let (from, until) = keys::granted_bounds(&identifier.0);
    let at = from.len();
    snapshot.scan(keys::GRANTED, &from, &until, &mut |key, _| {
        found.extend(key.get(at..).and_then(keys::mailbox_of));
        if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// The identifier of everybody.
pub(crate) fn anyone() -> Identifier {
    Identifier(ANYONE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acl(entries: &[(&str, &str)]) -> Acl {
        let entry =
            |(who, rights): &(&str, &str)| (Identifier::new(who).unwrap(), Rights::parse(rights).unwrap());
        Acl { entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn entries_add_up_and_negative_ones_take() {
        let acl = acl(&[
            ("Fred@Example.org", "lr"),
            ("anyone", "lsw"),
            ("-fred@example.org", "w"),
            ("-anyone", "s"),
        ]);
        let rights = |name: &str| acl.rights_of(&AccountName::new(name).unwrap(), &[], true).to_string();
        assert_eq!(
            (rights("fred@example.org"), rights("eve@example.org")),
            ("lr".to_owned(), "lw".to_owned())
        );
        assert_eq!(Acl::default().rights_of(&AccountName::new("fred").unwrap(), &[], true), Rights::NONE);
        assert_eq!((Identifier::new("--x"), Identifier::new("-"), Identifier::new("")), (None, None, None));
    }

    #[test]
    fn groups_give_to_their_members_and_take_from_them() {
        let acl =
            acl(&[("GROUP:Staff@Example.org", "lri"), ("-group:guests@example.org", "i"), ("anyone", "l")]);
        let fred = AccountName::new("fred@example.org").unwrap();
        let rights = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            acl.rights_of(&fred, &groups, true).to_string()
        };
        assert!(acl.names_groups());
        assert_eq!((rights(&[]), rights(&["staff@example.org"])), ("l".to_owned(), "lri".to_owned()));
        assert_eq!(rights(&["guests@example.org", "staff@example.org"]), "lr");
        // An account's name is no group's, and the other way round.
        assert_eq!(acl.rights_of(&AccountName::new("staff@example.org").unwrap(), &[], true), Rights::LOOKUP);
        assert_eq!((Identifier::new("group:"), Identifier::new("group:no address")), (None, None));
        let shown = Identifier::new("-Group:Staff@EXAMPLE.org").unwrap();
        assert_eq!((shown.as_str(), shown.is_group()), ("-group:staff@example.org", true));
    }

    proptest! {
        #[test]
        fn lists_are_inverse(entries in proptest::collection::btree_map("-?[a-z@.]{1,30}", 0..2048_u16, 0..6)) {
            let entries = entries.into_iter()
                .map(|(who, bits)| (Identifier::new(&who).unwrap(), Rights::from_bits(bits))).collect();
            let acl = Acl { entries };
            prop_assert_eq!(Acl::parse(&acl.to_octets()), Some(acl));
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..40), version: bool) {
            let mut octets = octets;
            if let (true, Some(first)) = (version, octets.first_mut()) {
                *first = VERSION;
            }
            let _ = Acl::parse(&octets);
        }
    }
}
