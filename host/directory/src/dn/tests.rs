//! Names are read, written and compared as RFC 4514 has it.

use proptest::prelude::*;

use super::*;

#[test]
fn examples_of_rfc_4514_are_read_and_written() {
    for text in [
        "UID=jsmith,DC=example,DC=net",
        "OU=Sales+CN=J.  Smith,DC=example,DC=net",
        r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
        r"CN=Before\0DAfter,DC=example,DC=net",
        "1.3.6.1.4.1.1466.0=#04024869",
    ] {
        assert_eq!(Dn::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Dn::parse(r"CN=Lu\C4\8Di\C4\87").unwrap().to_string(), "CN=Lučić");
}

#[test]
fn names_compare_by_their_normal_form() {
    for (a, b) in [
        ("UID=JSmith, DC=Example ,DC=net", "uid=jsmith,dc=example,dc=net"),
        ("OU=Sales+CN=J.  Smith,DC=net", "cn=j. smith+ou=sales,dc=net"),
        ("2.5.4.10=isp", "o=ISP"),
        (r"cn=a\2Cb", r"cn=a\,b"),
        (r#"cn="a,b";o=x"#, r"cn=a\,b,o=x"),
    ] {
        assert_eq!(Dn::parse(a).unwrap(), Dn::parse(b).unwrap(), "{a} {b}");
    }
    assert_ne!(Dn::parse(r"cn=a\,b").unwrap(), Dn::parse("cn=a,cn=b").unwrap());
}

#[test]
fn what_is_no_name_is_refused() {
    for text in ["jsmith", "=x", "1a=x", "cn=a,", "cn=a<b", r"cn=a\", r"cn=\zz", r"cn=\ff", "cn=#0", "cn=\"a"]
    {
        assert!(Dn::parse(text).is_err(), "{text}");
    }
    assert_eq!(Dn::parse(&"o=a,".repeat(600)), Err(DnError::TooLong));
}

#[test]
fn a_subtree_is_a_prefix_of_keys() {
    let top = Dn::parse("o=example.org,o=isp").unwrap();
    let user = top.child("ou", "People").unwrap().child("uid", "user1").unwrap();
    assert!(user.is_within(&top) && user.key().starts_with(top.key()) && user.depth() == 4);
    assert!(!Dn::parse("o=example.organic,o=isp").unwrap().is_within(&top));
    assert_eq!(user.parent().unwrap().parent().unwrap(), top);
    assert_eq!(user.leaf(), Some(("uid".to_owned(), "user1".to_owned())));
    assert!(user.is_within(&Dn::root()) && Dn::root().parent().is_none());
}

#[test]
fn domains_and_dc_levels_mirror_each_other() {
    let suffix = Dn::parse("o=internet").unwrap();
    let domain = Domain::parse("branch.example.org").unwrap();
    let dn = Dn::from_domain(&domain, &suffix).unwrap();
    assert_eq!(dn.to_string(), "dc=branch,dc=example,dc=org,o=internet");
    assert_eq!(dn.to_domain(), Some(domain));
    assert_eq!(suffix.to_domain(), None);
}

proptest! {
    #[test]
    fn any_value_survives_writing_and_reading(values in prop::collection::vec("[^\0]{1,12}", 1..5)) {
        let dn = values.iter().try_fold(Dn::root(), |above, value| above.child("cn", value)).unwrap();
        let read = Dn::parse(&dn.to_string()).unwrap();
        prop_assert_eq!(&read, &dn);
        prop_assert_eq!(read.leaf().map(|(_, value)| value), values.last().cloned());
    }

    /// The short way says what the general one says.
    #[test]
    fn plain_names_are_no_others(text in " ?[a-zA-Z2.]{1,3} ?= ?[ -~é]{0,8}(,[oO]=[a-z A-Z=]{0,6}){0,3}") {
        let slowly = super::rdn::read_levels(&text).and_then(|levels| Dn::from_levels(&levels));
        if let Some(plain) = super::plain::read(&text) {
            let slowly = slowly.unwrap();
            prop_assert_eq!((plain.key(), plain.as_str()), (slowly.key(), slowly.as_str()));
            prop_assert!(slowly.is_plain && plain.is_plain);
            let levels = |dn: &Dn| std::iter::successors(dn.parent(), Dn::parent).map(|dn| dn.to_string()).collect::<Vec<_>>();
            prop_assert_eq!(levels(&plain), levels(&slowly));
        }
    }

    #[test]
    fn the_name_above_is_the_rest(values in prop::collection::vec("[^\0]{1,12}", 1..5)) {
        let names: Vec<Dn> = values.iter().scan(Dn::root(), |above, value| {
            *above = above.child("cn", value).unwrap();
            Some(above.clone())
        }).collect();
        let above = std::iter::successors(names.last().cloned(), |dn| dn.parent().filter(|dn| dn.depth() > 0));
        for (above, name) in above.zip(names.iter().rev()) {
            prop_assert_eq!((above.key(), above.as_str()), (name.key(), name.as_str()));
            prop_assert_eq!(above.leaf(), name.leaf());
        }
    }

    #[test]
    fn reading_never_panics(text in "\\PC*") {
        let _ = Dn::parse(&text);
    }
}
