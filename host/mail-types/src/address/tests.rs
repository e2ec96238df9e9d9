use super::*;
use proptest::prelude::*;

#[test]
fn addresses_are_read_by_rfc_5321() {
    for (text, local, domain) in [
        ("a@b.example", "a", "b.example"),
        ("A.b+tag@Example.ORG", "A.b+tag", "example.org"),
        (r#""a b"@example.org"#, "a b", "example.org"),
        (r#""a@b"@example.org"#, "a@b", "example.org"),
        (r#""q\"q"@example.org"#, "q\"q", "example.org"),
        ("x@[192.0.2.1]", "x", "[192.0.2.1]"),
        ("x@[IPv6:2001:DB8::1]", "x", "[ipv6:2001:db8::1]"),
        ("jörg@bücher.example", "jörg", "xn--bcher-kva.example"),
    ] {
        let address = Address::parse(text).expect(text);
        assert_eq!((address.local.as_str(), address.domain.as_str()), (local, domain), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        "a",
        "@b",
        "a@",
        "a..b@c",
        ".a@c",
        "a b@c",
        "a@b..c",
        "a@-b",
        "\"a@b",
        "a@[1.2.3]",
        "a\r@b",
        "a@b.",
    ] {
        assert!(Address::parse(text).is_err(), "{text:?} was taken");
    }
    assert_eq!(Address::try_from("a@b.".to_owned()), Address::parse("a@b"), "what was kept stays readable");
    assert!(Domain::parse("bücher.example.").is_err());
    assert!(Address::parse(&format!("{}@b", "a".repeat(65))).is_err());
}

#[test]
fn paths_are_read_with_their_brackets() {
    assert_eq!(ReversePath::parse("<>"), Ok(ReversePath::Null));
    assert_eq!(ForwardPath::parse("<pOstmaster>"), Ok(ForwardPath::Postmaster));
    let routed = ForwardPath::parse("<@a.example,@b.example:c@d.example>").expect("a source route");
    assert_eq!(routed.to_string(), "<@a.example,@b.example:c@d.example>");
    assert!(ForwardPath::parse("a@b").is_err());
    assert!(ForwardPath::parse("<>").is_err());
}

proptest! {
    #[test]
    fn printing_and_reading_are_inverse(local in "[ -~]{1,40}", domain in "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}") {
        let address = Address::new(LocalPart::new(local).unwrap(), Domain::parse(&domain).unwrap());
        prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
    }

    #[test]
    fn reading_never_panics(text in "\\PC*") {
        let _ = Address::parse(&text);
        let _ = ForwardPath::parse(&text);
        let _ = ReversePath::parse(&text);
    }
}

#[test]
fn a_key_leads_back_to_its_address_whatever_its_local_part_has() {
    for text in ["anna@example.org", "\"a b\"@example.org", "\"a@b\"@example.org", "\"a,\\\"b\"@example.org"]
    {
        let address = Address::parse(text).unwrap();
        assert_eq!(Address::of_key(&address.to_key()), Some(address), "{text}");
    }
    for other in ["@example.org", "anna", "anna@", "anna@no domain"] {
        assert_eq!(Address::of_key(other), None, "{other}");
    }
}
