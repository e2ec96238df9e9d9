//! Domains and users, by command (R13, R17).

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use directory::{
    AddedDomain, Directory, DnsDomain, DomainEntry, DomainUsers, EditError, Entry, NewDomain, NewUser,
    PasswordHash, SyncError, SyncOrder, UserEntry, write_ldif,
};
use mail_types::{AccountName, Address, Domain, Lookup};
use routing::tables::WaitingOf;
use serde_json::{Value, json};

use super::queue::count;
use super::{absent, domain_dns, mailbox, published, tell_changed, waiting};
use crate::control::Answer;
use crate::serve::Parts;

/// Accounts that one answer names.
const ACCOUNTS_SHOWN: usize = 100;

/// Adds a domain with every entry that it lacks; `administrator` reads its postmaster's mail. Where an addition was broken
/// off, it goes on.
pub(super) async fn add_domain(parts: &Parts, name: &str, administrator: &Address) -> Result<Answer, String> {
    let domain = parse_domain(name)?;
    let last = domain.as_str().rsplit('.').next().unwrap_or_default();
    if domain.as_ip().is_some() || last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(format!(
            "{name}: this is the address of a host; give the name of a domain, as example.org"
        ));
    }
    let new = NewDomain { domain, administrator: Some(administrator.clone()), attributes: Vec::new() };
    let added = parts.directory.add_domain(&new).await.map_err(|e| e.to_string())?;
    let AddedDomain { added, was_begun, postmaster } = added;
    tell_changed(parts, new.domain.as_str(), if was_begun { "domain completed" } else { "domain added" });
    parts.follow_directory().await?;
    let names: Vec<String> = added.iter().map(ToString::to_string).collect();
    let domain = &new.domain;
    let is = if was_begun { "was a mail domain in part, and is whole now" } else { "is a mail domain now" };
    let mut text = format!("{domain} {is}");
    if postmaster {
        let _ = write!(text, "; postmaster@{domain} goes to {administrator}");
    }
    text.push_str("; entries added:");
    for name in &names {
        let _ = write!(text, "\n  {name}");
    }
    for line in published::after_edit(parts, domain).await {
        let _ = write!(text, "\n{line}");
    }
    Ok(Answer::new(json!({ "domain": domain, "added": names, "completed": was_begun }), text))
}

/// Shows a domain's entries.
pub(super) fn show_domain(parts: &Parts, name: &str) -> Result<Answer, String> {
    let directory = &parts.directory;
    let domain = parse_domain(name)?;
    let none = || match directory.dns_domain(&domain) {
        Lookup::Found(_) => {
            format!("{name} has no entry: the DNS leads it here; see `wasmta domain check {name}`")
        }
        _ => absent::absent(parts, "domain", name),
    };
    let domain = found(directory.domain(&domain), none)?;
    let mut entries = Vec::new();
    for dn in std::iter::once(&domain.dn).chain(&domain.further) {
        let entry = found(directory.entry(dn), || format!("there is no entry {dn}"))?;
        entries.push(without_secrets(entry, directory));
    }
    let mut text: Vec<String> = entries.iter().map(|entry| write_ldif(entry).trim_end().to_owned()).collect();
    let of = WaitingOf::Domain(domain.domain.as_str());
    let waiting = waiting::waiting(parts, of)?;
    // Comments of LDIF (RFC 2849): the output as a whole can still be read as such.
    let notes: Vec<String> = waiting::lines(&waiting, of).iter().map(|line| format!("# {line}")).collect();
    text.extend((!notes.is_empty()).then(|| notes.join("\n")));
    let mut json = domain_json(&domain);
    json["entries"] = entries.iter().map(entry_json).collect();
    json["rows"] = serde_json::to_value(&waiting).map_err(|e| e.to_string())?;
    Ok(Answer::new(json, text.join("\n\n")))
}

/// Lists the domains that are to be listed.
pub(super) fn list_domains(parts: &Parts, is_listed: impl Fn(&Domain) -> bool) -> Result<Answer, String> {
    let directory = &parts.directory;
    let mut domains = Vec::new();
    let listed = directory.scan_domains(&mut |domain| {
        if is_listed(&domain.domain) {
            domains.push(domain);
        }
        ControlFlow::Continue(())
    });
    listed.map_err(|e| e.to_string())?;
    // Names with an entry of their own.
    let mut aliases: HashMap<Domain, Vec<Domain>> = HashMap::new();
    let scanned = directory.scan_domain_aliases(&mut |name, domain| {
        aliases.entry(domain.domain).or_default().push(name);
    });
    scanned.map_err(|e| e.to_string())?;
    for domain in &mut domains {
        domain.aliases.extend(aliases.remove(&domain.domain).unwrap_or_default());
        let mut seen = HashSet::new();
        domain.aliases.retain(|name| *name != domain.domain && seen.insert(name.clone()));
    }
    let by_dns = listed_by_dns(directory, is_listed)?;
    let mut text = format!("{:<32} {:<10} {}", "DOMAIN", "STATUS", "OTHER NAMES");
    for domain in &domains {
        let aliases: Vec<&str> = domain.aliases.iter().map(Domain::as_str).collect();
        let line = format!(
            "\n{:<32} {:<10} {}",
            domain.domain.as_str(),
            domain.effective_status().as_str(),
            aliases.join(" ")
        );
        text.push_str(line.trim_end_matches(' '));
    }
    for found in &by_dns {
        let (domain, word) = (found.domain.as_str(), domain_dns::word(found));
        text.push_str(&format!("\n{domain:<32} {:<10} ({word}, {})", "active", found.origin));
    }
    if let Some(note) = absent::note(parts, None) {
        let _ = write!(text, "\n({note})");
    }
    let all = domains.iter().map(domain_json).chain(by_dns.iter().map(domain_dns::as_json));
    Ok(Answer::new(all.collect(), text))
}

/// Those that the DNS leads here, and that no entry decides about.
fn listed_by_dns(
    directory: &Directory,
    is_listed: impl Fn(&Domain) -> bool,
) -> Result<Vec<DnsDomain>, String> {
    let mut by_dns = Vec::new();
    let scanned = directory.scan_dns_domains(&mut |found| {
        if is_listed(&found.domain) {
            by_dns.push(found);
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|e| e.to_string())?;
    by_dns.retain(|found| matches!(directory.domain(&found.domain), Lookup::NotFound));
    Ok(by_dns)
}

/// Removes a domain; with users and groups only where that is asked for, and with `mail` their mailboxes too.
pub(super) async fn remove_domain(
    parts: &Parts,
    name: &str,
    with_users: bool,
    mail: bool,
) -> Result<Answer, String> {
    let domain = parse_domain(name)?;
    // Its users' accounts may be named by any of its names.
    let (tenant, names) = match parts.directory.domain(&domain) {
        Lookup::Found(known) => (known.domain, known.aliases.into_iter().chain([domain.clone()]).collect()),
        _ => (domain.clone(), vec![domain.clone()]),
    };
    let users = if with_users { DomainUsers::Remove } else { DomainUsers::Refuse };
    see_wholly(parts, &domain).await?;
    let removed = parts.directory.remove_domain(&domain, users).await.map_err(|e| match e {
        EditError::DomainInUse { .. } => format!("{e} (--with-users)"),
        other => other.to_string(),
    })?;
    tell_changed(parts, domain.as_str(), &format!("domain removed, {removed} entries"));
    // Who has the name next is another tenant: whatever else fails, nothing of this one's is left to it.
    let before = parts.plugins.forget_tenant(&tenant).await?;
    parts.follow_directory().await?;
    // Until then mail for it came in, and its plugins were asked.
    let since = parts.plugins.forget_tenant(&tenant).await?;
    let mut text = match parts.directory.dns_domain(&domain) {
        Lookup::Found(by_dns) => {
            format!("{removed} entries of {domain} removed; the DNS leads it here still: {}", by_dns.origin)
        }
        _ => format!("{domain} is no mail domain any more; {removed} entries removed"),
    };
    let left = ownerless(parts, &names)?;
    if mail {
        for account in &left {
            parts.store.remove_account(account).await.map_err(|e| e.to_string())?;
            tell_changed(parts, account.as_str(), "mailboxes removed");
        }
        text.push_str(&format!(", and the mailboxes of {} accounts", left.len()));
    } else if !left.is_empty() {
        text.push_str(&format!("\nthe mailboxes of {} accounts stay:", left.len()));
        for account in left.iter().take(ACCOUNTS_SHOWN) {
            text.push_str(&format!("\n  {account}"));
        }
        if left.len() > ACCOUNTS_SHOWN {
            text.push_str(&format!("\n  and {} more", left.len() - ACCOUNTS_SHOWN));
        }
        text.push_str("\n`wasmta user remove ADDRESS --mail` removes those of one");
    }
    let (values, calls) = (before.values + since.values, before.calls + since.calls);
    if values > 0 {
        let _ = write!(text, "\n{values} values that plugins kept for it are removed");
    }
    if calls > 0 {
        let _ = write!(text, "\nremoved: {} of plugins for it", count(calls, "recorded call"));
    }
    for line in published::after_edit(parts, &domain).await {
        let _ = write!(text, "\n{line}");
    }
    Ok(Answer::done(text))
}

/// Makes what is known of a domain what its LDAP server has now: an entry that was added there since, and is not known of here,
/// would end the removal halfway.
async fn see_wholly(parts: &Parts, domain: &Domain) -> Result<(), String> {
    let Some(mirror) = parts.mirror.as_ref().and_then(|mirrors| mirrors.of_domain(domain)) else {
        return Ok(());
    };
    if parts.directory.domain(domain) == Lookup::NotFound {
        return Ok(());
    }
    let order = SyncOrder { domain: Some(domain.clone()), ..SyncOrder::default() };
    let seen = match mirror.full(order, Arc::new(|_, _, _| {})).await {
        // Part of it is gone there, which only a look at everything tells from a part that is not shown.
        Err(SyncError::Unfit(_)) => mirror.full(SyncOrder::default(), Arc::new(|_, _, _| {})).await,
        seen => seen,
    };
    seen.map(drop).map_err(|why| {
        let again =
            if matches!(why, SyncError::UnderWay) { ": give this again when it has ended" } else { "" };
        format!("nothing is removed: what {domain} has at its LDAP server has to be seen first: {why}{again}")
    })
}

/// The accounts of a domain, under any of its names, that no entry of the directory owns.
fn ownerless(parts: &Parts, domains: &[Domain]) -> Result<Vec<AccountName>, String> {
    let mut names = Vec::new();
    let listed = parts.store.accounts(|_, name| names.push(name.to_owned()));
    listed.map_err(|e| e.to_string())?;
    names.sort();
    let owned = |address: &Address| !matches!(parts.directory.by_address(address), Lookup::NotFound);
    let of_domain = |name: &String| {
        Address::of_key(name).filter(|address| domains.contains(&address.domain) && !owned(address))
    };
    Ok(names
        .iter()
        .filter(|name| of_domain(name).is_some())
        .filter_map(|name| AccountName::new(name))
        .collect())
}

/// Adds a user with a mailbox.
pub(super) async fn add_user(
    parts: &Parts,
    address: &str,
    name: &str,
    password: &str,
) -> Result<Answer, String> {
    let address = parse_address(address)?;
    let passwords = hashes(parts, password).await?;
    let name = (!name.is_empty()).then(|| name.to_owned());
    let new = NewUser { address, name, passwords, alternates: Vec::new(), attributes: Vec::new() };
    let dn = parts.directory.add_user(&new).await.map_err(|e| absent::refused(parts, &e))?;
    tell_changed(parts, &new.address.to_string(), "user added");
    parts.follow_directory().await?;
    let text = format!("{} has a mailbox now and can log in ({dn})", new.address);
    Ok(Answer::new(json!({ "address": new.address, "dn": dn.to_string() }), text))
}

/// Shows a user's entry; of passwords only the schemes.
pub(super) fn show_user(parts: &Parts, name: &str) -> Result<Answer, String> {
    let directory = &parts.directory;
    let no_user = || absent::absent(parts, "user", name);
    let entry = match Address::parse(name).map(|address| directory.by_address(&address)) {
        Ok(Lookup::Found(entry)) => entry,
        Ok(Lookup::Unavailable(why)) => return Err(why),
        Ok(Lookup::NotFound) | Err(_) => {
            let user = found(directory.user_by_login(name), no_user)?;
            found(directory.entry(&user.dn), no_user)?
        }
    };
    let entry = without_secrets(entry, directory);
    Ok(Answer::new(entry_json(&entry), write_ldif(&entry).trim_end().to_owned()))
}

/// Sets a user's password.
pub(super) async fn set_password(parts: &Parts, user: &str, password: &str) -> Result<Answer, String> {
    let hashes = hashes(parts, password).await?;
    let dn = parts.directory.set_password(user, &hashes).await.map_err(|e| absent::refused(parts, &e))?;
    tell_changed(parts, user, "password set");
    parts.follow_directory().await?;
    Ok(Answer::done(format!("{user} has a new password ({dn})")))
}

/// Removes a user, and with `mail` the mailboxes too: also those of a user who is gone already.
pub(super) async fn remove_user(parts: &Parts, user: &str, mail: bool) -> Result<Answer, String> {
    if let Some(name) = user.strip_prefix(mailbox::LEFT_PREFIX) {
        return remove_left(parts, name, mail).await;
    }
    let entry = match Address::parse(user).map(|address| parts.directory.by_address(&address)) {
        Ok(Lookup::Found(entry)) => UserEntry::read(&entry, parts.directory.schema()),
        Ok(Lookup::Unavailable(why)) => return Err(why),
        Ok(Lookup::NotFound) | Err(_) => match parts.directory.user_by_login(user) {
            Lookup::Found(entry) => Some(entry),
            Lookup::NotFound => return remove_what_is_left(parts, user, mail).await,
            Lookup::Unavailable(why) => return Err(why),
        },
    };
    let account = entry.and_then(|entry| entry.account());
    if let Some(account) = &account {
        mailbox::not_left(parts, user, account)?;
    }
    let dn = parts.directory.remove_user(user).await.map_err(|e| e.to_string())?;
    tell_changed(parts, user, "user removed");
    parts.follow_directory().await?;
    let mut text = format!("{user} is gone");
    if let (true, Some(account)) = (mail, account) {
        let gone = parts.store.remove_account(&account).await.map_err(|e| e.to_string())?;
        tell_changed(parts, account.as_str(), "mailboxes removed");
        text.push_str(if gone { ", mailboxes too" } else { "; there were no mailboxes" });
    } else {
        text.push_str(
            "; mailboxes stay, until the same address is added again or this command is given again with --mail",
        );
    }
    text.push_str(&format!(" ({dn})"));
    Ok(Answer::done(text))
}

/// Mailboxes that stand under a name which no user goes by, whoever has that address now.
async fn remove_left(parts: &Parts, name: &str, mail: bool) -> Result<Answer, String> {
    let account = AccountName::new(name).ok_or_else(|| format!("{name} is no name of an account"))?;
    if let Lookup::Found(dn) = parts.directory.without_address(&account) {
        return Err(format!("{name} is the account of {dn}, which has no address now: remove that first"));
    }
    // What is no address is nobody's.
    let by_address = |address: Address| parts.directory.by_address(&address);
    let owner = match Address::parse(name).map_or(Lookup::NotFound, by_address) {
        Lookup::Found(entry) => {
            UserEntry::read(&entry, parts.directory.schema()).and_then(|user| user.account())
        }
        Lookup::NotFound => None,
        Lookup::Unavailable(why) => return Err(why),
    };
    if owner.as_ref() == Some(&account) {
        return Err(format!("{name} is the account of a user: `wasmta user remove {name}` removes both"));
    }
    if !mail {
        return Err(format!("there is no user of the account {name}; --mail removes its mailboxes"));
    }
    absent::is_known_absent(parts, "user", name)?;
    if !parts.store.remove_account(&account).await.map_err(|error| error.to_string())? {
        return Err(format!("there is no account {name}"));
    }
    tell_changed(parts, account.as_str(), "mailboxes removed");
    Ok(Answer::done(format!("the mailboxes that were left under {name} are gone")))
}

/// The mailboxes of somebody who is no user any more.
async fn remove_what_is_left(parts: &Parts, user: &str, mail: bool) -> Result<Answer, String> {
    absent::is_known_absent(parts, "user", user)?;
    let no_user = format!("there is no user {user}");
    let Some(account) = Address::parse(user).ok().and_then(|address| AccountName::new(&address.to_key()))
    else {
        return Err(no_user);
    };
    if !mail {
        let left = parts.store.find_account(&account).map_err(|e| e.to_string())?;
        return Err(match left {
            Some(_) => format!("{no_user} any more; mailboxes are left, and --mail removes them"),
            None => no_user,
        });
    }
    if parts.store.remove_account(&account).await.map_err(|e| e.to_string())? {
        tell_changed(parts, account.as_str(), "mailboxes removed");
        return Ok(Answer::done(format!(
            "{user} was gone already; the mailboxes that were left are gone too"
        )));
    }
    Err(format!("{no_user}, and there are no mailboxes of that name"))
}

/// Hashes a password where blocking is allowed: it takes a good part of a second.
async fn hashes(parts: &Parts, password: &str) -> Result<Vec<PasswordHash>, String> {
    let (hasher, password) = (parts.hasher.clone(), password.to_owned());
    let work = tokio::task::spawn_blocking(move || hasher.hash(&password));
    work.await.map_err(|e| e.to_string())?
}

/// An entry as it is shown: of passwords only the schemes.
pub(super) fn without_secrets(mut entry: Entry, directory: &Directory) -> Entry {
    let schema = directory.schema();
    let names = entry.attributes().map(|one| one.name.to_owned());
    for name in names.filter(|name| schema.is_secret(name)).collect::<Vec<_>>() {
        let hidden = entry.values(&name).map(|value| {
            let hash = PasswordHash::new(String::from_utf8_lossy(value));
            match hash.scheme() {
                Some(scheme) => format!("{{{scheme}}} (hidden)").into_bytes(),
                None => b"(hidden)".to_vec(),
            }
        });
        let hidden = hidden.collect();
        entry.replace(&name, hidden);
    }
    entry
}

fn domain_json(domain: &DomainEntry) -> Value {
    json!({
        "domain": domain.domain,
        "dn": domain.dn.to_string(),
        "status": domain.effective_status().as_str(),
        "aliases": domain.aliases,
        "routing_hosts": domain.routing_hosts,
        "smart_host": domain.smart_host,
        "catch_all": domain.catch_all,
    })
}

pub(super) fn entry_json(entry: &Entry) -> Value {
    let attributes = entry.attributes().map(|attribute| {
        let values: Vec<_> = attribute.values.map(|v| String::from_utf8_lossy(v).into_owned()).collect();
        (attribute.name.to_owned(), json!(values))
    });
    json!({ "dn": entry.dn.to_string(), "attributes": attributes.collect::<serde_json::Map<_, _>>() })
}

pub(super) fn found<T>(answer: Lookup<T>, absent: impl Fn() -> String) -> Result<T, String> {
    match answer {
        Lookup::Found(value) => Ok(value),
        Lookup::NotFound => Err(absent()),
        Lookup::Unavailable(why) => Err(why),
    }
}

pub(super) fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|e| e.to_string())
}

pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    match Address::parse(text) {
        // Its key would be that of all other addresses of the domain.
        Ok(address) if address.local.as_str().is_empty() => {
            Err(format!("{text}: nothing stands before the @"))
        }
        parsed => parsed.map_err(|e| e.to_string()),
    }
}
