//! From entries to records.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use dns::{Data, Record};
use mail_types::Domain;

use super::options::PublicationOptions;
use crate::directory::Directory;
use crate::domain_entry::DomainEntry;
use crate::error::DirectoryError;

/// By how much each further host is less wanted.
const PREFERENCE_STEP: u16 = 10;

/// The records of every hosted domain, under all of its names. A domain that is inactive keeps its own: its mail shall
/// wait here. One whose entry says that it is removed has none.
pub(super) fn all(
    directory: &Directory,
    options: &PublicationOptions,
) -> Result<BTreeMap<Domain, Vec<Record>>, DirectoryError> {
    let mut wanted = BTreeMap::new();
    let mut add = |name: &Domain, entry: &DomainEntry| {
        let has_records = name.as_ip().is_none() && name.as_str().contains('.');
        if has_records && !entry.effective_status().is_gone() {
            wanted.insert(name.clone(), of_domain(name, options));
        }
    };
    directory.scan_domains(&mut |entry| {
        std::iter::once(&entry.domain).chain(&entry.aliases).for_each(|name| add(name, &entry));
        ControlFlow::Continue(())
    })?;
    directory.scan_domain_aliases(&mut |name, entry| add(&name, &entry))?;
    for host in &options.mail_hosts {
        let Some(domain) = holder(host, &wanted) else { continue };
        let address = |address| Record {
            name: host.as_str().to_owned(),
            data: Data::Address(address),
            ttl: options.ttl,
        };
        if let Some(records) = wanted.get_mut(&domain) {
            records.extend(options.addresses.iter().copied().map(address));
        }
    }
    Ok(wanted)
}

fn of_domain(domain: &Domain, options: &PublicationOptions) -> Vec<Record> {
    let record = |name: String, data| Record { name, data, ttl: options.ttl };
    let below = |label: &str| match label {
        "" => domain.to_string(),
        label => format!("{label}.{domain}"),
    };
    let hosts = options.mail_hosts.iter().zip(1..).map(|(host, nth)| {
        let preference = PREFERENCE_STEP.saturating_mul(nth);
        record(domain.to_string(), Data::Mx { preference, host: host.clone() })
    });
    let texts = options
        .texts
        .iter()
        .map(|text| record(below(&text.label), Data::Text(text.text.replace("$D", domain.as_str()))));
    let services = options.mail_hosts.first().into_iter().flat_map(|host| {
        let of = |(label, port): &(String, u16)| {
            record(below(label), Data::Service { port: *port, host: host.clone() })
        };
        options.services.iter().map(of).collect::<Vec<_>>()
    });
    hosts.chain(texts).chain(services).collect()
}

/// The closest of our domains that a host's name is in.
fn holder(host: &Domain, domains: &BTreeMap<Domain, Vec<Record>>) -> Option<Domain> {
    let mut rest = host.as_str();
    loop {
        if let Some((found, _)) = Domain::parse(rest).ok().and_then(|name| domains.get_key_value(&name)) {
            return Some(found.clone());
        }
        rest = rest.split_once('.')?.1;
    }
}
