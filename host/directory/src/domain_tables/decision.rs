//! From MX records to what we are to a domain (RFC 5321 §5.1).

use dns::MxSet;

/// What we are to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// None of its hosts.
    NotOurs,
    /// The best of its hosts, alone or with others: its mail ends here.
    Local,
    /// One of its hosts, but others are better: its mail waits here for them.
    Backup,
}

/// Decides by the names of our host, in lower case. Of several ranks of ours the best one counts.
#[must_use]
pub(super) fn decide(records: &MxSet, own_names: &[String]) -> Decision {
    // A host without a name is none (RFC 7505 §3), alone or among others.
    let hosts = || records.0.iter().filter(|record| !record.host.is_empty());
    let ours =
        hosts().filter(|record| own_names.contains(&record.host)).map(|record| record.preference).min();
    let Some(ours) = ours else { return Decision::NotOurs };
    // "It MUST NOT send to hosts of equal or worse preference": only a better one takes the mail from us.
    if hosts().any(|record| record.preference < ours) { Decision::Backup } else { Decision::Local }
}

#[cfg(test)]
mod tests {
    use dns::MxRecord;
    use proptest::prelude::*;

    use super::*;

    fn set(records: &[(u16, &str)]) -> MxSet {
        let record =
            |(preference, host): &(u16, &str)| MxRecord { preference: *preference, host: (*host).into() };
        MxSet(records.iter().map(record).collect())
    }

    #[test]
    fn our_rank_decides() {
        let own = ["us.test".to_owned(), "also.us.test".to_owned()];
        for (records, expected) in [
            (&[][..], Decision::NotOurs),
            (&[(0, "")], Decision::NotOurs),
            (&[(10, "other.test")], Decision::NotOurs),
            (&[(10, "us.test")], Decision::Local),
            (&[(10, "us.test"), (20, "other.test")], Decision::Local),
            (&[(10, "us.test"), (10, "other.test")], Decision::Local),
            (&[(20, "us.test"), (10, "other.test")], Decision::Backup),
            (&[(20, "us.test"), (5, "also.us.test"), (10, "other.test")], Decision::Local),
            (&[(0, ""), (10, "us.test")], Decision::Local),
        ] {
            assert_eq!(decide(&set(records), &own), expected, "{records:?}");
        }
    }

    const HOSTS: [&str; 4] = ["", "us.test", "a.test", "b.test"];

    proptest! {
        /// Held against the rule of RFC 5321 §5.1, said the other way round: sort, drop ourselves and what is not better,
        /// and see what is left.
        #[test]
        fn what_is_left_to_relay_to_decides(records in prop::collection::btree_set((0u16..4, 0usize..4), 0..8)) {
            let own = ["us.test".to_owned()];
            let records: Vec<(u16, &str)> = records.into_iter().map(|(rank, host)| (rank, HOSTS[host])).collect();
            let ours = records.iter().filter(|(_, host)| *host == "us.test").map(|(rank, _)| *rank).min();
            let left: Vec<_> = records
                .iter()
                .filter(|(rank, host)| !host.is_empty() && ours.is_some_and(|ours| *rank < ours))
                .collect();
            let expected = match (ours, left.is_empty()) {
                (None, _) => Decision::NotOurs,
                (Some(_), true) => Decision::Local,
                (Some(_), false) => Decision::Backup,
            };
            prop_assert_eq!(decide(&set(&records), &own), expected);
        }

        /// A host that joins or leaves at a rank that is not better than ours changes nothing.
        #[test]
        fn worse_hosts_do_not_matter(ours in 0u16..100, others in prop::collection::vec(0u16..100, 0..6)) {
            let own = ["us.test".to_owned()];
            let mut records = vec![(ours, "us.test")];
            records.extend(others.iter().map(|rank| (*rank, "other.test")));
            let before = decide(&set(&records), &own);
            records.push((ours, "equal.test"));
            records.push((ours + 1, "worse.test"));
            prop_assert_eq!(decide(&set(&records), &own), before);
        }
    }
}
