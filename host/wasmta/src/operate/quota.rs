//! What an account or a domain takes up, beside its limits.

use std::fmt::Write as _;

use mail_types::{AccountName, Address, Domain, Lookup};
use serde_json::{Value, json};
use store::{Quota, Usage};

use super::absent::absent;
use crate::config::rounded_size_text as size;
use crate::control::Answer;
use crate::serve::Parts;

/// An account with all its limits, or a domain with its own and its tenant's.
pub(super) fn quota(parts: &Parts, name: &str) -> Result<Answer, String> {
    let store = &parts.store;
    let mut rows: Vec<(String, Quota, Usage)> = Vec::new();
    // All accounts of a domain have the same limits together.
    let asked = if name.contains('@') { name.to_owned() } else { format!("anybody@{}", domain(name)?) };
    let account =
        AccountName::new(&asked).ok_or_else(|| format!("{name:?} is neither an account nor a domain"))?;
    let limits = store.limits(&account);
    if name.contains('@') {
        let id = store.find_account(&account).map_err(|e| e.to_string())?;
        let is_user = || match Address::parse(name).map(|address| parts.directory.by_address(&address)) {
            // What cannot be looked up now is not denied.
            Ok(Lookup::Found(_) | Lookup::Unavailable(_)) => true,
            Ok(Lookup::NotFound) | Err(_) => !matches!(parts.directory.user_by_login(name), Lookup::NotFound),
        };
        if id.is_none() && !is_user() {
            return Err(absent(parts, "user", name));
        }
        let usage = id.map_or(Ok(Usage::default()), |id| store.usage(id)).map_err(|e| e.to_string())?;
        rows.push((account.to_string(), limits.own, usage));
    } else if !limits.shared.iter().any(|limit| limit.name.starts_with("domain ")) {
        let domain = domain(name)?.to_string();
        let usage = store.domain_usage(&domain).map_err(|e| e.to_string())?;
        let is_unknown = Domain::parse(&domain)
            .is_ok_and(|domain| matches!(parts.directory.domain(&domain), Lookup::NotFound));
        if is_unknown && usage == Usage::default() && limits.shared.is_empty() {
            return Err(absent(parts, "domain", &domain));
        }
        rows.push((format!("domain {domain}"), Quota::default(), usage));
    }
    for limit in &limits.shared {
        let usage = store.shared_usage(limit).map_err(|e| e.to_string())?;
        rows.push((limit.name.clone(), limit.quota, usage));
    }
    let mut text = String::new();
    for (whose, quota, usage) in &rows {
        let _ = writeln!(
            text,
            "{whose}: {} of {}, {} of {} messages",
            size(usage.octets),
            quota.octets.map_or_else(|| "any size".to_owned(), size),
            usage.messages,
            quota.messages.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string()),
        );
    }
    let json = rows.iter().map(|(whose, quota, usage)| {
        json!({
            "whose": whose, "octets": usage.octets, "octets_max": quota.octets,
            "messages": usage.messages, "messages_max": quota.messages,
        })
    });
    Ok(Answer::new(Value::Array(json.collect()), text.trim_end().to_owned()))
}

fn domain(name: &str) -> Result<Domain, String> {
    Domain::parse(name).map_err(|e| format!("{name:?} is neither an account nor a domain: {e}"))
}
