//! Groups that are more than their members: what their channel has to know to send a message on (R71).

use directory::Dn;
use mail_types::{AccountName, Address, LocalPart, Lookup, Refusal};

use crate::resolve::disposition::member;
use crate::resolve::domains::View;
use crate::resolve::refusals;
use crate::resolve::way::address_of_key;
use crate::routing::Routing;
use crate::source::{Asked, Missed, SOURCE_ROUNDS_MAX};
use crate::tables::Claim;
use crate::tables::row::{Detail, ListSettings, RowKind};

/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;

/// A group, as its channel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The entry.
    pub dn: String,
    /// Its primary address.
    pub address: Address,
    /// What it changes of messages.
    pub settings: ListSettings,
    /// Members by search: LDAP URLs.
    pub searches: Vec<String>,
}

/// Some members of a group, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// The name of the last one, where there are more.
    pub last: Option<String>,
    /// Members that have no address here.
    pub unaddressed: Vec<String>,
}

impl Routing {
    /// An address of a list's owner that names a member in its subaddress; `None` where it would be no address, or too long.
    #[must_use]
    pub fn variable_path(&self, owner: &Address, member: &Address) -> Option<Address> {
        let separator = self.policy().options().separator;
        let member = format!("{}={}", member.local.as_str(), member.domain);
        let local = LocalPart::new(format!("{}{separator}{member}", owner.local.as_str())).ok()?;
        // RFC 5321 §4.5.3.1.1; what is longer reaches the owner all the same, without a name.
        (local.as_str().len() <= LOCAL_PART_MAX).then(|| Address::new(local, owner.domain.clone()))
    }

    /// A group by its key: its primary address in lower case.
    pub fn list(&self, key: &AccountName) -> Lookup<List> {
        let list = |dn: &str, address: Address, detail: &Detail| List {
            dn: dn.to_owned(),
            address,
            settings: detail.list.as_deref().cloned().unwrap_or_default(),
            searches: detail.searches.clone(),
        };
        found(
            self.with_view(|_, view| {
                with_group(view, key, |dn, address, detail| Ok(list(dn, address, detail)))
            }),
        )
    }

    /// The largest message that a group takes (`mgrpMsgMaxSize`), where it says so.
    pub fn list_size_max(&self, key: &AccountName) -> Lookup<Option<u64>> {
        found(self.with_view(|_, view| {
            with_group(view, key, |_, _, detail| Ok(detail.list.as_ref().and_then(|list| list.size_max)))
        }))
    }

    /// At most so many members of a group whose names come after a name: by name, so that an expansion goes on where it
    /// stopped though others come and go. The source is asked about those of whom the tables have no row.
    pub async fn members(&self, key: &AccountName, after: &str, most: usize) -> Lookup<Members> {
        for _ in 0..=SOURCE_ROUNDS_MAX {
            let found = self.members_in_tables(key, after, most);
            let Lookup::Found(members) = &found else { return found };
            let entries = members.unaddressed.iter().filter_map(|name| Dn::parse(name).ok()).collect();
            match self.ask_source(&Missed { entries, ..Missed::default() }).await {
                Asked::More => {}
                Asked::MembersUnknown(why) => return Lookup::Unavailable(why),
                Asked::Nothing | Asked::Unavailable(_) => return found,
            }
        }
        Lookup::Unavailable(refusals::members_to_come().cause)
    }

    fn members_in_tables(&self, key: &AccountName, after: &str, most: usize) -> Lookup<Members> {
        found(self.with_view(|_, view| {
            with_group(view, key, |_, _, detail| {
                let by_name = detail.members.iter().map(String::as_str);
                let by_address = detail.member_addresses.iter().map(String::as_str);
                // A name of an entry has a "=" before any "@"; an address has none that a name could be taken for.
                let mut names: Vec<(&str, bool)> = by_name.map(|name| (name, true)).collect();
                names.extend(by_address.map(|name| (name, false)));
                names.retain(|(name, _)| *name > after);
                names.sort_unstable();
                names.dedup();
                let more = names.len() > most;
                names.truncate(most);
                let last = names.last().filter(|_| more).map(|(name, _)| (*name).to_owned());
                let mut members = Members { last, ..Members::default() };
                for (name, is_entry) in names {
                    let address = if is_entry { member(view, name)? } else { Address::parse(name).ok() };
                    match address {
                        Some(address) => members.addresses.push(address),
                        None => members.unaddressed.push(name.to_owned()),
                    }
                }
                Ok(members)
            })
        }))
    }
}

fn with_group<T>(
    view: &View<'_>,
    key: &AccountName,
    run: impl FnOnce(&str, Address, &Detail) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    let claim = view.reader.alias(key.as_str()).map_err(|error| refusals::unavailable(&error))?;
    let Some(Claim::One(row)) = claim else { return Ok(None) };
    let (RowKind::Group, Some(detail)) = (row.kind, &row.detail) else { return Ok(None) };
    let primary = detail.primary.as_deref().and_then(|text| Address::parse(text).ok());
    let Some(address) = primary.or_else(|| address_of_key(key.as_str())) else { return Ok(None) };
    run(&row.dn, address, detail).map(Some)
}

fn found<T>(answer: Result<Option<T>, Refusal>) -> Lookup<T> {
    match answer {
        Ok(Some(found)) => Lookup::Found(found),
        Ok(None) => Lookup::NotFound,
        Err(refusal) => Lookup::Unavailable(refusal.cause),
    }
}
