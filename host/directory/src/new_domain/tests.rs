use mail_types::Lookup;

use super::*;
use crate::directory::tests::{assert_whole, dn, domain, new_domain, open};

/// The directory, once a domain was added to it, without some of its entries.
async fn without(gone: &[&str]) -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    directory.add_domain(&new_domain("kk2.test")).await.unwrap();
    let edits: Vec<Edit> = gone.iter().map(|name| Edit::Remove(dn(name))).collect();
    directory.edit(&edits).await.unwrap();
    (dir, directory)
}

/// A directory with these entries alone.
async fn with(entries: Vec<Entry>) -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let edits: Vec<Edit> = entries.into_iter().map(Edit::Add).collect();
    directory.edit(&edits).await.unwrap();
    (dir, directory)
}

fn entry(name: &str, values: &[(&str, &str)]) -> Entry {
    values.iter().fold(container(&dn(name)), |entry, (name, value)| entry.with(name, *value))
}

/// A node of the DC tree that leads to a base, and what lies above it.
fn node(name: &str, base: &str) -> Vec<Entry> {
    let node = format!("dc={name},dc=test,o=internet");
    vec![
        container(&dn("o=internet")),
        container(&dn("dc=test,o=internet")),
        entry(&node, &[("objectClass", "inetDomain"), ("inetDomainBaseDN", base)]),
    ]
}

async fn completed(directory: &Directory, name: &str) -> Vec<String> {
    let answer = directory.add_domain(&new_domain(name)).await.unwrap();
    assert!(answer.was_begun);
    assert_whole(directory);
    let again = directory.add_domain(&new_domain(name)).await;
    assert!(matches!(again, Err(EditError::DomainWhole { .. })), "{again:?}");
    let Lookup::Found(left) = directory.domain_gaps(&domain(name)) else { panic!("a domain") };
    assert_eq!(left, DomainGaps { gaps: Vec::new(), completes: false });
    answer.added.iter().map(Dn::to_string).collect()
}

const POSTMASTER: &str = "cn=postmaster,ou=Groups,o=kk2.test,o=isp";
const GROUPS: &str = "ou=Groups,o=kk2.test,o=isp";
const PEOPLE: &str = "ou=People,o=kk2.test,o=isp";
const BASE: &str = "o=kk2.test,o=isp";

#[tokio::test]
async fn an_addition_broken_off_anywhere_is_completed_top_down() {
    let made = [BASE, PEOPLE, GROUPS, POSTMASTER];
    for at in 0..made.len() {
        let missing: Vec<&str> = made[at..].to_vec();
        let gone: Vec<&str> = missing.iter().rev().copied().collect();
        let (_dir, directory) = without(&gone).await;
        let before = directory.entry(&dn("dc=kk2,dc=test,o=internet"));
        let Lookup::Found(gaps) = directory.domain_gaps(&domain("kk2.test")) else { panic!("a domain") };
        assert_eq!((gaps.gaps.len(), gaps.completes), (missing.len(), true), "{gaps:?}");
        assert_eq!(completed(&directory, "kk2.test").await, missing);
        assert_eq!(directory.entry(&dn("dc=kk2,dc=test,o=internet")), before);
        let Lookup::Found(known) = directory.domain(&domain("kk2.test")) else { panic!("a domain") };
        assert_eq!((known.dn, known.further.len()), (dn(BASE), 1));
    }
}

#[tokio::test]
async fn a_node_alone_is_completed_where_it_leads() {
    let (_dir, directory) = with(node("kk2", "o=own,ou=Customers,o=isp")).await;
    let gaps = directory.domain_gaps(&domain("kk2.test"));
    let Lookup::Found(DomainGaps { gaps, completes: true }) = gaps else { panic!("{gaps:?}") };
    assert_eq!(gaps[0], DomainGap::Base(dn("o=own,ou=Customers,o=isp")));
    let added = completed(&directory, "kk2.test").await;
    assert_eq!(
        added,
        [
            "o=isp",
            "ou=Customers,o=isp",
            "o=own,ou=Customers,o=isp",
            "ou=People,o=own,ou=Customers,o=isp",
            "ou=Groups,o=own,ou=Customers,o=isp",
            "cn=postmaster,ou=Groups,o=own,ou=Customers,o=isp",
        ]
    );
}

#[tokio::test]
async fn an_organisation_that_others_made_stays_as_it_is() {
    let organization = entry("o=own,o=isp", &[("description", "a house of others")]);
    let mut entries = node("kk2", "o=own,o=isp");
    entries.extend([container(&dn("o=isp")), organization.clone()]);
    let (_dir, directory) = with(entries).await;
    assert_eq!(completed(&directory, "kk2.test").await.len(), 3);
    assert_eq!(directory.entry(&organization.dn), Lookup::Found(organization));
}

#[tokio::test]
async fn what_is_described_in_another_way_is_not_taken_over() {
    let used = async |entries: Vec<Entry>, name: &str| {
        let (_dir, directory) = with(entries).await;
        let csn = directory.csn();
        let refused = directory.add_domain(&new_domain(name)).await.unwrap_err();
        assert!(matches!(refused, EditError::DomainUsed { .. }), "{refused}");
        assert_eq!(directory.csn(), csn);
        if let Lookup::Found(gaps) = directory.domain_gaps(&domain(name))
            && name == "kk2.test"
        {
            assert!(!gaps.completes, "{gaps:?}");
        }
    };
    // Two domains of one base, which is not there, or is another domain's own.
    let mut shared = node("kk2", "o=both,o=isp");
    shared.push(node("kk3", "o=both,o=isp").remove(2));
    used(shared, "kk2.test").await;
    let mut other = node("kk2", "o=other.test,o=isp");
    other.push(container(&dn("o=isp")));
    other.push(entry(
        "o=other.test,o=isp",
        &[("objectClass", "mailDomain"), ("sunPreferredDomain", "other.test")],
    ));
    used(other, "kk2.test").await;
    // Another name of a domain, in each of the three ways.
    let named =
        [("objectClass", "mailDomain"), ("sunPreferredDomain", "a.test"), ("associatedDomain", "b.test")];
    used(vec![entry("o=a", &named)], "b.test").await;
    let mut alias = node("kk2", "o=gone,o=isp");
    let target = ("aliasedObjectName", "dc=kk2,dc=test,o=internet");
    alias.push(entry("dc=kk3,dc=test,o=internet", &[("objectClass", "inetDomainAlias"), target]));
    used(alias, "kk3.test").await;
    let mut canonical = node("kk2", "o=gone,o=isp");
    canonical[2].add("inetCanonicalDomainName", "other.test");
    used(canonical, "kk2.test").await;
    // One that is about to go.
    let mut going = node("kk2", "o=gone,o=isp");
    going[2].add("inetDomainStatus", "deleted");
    used(going, "kk2.test").await;
}

#[tokio::test]
async fn a_postmaster_who_is_elsewhere_is_not_missed() {
    for (name, value) in [
        ("mailDomainCatchallAddress", "all@far.test"),
        ("mailRoutingSmartHost", "far.test"),
        ("mailRoutingHosts", "far.test"),
    ] {
        let (_dir, directory) = without(&[POSTMASTER]).await;
        let Lookup::Found(organization) = directory.entry(&dn(BASE)) else { panic!("an entry") };
        directory.edit(&[Edit::Modify(organization.with(name, value))]).await.unwrap();
        let again = directory.add_domain(&new_domain("kk2.test")).await;
        assert!(matches!(again, Err(EditError::DomainWhole { .. })), "{name}: {again:?}");
    }
}
