//! A change of a domain's records as steps, each of which replaces, adds or removes records of one name and type.
//!
//! The MX of the domain are replaced; of everything else our own records alone are touched. Every step can be made twice.
//! The order is for whoever looks meanwhile: addresses come before the MX that lead to them and go after them, and of a
//! policy the old text goes before the new one comes, for two of them count as none (RFC 7208 §4.5).

use std::collections::BTreeSet;
use std::net::IpAddr;

use dns::{Data, Record, RecordChange};
use dns_update::{DnsRecord, DnsRecordType, MXRecord, SRVRecord};

/// What is done to the records of one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The name, without a last dot.
    pub(crate) name: String,
    /// The type.
    pub(crate) kind: DnsRecordType,
    pub(crate) act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// These in the place of all that there are; none: they go.
    Replace { ttl: u32, records: Vec<DnsRecord> },
    /// These beside what there is.
    Add { ttl: u32, records: Vec<DnsRecord> },
    /// These go.
    Remove(Vec<DnsRecord>),
}

/// The steps of a change, in order.
pub(crate) fn of(change: &RecordChange) -> Vec<Step> {
    let (mut first, mut between, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let all = change.wanted.iter().chain(&change.before);
    if all.clone().any(is_mx) {
        let records = change.wanted.iter().filter(|record| is_mx(record));
        let ttl = records.clone().map(|record| record.ttl).next().unwrap_or_default();
        let act = Act::Replace { ttl, records: records.map(|record| in_library(&record.data)).collect() };
        between.push(Step { name: change.domain.to_string(), kind: DnsRecordType::MX, act });
    }
    let mut seen = BTreeSet::new();
    for one in all.filter(|record| !is_mx(record)) {
        let (name, kind) = (one.name.as_str(), one.data.kind());
        if !seen.insert((name, kind)) {
            continue;
        }
        let is_address = matches!(one.data, Data::Address(_));
        let same = |record: &&Record| record.name == name && record.data.kind() == kind;
        let wanted = || change.wanted.iter().filter(same);
        // Who adds keeps the TTL that is there: so what shall have another one goes first. Not an address: while it is
        // away, mail for many domains has nowhere to go, and how long it is remembered matters less.
        let stays = |before: &&Record| {
            wanted().any(|record| record.data == before.data && (is_address || record.ttl == before.ttl))
        };
        let gone = change.before.iter().filter(same).filter(|before| !stays(before));
        let mut gone: Vec<DnsRecord> = gone.map(|record| in_library(&record.data)).collect();
        gone.dedup();
        let step = |act| Step { name: name.to_owned(), kind: type_of(&one.data), act };
        let new: Vec<DnsRecord> = wanted().map(|record| in_library(&record.data)).collect();
        let ttl = wanted().map(|record| record.ttl).next().unwrap_or_default();
        if !gone.is_empty() {
            if is_address { &mut last } else { &mut between }.push(step(Act::Remove(gone)));
        }
        if !new.is_empty() {
            let add = step(Act::Add { ttl, records: new });
            if is_address { &mut first } else { &mut between }.push(add);
        }
    }
    first.append(&mut between);
    first.append(&mut last);
    first
}

fn is_mx(record: &Record) -> bool {
    matches!(record.data, Data::Mx { .. })
}

fn type_of(data: &Data) -> DnsRecordType {
    in_library(data).as_type()
}

fn in_library(data: &Data) -> DnsRecord {
    match data {
        Data::Mx { preference, host } => {
            DnsRecord::MX(MXRecord { priority: *preference, exchange: host.to_string() })
        }
        Data::Address(IpAddr::V4(address)) => DnsRecord::A(*address),
        Data::Address(IpAddr::V6(address)) => DnsRecord::AAAA(*address),
        Data::Text(text) => DnsRecord::TXT(text.clone()),
        Data::Service { port, host } => {
            DnsRecord::SRV(SRVRecord { priority: 0, weight: 1, port: *port, target: host.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NAME TTL TYPE VALUE`, as the test writes a record.
    fn records(lines: &[&str]) -> Vec<Record> {
        let read = |line: &&str| {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let host = |text: &str| mail_types::Domain::parse(text).unwrap();
            let data = match words[2] {
                "MX" => Data::Mx { preference: 10, host: host(words[3]) },
                "A" => Data::Address(words[3].parse().unwrap()),
                "SRV" => Data::Service { port: 993, host: host(words[3]) },
                _ => Data::Text(words[3].to_owned()),
            };
            Record { name: words[0].to_owned(), data, ttl: words[1].parse().unwrap() }
        };
        lines.iter().map(read).collect()
    }

    fn said(before: &[&str], wanted: &[&str]) -> Vec<String> {
        let domain = mail_types::Domain::parse("a.test").unwrap();
        let change = RecordChange { domain, before: records(before), wanted: records(wanted) };
        let texts =
            |records: &[DnsRecord]| records.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ");
        let said = |step: Step| {
            let act = match &step.act {
                Act::Replace { ttl, records } => format!("replace {ttl}: {}", texts(records)),
                Act::Add { ttl, records } => format!("add {ttl}: {}", texts(records)),
                Act::Remove(records) => format!("remove: {}", texts(records)),
            };
            format!("{} {} {act}", step.name, step.kind.as_str())
        };
        of(&change).into_iter().map(said).collect()
    }

    #[test]
    fn the_mx_are_replaced_and_of_everything_else_only_ours_are_touched() {
        type Lines = &'static [&'static str];
        let cases: [(&str, Lines, Lines, Lines); 7] = [
            (
                "new",
                &[],
                &["a.test 60 MX mx.a.test", "a.test 60 TXT v=spf1", "mx.a.test 60 A 192.0.2.1"],
                &[
                    "mx.a.test A add 60: 192.0.2.1",
                    "a.test MX replace 60: 10 mx.a.test",
                    "a.test TXT add 60: v=spf1",
                ],
            ),
            (
                "gone",
                &["a.test 60 MX mx.a.test", "a.test 60 TXT v=spf1", "mx.a.test 60 A 192.0.2.1"],
                &[],
                &["a.test MX replace 0: ", "a.test TXT remove: v=spf1", "mx.a.test A remove: 192.0.2.1"],
            ),
            (
                "another text",
                &["a.test 60 TXT old", "a.test 60 TXT stays"],
                &["a.test 60 TXT new", "a.test 60 TXT stays"],
                &["a.test TXT remove: old", "a.test TXT add 60: new, stays"],
            ),
            (
                "another address",
                &["mx.a.test 60 A 192.0.2.1"],
                &["mx.a.test 60 A 192.0.2.2"],
                &["mx.a.test A add 60: 192.0.2.2", "mx.a.test A remove: 192.0.2.1"],
            ),
            (
                "another TTL",
                &["_s.a.test 60 SRV mx.a.test", "mx.a.test 60 A 192.0.2.1"],
                &["_s.a.test 90 SRV mx.a.test", "mx.a.test 90 A 192.0.2.1"],
                &[
                    "mx.a.test A add 90: 192.0.2.1",
                    "_s.a.test SRV remove: 0 1 993 mx.a.test",
                    "_s.a.test SRV add 90: 0 1 993 mx.a.test",
                ],
            ),
            (
                "perhaps there already",
                &["a.test 60 TXT v=spf1", "a.test 60 MX mx.a.test"],
                &["a.test 60 TXT v=spf1", "a.test 60 MX mx.a.test"],
                &["a.test MX replace 60: 10 mx.a.test", "a.test TXT add 60: v=spf1"],
            ),
            ("nothing", &[], &[], &[]),
        ];
        for (what, before, wanted, expected) in cases {
            assert_eq!(said(before, wanted), expected, "{what}");
        }
    }
}
