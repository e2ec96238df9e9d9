//! What plugins keep for a tenant goes some time after its domain, however that went: by LDIF, at the LDAP servers, with a DNS
//! table. Who has the name next is another tenant.

use std::collections::BTreeMap;
use std::time::Duration;

use events::Event;
use mail_types::{Domain, Lookup, Timestamp};

use super::Parts;

/// For how long a domain may be away: one that is put back, as after a slip, finds what was kept.
const AWAY_MAX: Duration = Duration::from_secs(3600);

/// Since when domains are away for which something is kept.
#[derive(Default)]
pub(super) struct GoneTenants(BTreeMap<Domain, Timestamp>);

impl GoneTenants {
    /// Looks at those that something is kept for, and forgets what was kept for those that are gone.
    pub(super) async fn look(&mut self, parts: &Parts) {
        let Parts { plugins, directory, mirror, events, clock, .. } = parts;
        // Before all of a source has been here once, absent is not gone.
        let mirrors = mirror.as_ref().map(|mirrors| mirrors.all()).unwrap_or_default();
        if !mirrors.iter().all(|mirror| mirror.is_complete().unwrap_or(false)) {
            return;
        }
        // A store that cannot be read is told of by whoever needs it.
        let Ok(kept) = plugins.tenants_kept().await else { return };
        let is_away = |tenant: &Domain| {
            directory.domain(tenant) == Lookup::NotFound && directory.dns_domain(tenant) == Lookup::NotFound
        };
        for tenant in self.gone(kept.into_iter().filter(is_away), clock.now()) {
            if plugins.forget_tenant(&tenant).await.is_ok() {
                self.0.remove(&tenant);
                let change = "the domain is gone, and what plugins kept for it now too";
                events.emit(&Event::DirectoryChanged { change, entry: tenant.as_str() });
            }
        }
    }

    /// Those that have been away for long, of all that are.
    fn gone(&mut self, away: impl Iterator<Item = Domain>, now: Timestamp) -> Vec<Domain> {
        let before = std::mem::take(&mut self.0);
        self.0 = away
            .map(|tenant| {
                let since = before.get(&tenant).copied().unwrap_or(now);
                (tenant, since)
            })
            .collect();
        let long = self.0.iter().filter(|(_, since)| now.since(**since) >= AWAY_MAX);
        long.map(|(tenant, _)| tenant.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_comes_back_in_time_has_lost_nothing() {
        let domain = |name: &str| Domain::parse(name).unwrap();
        let (one, other) = (domain("one.test"), domain("other.test"));
        let at = |minutes: u64| Timestamp(1_000_000).plus(Duration::from_secs(60 * minutes));
        let mut tenants = GoneTenants::default();
        let mut gone = |away: &[&Domain], now| tenants.gone(away.iter().map(|one| (*one).clone()), now);
        assert_eq!(gone(&[&one, &other], at(0)), []);
        assert_eq!(gone(&[&other], at(30)), [], "one is back");
        assert_eq!(gone(&[&one, &other], at(60)), [other]);
        assert_eq!(gone(&[&one], at(119)), [], "its hour has begun anew");
        assert_eq!(gone(&[&one], at(120)), [one]);
    }
}
