use hickory_proto::rr::rdata::{A, MX};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn soa(serial: u32) -> Record {
    let soa = SOA::new(name("ns.example."), name("root.example."), serial, 3600, 600, 86_400, 60);
    Record::from_rdata(name("example."), 60, RData::SOA(soa))
}

fn mx(owner: &str, preference: u16, host: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::MX(MX::new(preference, name(host))))
}

fn address(owner: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, 1)))
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn set(records: &[(u16, &str)]) -> MxSet {
    let record =
        |(preference, host): &(u16, &str)| MxRecord { preference: *preference, host: (*host).into() };
    MxSet(records.iter().map(record).collect())
}

/// All records in one message; and each in one of its own, which has to come to the same.
fn brought(known: Option<u32>, records: &[Record]) -> Result<(u32, Brought, u64), String> {
    let whole = run(known, &[records.to_vec()]);
    let single: Vec<Vec<Record>> = records.iter().map(|record| vec![record.clone()]).collect();
    if records.len() > 1 {
        assert_eq!(run(known, &single), whole);
    }
    whole
}

fn run(known: Option<u32>, messages: &[Vec<Record>]) -> Result<(u32, Brought, u64), String> {
    let mut transfer = Transfer::new(name("example."), known);
    let mut complete = false;
    for records in messages {
        complete = transfer.take(records)?;
    }
    if !complete {
        return Err("not complete".to_owned());
    }
    transfer.finish().map(|(soa, brought, left_out)| (soa.serial, brought, left_out))
}

#[test]
fn a_whole_zone_is_what_stands_between_its_soa() {
    let records = [
        soa(7),
        mx("One.example.", 10, "MX.example."),
        address("one.example."),
        mx("one.example.", 20, "mx2.example."),
        mx("one.example.", 10, "mx.example."),
        mx("*.wild.example.", 10, "mx.example."),
        mx("elsewhere.", 10, "mx.example."),
        mx("null.example.", 0, "."),
        soa(7),
    ];
    let (serial, brought, left_out) = brought(None, &records).unwrap();
    let expected = BTreeMap::from([
        (domain("null.example"), set(&[(0, "")])),
        (domain("one.example"), set(&[(10, "mx.example"), (20, "mx2.example")])),
    ]);
    assert_eq!((serial, brought, left_out), (7, Brought::Whole(expected), 1));
}

#[test]
fn differences_are_told_apart_from_a_whole_zone() {
    // RFC 1995 §7: two versions later, a host is renamed, and another one added.
    let records = [
        soa(3),
        soa(1),
        mx("a.example.", 10, "old.example."),
        soa(2),
        mx("a.example.", 10, "new.example."),
        soa(2),
        soa(3),
        mx("b.example.", 10, "new.example."),
        soa(3),
    ];
    let (serial, steps, _) = brought(Some(1), &records).unwrap();
    let Brought::Steps(steps) = steps else { panic!("{steps:?}") };
    let before = |name: &Domain| {
        if *name == domain("a.example") {
            set(&[(10, "old.example"), (20, "kept.example")])
        } else {
            set(&[])
        }
    };
    let after = applied(steps.clone(), before).unwrap();
    let expected = BTreeMap::from([
        (domain("a.example"), set(&[(10, "new.example"), (20, "kept.example")])),
        (domain("b.example"), set(&[(10, "new.example")])),
    ]);
    assert_eq!((serial, after), (3, expected));
    // They are differences to that version alone: nothing is taken away that is not there, nor added that is.
    for other in [&[][..], &[(10, "old.example"), (10, "new.example")], &[(10, "new.example")]] {
        assert_eq!(applied(steps.clone(), |_| set(other)), None, "{other:?}");
    }
    // The server may give all instead, and says that nothing has changed by its SOA alone.
    let whole = [soa(3), mx("a.example.", 10, "new.example."), soa(3)];
    assert!(matches!(brought(Some(1), &whole).unwrap().1, Brought::Whole(zone) if zone.len() == 1));
    assert_eq!(brought(Some(3), &[soa(3)]).unwrap().1, Brought::Nothing);
}

#[test]
fn a_broken_answer_is_an_error_and_no_smaller_zone() {
    let one = || mx("a.example.", 10, "mx.example.");
    let other_zone = Record::from_rdata(name("other."), 60, soa(1).data);
    for (known, records) in [
        (None, vec![one(), soa(1)]),
        (None, vec![soa(1), one()]),
        (None, vec![soa(1), one(), soa(2)]),
        (None, vec![soa(1), one(), soa(1), one()]),
        (None, vec![soa(1), one(), other_zone]),
        (None, vec![soa(2), soa(1)]),
        (Some(1), vec![soa(3), soa(2), one(), soa(3), one(), soa(3)]),
        (Some(1), vec![soa(3), soa(1), one(), soa(2), one(), soa(3)]),
        (Some(1), vec![soa(3), soa(1), one(), soa(3), one()]),
        (None, vec![]),
    ] {
        let outcome = run(known, std::slice::from_ref(&records));
        assert!(outcome.is_err(), "{records:?}: {outcome:?}");
    }
}

proptest! {
    /// Whatever a server sends: an error, or an end; a cut-off answer is never taken for a whole one.
    #[test]
    fn nothing_that_is_cut_off_is_complete(serials in prop::collection::vec(0u32..4, 1..12), known in 0u32..4) {
        let mut records = Vec::new();
        for serial in serials {
            records.push(if serial == 0 { mx("a.example.", 1, "b.example.") } else { soa(serial) });
        }
        let mut transfer = Transfer::new(name("example."), Some(known));
        for record in &records {
            match transfer.take(std::slice::from_ref(record)) {
                Ok(true) => break,
                Ok(false) => prop_assert!(transfer.at != At::End),
                Err(_) => break,
            }
        }
        if transfer.at != At::End && transfer.at != At::First {
            prop_assert!(transfer.finish().is_err());
        }
    }
}
