//! Groups, by command.

use std::fmt::Write as _;

use directory::{Amendment, AttributeChange, Entry, EntryChange, Field, GroupEntry, GroupMember, UserEntry};
use mail_types::{Address, Lookup};
use serde_json::json;

use super::directory::{found, parse_address};
use super::entries::{modify, shown};
use super::queue::count;
use super::{absent, delegated, tell_changed};
use crate::control::Answer;
use crate::serve::Parts;

/// The entry of a group, by one of its addresses.
pub(super) fn entry_of(parts: &Parts, group: &str) -> Result<Entry, String> {
    let no_group = || absent::absent(parts, "group", group);
    let entry = found(parts.directory.named(group), no_group)?;
    GroupEntry::read(&entry, parts.directory.schema()).map(|_| entry).ok_or_else(no_group)
}

/// Who has an address here is a member by entry, and stays one when the address changes; others by address.
fn member(parts: &Parts, text: &str) -> Result<GroupMember, String> {
    let address = parse_address(text)?;
    // Who another's user is, and where that user is a member, is nothing of a delegate's.
    if delegated::is_foreign(&address.domain) {
        return Ok(GroupMember::Address(address));
    }
    match parts.directory.by_address(&address) {
        Lookup::Found(entry) => Ok(GroupMember::Entry(entry.dn)),
        Lookup::NotFound => {
            let here = matches!(parts.directory.domain(&address.domain), Lookup::Found(_));
            if here && text.split('@').next().is_some_and(|local| !local.contains('+')) {
                return Err(format!("{address}: nobody has that address, and its domain is here"));
            }
            Ok(GroupMember::Address(address))
        }
        Lookup::Unavailable(why) => Err(why),
    }
}

/// Adds one.
pub(super) async fn add(parts: &Parts, address: &str, members: &[String]) -> Result<Answer, String> {
    let address = parse_address(address)?;
    let members = members.iter().map(|text| member(parts, text)).collect::<Result<Vec<_>, _>>()?;
    let dn = parts.directory.add_group(&address, &members).await.map_err(|e| absent::refused(parts, &e))?;
    tell_changed(parts, &address.to_string(), "group added");
    parts.follow_directory().await?;
    let mut text = format!("{address} is a group with {} now ({dn})", count(members.len(), "member"));
    if members.is_empty() {
        let _ =
            write!(text, "; mail for it is refused until `wasmta group member add {address} …` gives it one");
    }
    Ok(Answer::new(json!({ "address": address, "dn": dn.to_string(), "members": members.len() }), text))
}

/// Removes one.
pub(super) async fn remove(parts: &Parts, group: &str) -> Result<Answer, String> {
    let dn =
        parts.directory.remove_group(&parse_address(group)?).await.map_err(|e| absent::refused(parts, &e))?;
    tell_changed(parts, group, "group removed");
    parts.follow_directory().await?;
    let shares = "rights that it had in shared mailboxes stay on their lists: `wasmta share list`";
    Ok(Answer::done(format!("{group} is gone ({dn}); {shares}")))
}

/// Lists the members, after some have come or gone.
pub(super) async fn members(
    parts: &Parts,
    group: &str,
    add: &[String],
    remove: &[String],
) -> Result<Answer, String> {
    let entry = entry_of(parts, group)?;
    let mut changes = Vec::new();
    for text in add {
        let (field, value) = match member(parts, text)? {
            GroupMember::Entry(dn) => (Field::UniqueMember, dn.to_string()),
            GroupMember::Address(address) => (Field::MgrpRfc822MailMember, address.to_string()),
        };
        changes.push(change(parts, field, Amendment::Add(vec![value.into_bytes()])));
    }
    for text in remove {
        changes.push(removal(parts, &entry, text)?);
    }
    if changes.is_empty() {
        return listed(parts, &entry);
    }
    let dn = entry.dn.clone();
    keeps_somebody(parts, &entry, add, remove)?;
    modify(parts, EntryChange::Modify(entry.dn, changes)).await?;
    let what = format!("members added: {}; removed: {}", add.join(", "), remove.join(", "));
    tell_changed(parts, group, &what);
    parts.follow_directory().await?;
    listed(parts, &found(parts.directory.entry(&dn), || format!("there is no group {group}"))?)
}

fn change(parts: &Parts, field: Field, amendment: Amendment) -> AttributeChange {
    AttributeChange { attribute: parts.directory.schema().name(field).to_owned(), amendment }
}

/// The value that makes somebody a member: the entry's name, as it is written there, or the address.
fn removal(parts: &Parts, group: &Entry, text: &str) -> Result<AttributeChange, String> {
    let schema = parts.directory.schema();
    let dn = match parts.directory.named(text) {
        Lookup::Found(entry) => Some(entry.dn),
        Lookup::NotFound => directory::Dn::parse(text).ok(),
        Lookup::Unavailable(why) => return Err(why),
    };
    let address = Address::parse(text).ok();
    for field in [Field::UniqueMember, Field::Member, Field::MgrpRfc822MailMember] {
        for attribute in schema.names(field) {
            let is_it = |value: &&[u8]| {
                let value = String::from_utf8_lossy(value);
                // Letter by letter, also what nobody can be reached by.
                if value.trim() == text.trim() {
                    return true;
                }
                if field == Field::MgrpRfc822MailMember {
                    let bare = value.trim().trim_start_matches("mailto:");
                    return address.as_ref().is_some_and(|address| {
                        Address::parse(bare).is_ok_and(|one| one.to_key() == address.to_key())
                    });
                }
                dn.is_some() && directory::Dn::parse(&value).ok() == dn
            };
            if let Some(value) = group.values(attribute).find(is_it) {
                let amendment = Amendment::Delete(vec![value.to_vec()]);
                return Ok(AttributeChange { attribute: attribute.clone(), amendment });
            }
        }
    }
    Err(format!("{text} is no member by name or address"))
}

/// A domain's postmaster has somebody behind it (RFC 5321 §4.5.1).
fn keeps_somebody(parts: &Parts, entry: &Entry, add: &[String], remove: &[String]) -> Result<(), String> {
    let Some(group) = GroupEntry::read(entry, parts.directory.schema()) else { return Ok(()) };
    let is_postmaster = group
        .address
        .as_ref()
        .is_some_and(|address| address.local.as_str().eq_ignore_ascii_case("postmaster"));
    let all = group.members.len() + group.member_addresses.len() + group.member_urls.len();
    if is_postmaster && all + add.len() <= remove.len() {
        return Err("a domain's postmaster must have somebody behind it: add another one first".to_owned());
    }
    Ok(())
}

fn listed(parts: &Parts, entry: &Entry) -> Result<Answer, String> {
    let schema = parts.directory.schema();
    let Some(group) = GroupEntry::read(entry, schema) else { return shown(parts, entry) };
    let (mut text, mut all) = (String::new(), Vec::new());
    for dn in &group.members {
        let address = match parts.directory.entry(dn) {
            Lookup::Found(entry) => UserEntry::read(&entry, schema)
                .and_then(|user| user.address)
                .or_else(|| GroupEntry::read(&entry, schema).and_then(|group| group.address)),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(why),
        };
        let shown = address.as_ref().map_or_else(|| "(without an address)".to_owned(), ToString::to_string);
        let _ = writeln!(text, "{shown}  [{dn}]");
        all.push(json!({ "address": address, "dn": dn.to_string() }));
    }
    for address in &group.member_addresses {
        let _ = writeln!(text, "{address}");
        all.push(json!({ "address": address }));
    }
    for url in &group.member_urls {
        let _ = writeln!(text, "{url}");
        all.push(json!({ "search": url }));
    }
    let _ = write!(text, "{}", count(all.len(), "member"));
    Ok(Answer::new(json!({ "dn": entry.dn.to_string(), "members": all }), text))
}
