//! Zone transfers, record by record: whole (AXFR, RFC 5936 §2.2) or by differences (IXFR, RFC 1995 §4). Of all records only
//! the MX are kept. No sockets: see [`crate::primary`].

use std::collections::BTreeMap;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use mail_types::Domain;

use crate::table_source::{MxRecord, MxSet, TABLE_DOMAINS_MAX};

/// Most MX records, or changes of them, that one transfer may bring.
pub(crate) const TRANSFER_MX_MAX: usize = 1_000_000;

/// A change of one MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) domain: Domain,
    pub(crate) record: MxRecord,
    pub(crate) is_removed: bool,
}

/// What a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Brought {
    /// The version that was known is the newest.
    Nothing,
    /// These changes, in order.
    Steps(Vec<Step>),
    /// The whole zone.
    Whole(BTreeMap<Domain, MxSet>),
}

/// Where in the answer we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first SOA.
    Beginning,
    /// Behind it: what follows says whether it is the whole zone.
    First,
    /// Among the records of the whole zone.
    Whole,
    /// Among the records that a version has lost. The version they were in.
    Removed(u32),
    /// Among those that a version has won. The version they are in.
    Added(u32),
    /// Behind the last SOA.
    End,
}

/// A transfer under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    zone: Name,
    /// The version that differences were asked for.
    known: Option<u32>,
    at: At,
    has_differences: bool,
    soa: Option<SOA>,
    whole: BTreeMap<Domain, MxSet>,
    steps: Vec<Step>,
    mx: usize,
    left_out: u64,
}

impl Transfer {
    /// One of a zone; of the differences to a version, where one is known.
    pub(crate) fn new(zone: Name, known: Option<u32>) -> Self {
        let (whole, steps) = (BTreeMap::new(), Vec::new());
        let has_differences = false;
        Self { zone, known, at: At::Beginning, has_differences, soa: None, whole, steps, mx: 0, left_out: 0 }
    }

    /// Takes the records of one message; whether the transfer is complete.
    pub(crate) fn take(&mut self, records: &[Record]) -> Result<bool, String> {
        for record in records {
            self.one(record)?;
        }
        // "If an IXFR query with the same or newer version number than that of the server is received, it is replied to
        // with a single SOA record of the server's current version" (RFC 1995 §2).
        let is_current = self.at == At::First && self.soa.as_ref().map(|soa| soa.serial) == self.known;
        Ok(self.at == At::End || is_current)
    }

    /// What it came to, with the SOA of the newest version and the number of names that are none of a mail domain; to be
    /// called when it is complete.
    pub(crate) fn finish(self) -> Result<(SOA, Brought, u64), String> {
        let soa = self.soa.ok_or_else(|| "it has no SOA".to_owned())?;
        let brought = match self.at {
            At::First => Brought::Nothing,
            At::End if self.has_differences => Brought::Steps(self.steps),
            At::End => Brought::Whole(self.whole),
            _ => return Err("it ends too early".to_owned()),
        };
        Ok((soa, brought, self.left_out))
    }

    fn one(&mut self, record: &Record) -> Result<(), String> {
        if let RData::SOA(soa) = &record.data {
            if record.name != self.zone {
                return Err(format!("it has an SOA of {}", record.name));
            }
            return self.boundary(soa);
        }
        match self.at {
            At::Beginning => return Err("it does not begin with the zone's SOA".to_owned()),
            At::End => return Err("it goes on behind its end".to_owned()),
            At::First => self.at = At::Whole,
            At::Whole | At::Removed(_) | At::Added(_) => {}
        }
        self.mail_host(record)
    }

    /// An SOA: it begins or ends something.
    fn boundary(&mut self, soa: &SOA) -> Result<(), String> {
        let last = self.soa.get_or_insert_with(|| soa.clone()).serial;
        let odd = || Err(format!("the SOA of version {} stands where none belongs", soa.serial));
        self.at = match self.at {
            At::Beginning => At::First,
            // Differences begin with the version that was known (RFC 1995 §4).
            At::First if self.known == Some(soa.serial) && soa.serial != last => At::Removed(soa.serial),
            At::First | At::Whole if soa.serial == last => At::End,
            At::Removed(_) => At::Added(soa.serial),
            At::Added(version) if version == last && soa.serial == last => At::End,
            At::Added(version) if version == soa.serial => At::Removed(version),
            _ => return odd(),
        };
        self.has_differences |= matches!(self.at, At::Removed(_));
        Ok(())
    }

    /// Keeps a record, where it is an MX inside the zone.
    fn mail_host(&mut self, record: &Record) -> Result<(), String> {
        let RData::MX(mx) = &record.data else { return Ok(()) };
        if record.dns_class != DNSClass::IN || !self.zone.zone_of(&record.name) {
            return Ok(());
        }
        self.mx += 1;
        if self.mx > TRANSFER_MX_MAX {
            return Err(format!("it has more than {TRANSFER_MX_MAX} MX records"));
        }
        let Some(domain) = Domain::parse(&plain(&record.name)).ok().filter(|name| name.as_ip().is_none())
        else {
            self.left_out += 1;
            return Ok(());
        };
        let record = MxRecord { preference: mx.preference, host: plain(&mx.exchange) };
        match self.at {
            At::Removed(_) => self.steps.push(Step { domain, record, is_removed: true }),
            At::Added(_) => self.steps.push(Step { domain, record, is_removed: false }),
            _ => {
                self.whole.entry(domain).or_default().0.insert(record);
                if self.whole.len() > TABLE_DOMAINS_MAX {
                    return Err(format!("it has more than {TABLE_DOMAINS_MAX} domains with MX records"));
                }
            }
        }
        Ok(())
    }
}

/// A name as the rest of the house has it: lower case, without its last dot; of the root nothing is left.
pub(crate) fn plain(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// What changes lead to: the records that each domain has afterwards. `None` where one takes away what is not there, or adds
/// what is: "the older SOA" of the answer (RFC 1995 §4) is then not the version that we have.
pub(crate) fn applied(
    steps: Vec<Step>,
    before: impl Fn(&Domain) -> MxSet,
) -> Option<BTreeMap<Domain, MxSet>> {
    let mut after: BTreeMap<Domain, MxSet> = BTreeMap::new();
    for Step { domain, record, is_removed } in steps {
        let records = after.entry(domain).or_insert_with_key(&before);
        let fits = if is_removed { records.0.remove(&record) } else { records.0.insert(record) };
        if !fits {
            return None;
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests;
