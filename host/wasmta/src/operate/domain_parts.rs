//! Whether a domain's entries are there, all of them, and as the source has them.

use directory::{Dn, DomainEntry, DomainGap, DomainGaps, Field, RefusedEntry};
use mail_types::{Domain, Lookup};

use super::domain_dns;
use super::published::Finding;
use crate::serve::Parts;

/// Refused entries that are told of one by one.
const REFUSED_SHOWN: usize = 10;

/// What there is to say of a domain's entries.
pub(super) async fn findings(parts: &Parts, domain: &Domain) -> Result<Vec<Finding>, String> {
    let known = match parts.directory.domain(domain) {
        Lookup::Found(known) => Some(known),
        Lookup::NotFound => None,
        Lookup::Unavailable(why) => {
            return Ok(vec![Finding::wrong("entry", why, "wait until the directory answers")]);
        }
    };
    let refused = refused(parts, domain, known.as_ref()).await?;
    let mut of_dns = domain_dns::findings(parts, domain, known.is_some()).await?;
    let mut findings = vec![match &known {
        Some(known) => entry(parts, known)?,
        None if refused.is_empty() && !of_dns.is_empty() => {
            Finding::good("entry", "there is none: the DNS decides (dns.tables)")
        }
        None if refused.is_empty() => {
            Finding::wrong("entry", "there is none", format!("`wasmta domain add {domain}`"))
        }
        None => Finding::wrong("entry", "there is none", "mend what is refused, below"),
    }];
    findings.append(&mut of_dns);
    if let Some(known) = known.filter(|known| !known.effective_status().is_gone()) {
        findings.extend(missing(parts, &known, &refused)?);
    }
    let mend = "mend it where it is written; it is taken over as soon as it is";
    findings.extend(refused.iter().take(REFUSED_SHOWN).map(|one| {
        Finding::wrong("refused", format!("{}, its {}: {}", one.name, one.attribute, one.why), mend)
    }));
    if refused.len() > REFUSED_SHOWN {
        let says = format!("{} entries more", refused.len() - REFUSED_SHOWN);
        findings.push(Finding::wrong(
            "refused",
            says,
            format!("`wasmta sync status --domain {domain}` lists them"),
        ));
    }
    Ok(findings)
}

/// Where a domain is described, and whether the outside may know of it.
fn entry(parts: &Parts, known: &DomainEntry) -> Result<Finding, String> {
    let status = known.effective_status();
    if !status.is_gone() {
        return Ok(Finding::good("entry", format!("{}, {status}", known.dn)));
    }
    let mut says = Vec::new();
    let schema = parts.directory.schema();
    for dn in std::iter::once(&known.dn).chain(&known.further) {
        let node = match parts.directory.entry(dn) {
            Lookup::Found(entry) => DomainEntry::read(&entry, schema),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(why),
        };
        let Some(node) = node else { continue };
        let fields = [(Field::InetDomainStatus, node.status), (Field::MailDomainStatus, node.mail_status)];
        let gone = fields.into_iter().filter(|(_, status)| status.is_gone());
        says.extend(gone.map(|(field, status)| (schema.name(field), status, dn)));
    }
    let told = says.iter().map(|(name, status, dn)| format!("{name} of {dn} is {status}"));
    let mend = says.iter().map(|(name, _, dn)| format!("{name} of {dn}"));
    let mend = format!(
        "set {} to active (`wasmta directory apply`), or `wasmta domain remove {}`",
        mend.collect::<Vec<_>>().join(" and "),
        known.domain
    );
    let told = format!("{}, which is {status}: {}", known.dn, told.collect::<Vec<_>>().join(", "));
    Ok(Finding::wrong("entry", told, mend))
}

/// What an addition makes, and is not there.
fn missing(parts: &Parts, known: &DomainEntry, refused: &[RefusedEntry]) -> Result<Vec<Finding>, String> {
    let DomainGaps { gaps, completes } = match parts.directory.domain_gaps(&known.domain) {
        Lookup::Found(gaps) => gaps,
        Lookup::NotFound => return Ok(Vec::new()),
        Lookup::Unavailable(why) => return Err(why),
    };
    let is_refused = |dn: &Dn| refused.iter().any(|one| Dn::parse(&one.name).is_ok_and(|name| name == *dn));
    let completed = format!("`wasmta domain add {}` completes it", known.domain);
    let mend = |otherwise: &str| if completes { completed.clone() } else { otherwise.to_owned() };
    let has_base = !gaps.iter().any(|gap| matches!(gap, DomainGap::Base(_)));
    let findings = gaps.into_iter().filter_map(|gap| match gap {
        DomainGap::Base(base) if is_refused(&base) => {
            let says = format!("{} leads to {base}, which is refused", known.dn);
            Some(Finding::wrong("base", says, "mend that entry, below"))
        }
        DomainGap::Base(base) => {
            let says = format!("{} leads to {base}, and there is no such entry", known.dn);
            let otherwise = format!("add that entry, or set inetDomainBaseDN of {}", known.dn);
            Some(Finding::wrong("base", says, mend(&otherwise)))
        }
        // A note: users and groups may be anywhere below the base.
        DomainGap::Container(dn) if completes && has_base => {
            Some(Finding::note("container", format!("there is no {dn}"), completed.clone()))
        }
        DomainGap::Container(_) => None,
        DomainGap::Postmaster(address) => {
            let says = format!(
                "nobody has {address} (RFC 5321 §4.5.1): its mail goes to the server's own postmaster"
            );
            let otherwise = format!("give somebody that address: `wasmta alias add ADDRESS {address}`");
            Some(Finding::wrong("postmaster", says, mend(&otherwise)))
        }
    });
    Ok(findings.collect())
}

/// The entries of a domain that its source has and we do not take, or not as they are there.
async fn refused(
    parts: &Parts,
    domain: &Domain,
    known: Option<&DomainEntry>,
) -> Result<Vec<RefusedEntry>, String> {
    let Some(mirror) = parts.mirror.as_ref().and_then(|mirrors| mirrors.of_domain(domain)) else {
        return Ok(Vec::new());
    };
    let tops = match known {
        Some(known) => super::sync_status::tops(known),
        // Where it would be, were it taken.
        None => {
            let (dc_top, organization_top) = parts.directory.options().tops_of(domain);
            let node = Dn::from_domain(domain, dc_top);
            let organization = organization_top.child("o", domain.as_str());
            [node, organization].into_iter().flatten().collect()
        }
    };
    let is_below = |name: &str| Dn::parse(name).is_ok_and(|dn| tops.iter().any(|top| dn.is_within(top)));
    let status = mirror.status().await.map_err(|why| why.to_string())?;
    Ok(status.refused.into_iter().filter(|refused| is_below(&refused.name)).collect())
}
