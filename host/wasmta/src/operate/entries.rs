//! Entries of the directory, by command: lists, attributes, further addresses.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use directory::{
    Amendment, AttributeChange, Entry, EntryChange, Field, GroupEntry, Making, PROFILE_FIELDS, Schema,
    Status, UserEntry, write_ldif,
};
use mail_types::{Address, Domain, Lookup};
use serde_json::{Value, json};

use super::directory::{entry_json, found, parse_address, parse_domain, without_secrets};
use super::queue::count;
use super::{absent, groups, ldif, plugin_uses, tell_changed};
use crate::control::{Answer, EntryKind, EntryRequest};
use crate::serve::Parts;

/// Entries that one list shows; of more it says so.
const LISTED_MAX: usize = 100_000;

/// Performs a request.
pub(super) async fn perform(parts: &Parts, request: EntryRequest) -> Result<Answer, String> {
    match request {
        EntryRequest::List { kind, domain } => {
            let asked = parts.clone();
            // Every entry is read.
            let work = tokio::task::spawn_blocking(move || list(&asked, kind, domain.as_deref()));
            work.await.map_err(|e| e.to_string())?
        }
        EntryRequest::GroupShow { group } => shown(parts, &groups::entry_of(parts, &group)?),
        EntryRequest::Set { kind, name, values, any } => set(parts, kind, &name, values, any).await,
        EntryRequest::Addresses { name, add, remove } => addresses(parts, &name, &add, &remove).await,
        EntryRequest::GroupAdd { address, members } => groups::add(parts, &address, &members).await,
        EntryRequest::GroupRemove { group } => groups::remove(parts, &group).await,
        EntryRequest::Members { group, add, remove } => groups::members(parts, &group, &add, &remove).await,
        EntryRequest::Export { file, domain, without_passwords } => {
            ldif::export(parts, file, domain.as_deref(), without_passwords).await
        }
        EntryRequest::Apply { ldif, dry_run } => ldif::apply(parts, ldif, dry_run).await,
    }
}

/// An entry as LDIF, without secrets.
pub(super) fn shown(parts: &Parts, entry: &Entry) -> Result<Answer, String> {
    let entry = without_secrets(entry.clone(), &parts.directory);
    Ok(Answer::new(entry_json(&entry), write_ldif(&entry).trim_end().to_owned()))
}

/// What a list shows of an entry.
struct Listed {
    address: Address,
    status: Status,
    options: Vec<String>,
    others: usize,
    members: Option<usize>,
}

impl Listed {
    fn of(entry: &Entry, kind: EntryKind, schema: &Schema) -> Option<Self> {
        let words = |options: &[directory::DeliveryOption]| {
            options.iter().map(|option| option.as_str().to_owned()).collect()
        };
        if kind == EntryKind::Group {
            let group = GroupEntry::read(entry, schema)?;
            let members = group.members.len() + group.member_addresses.len() + group.member_urls.len();
            return Some(Self {
                status: group.status,
                options: words(&group.delivery_options),
                others: group.alternates.len() + group.equivalents.len(),
                members: Some(members),
                address: group.address?,
            });
        }
        let user = UserEntry::read(entry, schema)?;
        Some(Self {
            status: user.effective_status(),
            options: words(&user.delivery_options),
            others: user.alternates.len() + user.equivalents.len(),
            members: None,
            address: user.address?,
        })
    }

    fn line(&self) -> String {
        let options = self.options.join(",");
        let mut line = format!("{:<40} {:<10} {options:<20}", self.address.to_string(), self.status.as_str());
        if let Some(members) = self.members {
            let _ = write!(line, " {}", count(members, "member"));
        }
        if self.others > 0 {
            let others = if self.others == 1 {
                "1 other address".to_owned()
            } else {
                format!("{} other addresses", self.others)
            };
            let _ = write!(line, " {others}");
        }
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        json!({
            "address": self.address, "status": self.status.as_str(), "delivery_options": self.options,
            "other_addresses": self.others, "members": self.members,
        })
    }
}

fn list(parts: &Parts, kind: EntryKind, domain: Option<&str>) -> Result<Answer, String> {
    let directory = &parts.directory;
    let wanted = domain.map(parse_domain).transpose()?;
    // By any of its names.
    let names: Option<Vec<Domain>> = match &wanted {
        None => None,
        Some(domain) => {
            let entry = found(directory.domain(domain), || absent::absent(parts, "domain", domain.as_str()))?;
            let names = [domain.clone(), entry.domain.clone()].into_iter().chain(entry.aliases);
            Some(names.collect())
        }
    };
    let is_meant = |one: &Listed| names.as_ref().is_none_or(|names| names.contains(&one.address.domain));
    let (mut listed, mut more) = (Vec::new(), false);
    let scanned = directory.scan(&mut |entry| {
        if let Some(one) = Listed::of(&entry, kind, directory.schema()).filter(is_meant) {
            if listed.len() == LISTED_MAX {
                more = true;
                return ControlFlow::Break(());
            }
            listed.push(one);
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|e| e.to_string())?;
    listed.sort_by_cached_key(|one| (one.address.domain.clone(), one.address.to_key()));
    let mut text = String::new();
    for one in &listed {
        let _ = writeln!(text, "{}", one.line());
    }
    let what = if kind == EntryKind::Group { "group" } else { "user" };
    let _ = write!(text, "{}", count(listed.len(), what));
    if more {
        text.push_str(" of more; name a domain");
    }
    if let Some(note) = absent::note(parts, wanted.as_ref()) {
        let _ = write!(text, "; {note}");
    }
    let entries: Vec<Value> = listed.iter().map(Listed::json).collect();
    Ok(Answer::new(json!({ "entries": entries, "more": more }), text))
}

/// The entry of a user, group or domain.
fn entry_of(parts: &Parts, kind: EntryKind, name: &str) -> Result<Entry, String> {
    let (directory, schema) = (&parts.directory, parts.directory.schema());
    match kind {
        EntryKind::Group => groups::entry_of(parts, name),
        EntryKind::User => {
            let no_user = || absent::absent(parts, "user", name);
            let entry = found(directory.named(name), no_user)?;
            UserEntry::read(&entry, schema).map(|_| entry).ok_or_else(no_user)
        }
        EntryKind::Domain => {
            let no_domain = || absent::absent(parts, "domain", name);
            let domain = found(directory.domain(&parse_domain(name)?), no_domain)?;
            // Where users are is said by another entry than what mail does there: that is the one to change.
            let mut dns = domain.further.iter().chain([&domain.dn]);
            let dn = dns.find(|dn| **dn == domain.base).unwrap_or(&domain.dn);
            found(directory.entry(dn), no_domain)
        }
    }
}

/// Refuses attributes that have a command of their own, or no meaning.
fn check_attribute(parts: &Parts, kind: EntryKind, name: &str, any: bool) -> Result<(), String> {
    let Some(field) = parts.directory.schema().field(name) else {
        let mend = "write its name in full, or say --any: it is kept, and means nothing for mail";
        return if any { Ok(()) } else { Err(format!("{name:?} is no attribute that mail knows: {mend}")) };
    };
    match field {
        Field::UserPassword => Err("passwords are set by `wasmta user passwd`".to_owned()),
        field if kind == EntryKind::User && PROFILE_FIELDS.contains(&field) => {
            Err(format!("{name} is the user's own: `wasmta profile set` checks it with what belongs to it"))
        }
        Field::ObjectClass => Err(format!("{name} stays: it says what the entry is")),
        _ => Ok(()),
    }
}

async fn set(
    parts: &Parts,
    kind: EntryKind,
    name: &str,
    values: Vec<(String, Vec<String>)>,
    any: bool,
) -> Result<Answer, String> {
    let entry = entry_of(parts, kind, name)?;
    let (mut changes, mut bindings) = (Vec::new(), Vec::new());
    for (attribute, values) in values {
        check_attribute(parts, kind, &attribute, any)?;
        if parts.directory.schema().field(&attribute) == Some(Field::WasmtaPlugin) {
            bindings.extend(values.iter().cloned());
        }
        let values = values.into_iter().map(String::into_bytes).collect();
        changes.push(AttributeChange { attribute, amendment: Amendment::Replace(values) });
    }
    let names: Vec<String> = changes.iter().map(|change| change.attribute.clone()).collect();
    let dn = entry.dn.clone();
    modify(parts, EntryChange::Modify(entry.dn, changes)).await?;
    tell_changed(parts, name, &format!("set: {}", names.join(", ")));
    parts.follow_directory().await?;
    let entry = found(parts.directory.entry(&dn), || format!("there is no entry {dn}"))?;
    let mut answer = shown(parts, &entry)?;
    // Comments of LDIF (RFC 2849).
    let doubts = plugin_uses::doubts(parts, kind, &bindings);
    for doubt in &doubts {
        let _ = write!(answer.text, "\n# warning: {doubt}");
    }
    if !doubts.is_empty() {
        answer.json["warnings"] = json!(doubts);
    }
    Ok(answer)
}

/// Makes a change, unless mail could not use what it sets.
pub(super) async fn modify(parts: &Parts, change: EntryChange) -> Result<(), String> {
    let changes = [change];
    let amended = parts.directory.amend(&changes, Making::Trial).await.map_err(|e| e.to_string())?;
    if let Some((_, defect)) = amended.defects.first() {
        return Err(defect.to_string());
    }
    parts.directory.amend(&changes, Making::Real).await.map_err(|e| e.to_string())?;
    Ok(())
}

/// `local@domain`, or `@domain` for all that have no entry there.
fn check_address(parts: &Parts, text: &str) -> Result<(), String> {
    let domain = match text.strip_prefix('@') {
        Some(domain) => parse_domain(domain)?,
        None => parse_address(text)?.domain,
    };
    match parts.directory.domain(&domain) {
        Lookup::Found(_) => Ok(()),
        Lookup::NotFound => Err(absent::refused(parts, &directory::EditError::NoDomain(domain))),
        Lookup::Unavailable(why) => Err(why),
    }
}

async fn addresses(parts: &Parts, name: &str, add: &[String], remove: &[String]) -> Result<Answer, String> {
    let schema = parts.directory.schema();
    let nobody = || absent::absent(parts, "user or group", name);
    let entry = found(parts.directory.named(name), nobody)?;
    let mut changes = Vec::new();
    if !add.is_empty() {
        add.iter().try_for_each(|text| check_address(parts, text))?;
        let values = add.iter().map(|text| text.as_bytes().to_vec()).collect();
        let attribute = schema.name(Field::MailAlternateAddress).to_owned();
        changes.push(AttributeChange { attribute, amendment: Amendment::Add(values) });
    }
    for text in remove {
        let fields = [Field::MailAlternateAddress, Field::MailEquivalentAddress];
        let mut names = fields.iter().flat_map(|field| schema.names(*field));
        let attribute = names.find(|attribute| entry.has(attribute, text)).ok_or_else(|| {
            let is_primary = schema.names(Field::Mail).iter().any(|attribute| entry.has(attribute, text));
            let why = if is_primary { "is its primary address, which stays" } else { "is no address of it" };
            format!("{text} {why} ({name})")
        })?;
        let amendment = Amendment::Delete(vec![text.as_bytes().to_vec()]);
        changes.push(AttributeChange { attribute: attribute.clone(), amendment });
    }
    let dn = entry.dn.clone();
    let entry = if changes.is_empty() {
        entry
    } else {
        modify(parts, EntryChange::Modify(entry.dn, changes)).await?;
        let what = format!("addresses added: {}; removed: {}", add.join(", "), remove.join(", "));
        tell_changed(parts, name, &what);
        parts.follow_directory().await?;
        found(parts.directory.entry(&dn), nobody)?
    };
    let (mut text, mut all) = (String::new(), serde_json::Map::new());
    for (field, word) in [
        (Field::Mail, "primary"),
        (Field::MailAlternateAddress, "alternate"),
        (Field::MailEquivalentAddress, "equivalent"),
    ] {
        let values: Vec<&str> = schema.texts(&entry, field).collect();
        for value in &values {
            let _ = writeln!(text, "{value}  {word}");
        }
        all.insert(word.to_owned(), json!(values));
    }
    Ok(Answer::new(json!({ "dn": dn.to_string(), "addresses": all }), text.trim_end().to_owned()))
}
