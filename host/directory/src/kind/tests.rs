use mail_types::{Address, Domain};

use super::*;
use crate::dn::Dn;
use crate::ldif::LdifReader;
use crate::status::{DeliveryOption, Quota, Status};

fn typed<const N: usize>(ldif: &str) -> [Typed; N] {
    let schema = Schema::product();
    let read = LdifReader::new(ldif.as_bytes()).map(|record| Typed::read(record.unwrap().entry, &schema));
    read.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn a_dc_node_and_its_organisation_are_one_domain() {
    let [Typed::Domain(node), Typed::Domain(org)] = typed(
        "dn: dc=d9,dc=test,o=internet\nobjectClass: inetDomain\nobjectClass: mailDomain\ndc: d9\n\
         inetDomainBaseDN: o=d9.test,o=isp\nmailDomainStatus: inactive\nmailRoutingHosts: other.test\n\n\
         dn: o=d9.test,o=isp\nobjectClass: sunManagedOrganization\nobjectClass: mailDomain\nsunPreferredDomain: D9.test\n\
         associatedDomain: alias-d9.test\nmailRoutingSmartHost: smart.test\nmailDomainDiskQuota: 5G\n\
         mailDomainCatchallAddress: u0@d9.test\n",
    ) else {
        panic!("two domains")
    };
    assert_eq!(node.domain, Domain::parse("d9.test").unwrap());
    assert_eq!(node.base, org.dn);
    let joined = org.joined(*node);
    assert_eq!(joined.domain.as_str(), "d9.test");
    assert_eq!(joined.aliases, [Domain::parse("alias-d9.test").unwrap()]);
    assert_eq!(joined.base, joined.dn);
    assert_eq!((joined.effective_status(), joined.status), (Status::Inactive, Status::Active));
    assert_eq!(joined.routing_hosts, ["other.test"]);
    assert_eq!(joined.smart_host.as_deref(), Some("smart.test"));
    assert_eq!(joined.disk_quota, Quota::Limit(5 << 30));
    assert_eq!(joined.further, [Dn::parse("dc=d9,dc=test,o=internet").unwrap()]);
}

#[test]
fn a_user_keeps_what_is_right_and_names_what_is_wrong() {
    let [Typed::User(user)] = typed(
        "dn: uid=jo,ou=People,o=x\nobjectClass: inetMailUser\nuid: jo\nmail: Jo@Example.org\nmail: Jonathan@example.org\ncn: Jo\n\
         mailAlternateAddress: jo.x@example.org\nmailAlternateAddress: @sub.example.org\nmailAlternateAddress: bad address\n\
         mailUserStatus: nonsense\nmailQuota: many\nuserPassword: {SSHA}abc\nmailDeliveryOption: Mailbox\n\
         mailDeliveryOption: Forward\nmailForwardingAddress: mailto:a@b.example\n",
    ) else {
        panic!("a user")
    };
    assert_eq!(user.account().unwrap().as_str(), "jo@example.org");
    assert_eq!(user.alternates, [Address::parse("jo.x@example.org").unwrap()]);
    assert_eq!(user.equivalents, [Address::parse("Jonathan@example.org").unwrap()], "further values of mail");
    assert_eq!(user.alternate_domains, [Domain::parse("sub.example.org").unwrap()]);
    assert_eq!(user.effective_status(), Status::Inactive);
    assert_eq!(user.delivery_options, [DeliveryOption::Mailbox, DeliveryOption::Forward]);
    assert_eq!(user.forwarding, [Address::parse("a@b.example").unwrap()]);
    let attributes: Vec<_> = user.defects.iter().map(|d| d.attribute.as_str()).collect();
    assert_eq!(attributes, ["mailAlternateAddress", "mailUserStatus", "mailQuota"]);
    assert!(!format!("{user:?}").contains("abc"));
}

#[test]
fn groups_come_before_users_and_containers_are_other() {
    let entries: [Typed; 5] = typed(
        "dn: cn=team,o=x\nobjectClass: inetMailGroup\nobjectClass: groupOfUniqueNames\nmail: team@example.org\n\
         uniqueMember: uid=a,o=x\nmgrpRFC822MailMember: ext@other.test\nmgrpModerator: mailto:m@example.org\n\n\
         dn: ou=People,o=x\nobjectClass: organizationalUnit\nou: People\n\n\
         dn: uid=p,o=x\nobjectClass: inetOrgPerson\nuid: p\n\n\
         dn: uid=q,o=x\nobjectClass: inetOrgPerson\nuid: q\nmail: q@x.test\n\n\
         dn: dc=old,o=internet\nobjectClass: alias\nobjectClass: inetDomainAlias\naliasedObjectName: dc=new,o=internet\n",
    );
    assert!(matches!(&entries[0], Typed::Group(group) if group.members.len() == 1
        && group.member_addresses.len() == 1 && group.policy.moderators.len() == 1
        && group.delivery_options == [DeliveryOption::Members]));
    assert!(matches!((&entries[1], &entries[2]), (Typed::Other(_), Typed::Other(_))));
    assert!(matches!(&entries[3], Typed::User(_)));
    assert!(
        matches!(&entries[4], Typed::Other(entry) if Kind::of(entry, &Schema::product()) == Kind::Domain)
    );
}

#[test]
fn entries_name_their_plugins_and_a_bad_name_is_a_defect() {
    let [Typed::Domain(domain), Typed::User(user), Typed::Domain(node)] = typed(
        "dn: o=example.org,o=isp\nobjectClass: mailDomain\no: example.org\nwasmtaPlugin: srs\n\
         wasmtaPlugin: rewrite legacy-map\nwasmtaPlugin: forward x\nwasmtaPlugin: Bad_Name\n\n\
         dn: uid=jo,o=example.org,o=isp\nobjectClass: inetMailUser\nmail: jo@example.org\n\
         wasmtaPlugin: disposition vacation-plus\nwasmtaPlugin: route-table rows\n\n\
         dn: dc=example,dc=org,o=internet\nobjectClass: inetDomain\ninetDomainBaseDN: o=example.org,o=isp\n",
    ) else {
        panic!("a domain, a user, a domain")
    };
    let names = |plugins: &[hooks::Binding]| plugins.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&domain.plugins), ["srs", "rewrite legacy-map"]);
    let defects: Vec<_> = domain.defects.iter().map(|d| (d.attribute.as_str(), d.value.as_str())).collect();
    assert_eq!(defects, [("wasmtaPlugin", "forward x"), ("wasmtaPlugin", "Bad_Name")]);
    assert_eq!(names(&user.plugins), ["disposition vacation-plus"]);
    let defects: Vec<_> = user.defects.iter().map(ToString::to_string).collect();
    assert_eq!(defects.len(), 1);
    assert!(defects[0].contains("\"route-table rows\" to the entry of the user's domain"), "{defects:?}");
    assert_eq!(names(&node.joined(*domain).plugins), ["srs", "rewrite legacy-map"]);
}
