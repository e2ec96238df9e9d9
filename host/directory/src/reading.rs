//! Reading typed values out of an entry, with the defects met on the way.

use std::fmt;

use mail_types::{Address, Domain, Timestamp};

use crate::dn::Dn;
use crate::entry::Entry;
use crate::mirror::generalized;
use crate::schema::{Field, Schema};
use crate::status::{Quota, Status, Tagged};

/// Most defects kept of one entry.
pub const DEFECTS_MAX: usize = 32;

/// A value that could not be used. The rest of the entry is used nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The attribute, by its local name.
    pub attribute: String,
    /// The value, cut where long.
    pub value: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} cannot be used: {}", self.attribute, self.value, self.why)
    }
}

/// Reads one entry.
pub(crate) struct Reading<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) schema: &'a Schema,
    pub(crate) defects: Vec<Defect>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(entry: &'a Entry, schema: &'a Schema) -> Self {
        Self { entry, schema, defects: Vec::new() }
    }

    pub(crate) fn defect(&mut self, field: Field, value: &str, why: impl ToString) {
        if self.defects.len() < DEFECTS_MAX {
            let attribute = self.schema.name(field).to_owned();
            self.defects.push(Defect {
                attribute,
                value: value.chars().take(80).collect(),
                why: why.to_string(),
            });
        }
    }

    pub(crate) fn texts(&self, field: Field) -> impl Iterator<Item = &'a str> + use<'a> {
        self.schema.texts(self.entry, field).filter(|text| !text.is_empty())
    }

    pub(crate) fn strings(&self, field: Field) -> Vec<String> {
        self.texts(field).map(str::to_owned).collect()
    }

    pub(crate) fn string(&self, field: Field) -> Option<String> {
        self.texts(field).next().map(str::to_owned)
    }

    /// Values that `parse` takes, as they are written. One that it does not take is a defect, and is kept nevertheless: mail
    /// that it matters for waits until it is mended.
    pub(crate) fn readable<T, E: ToString>(
        &mut self,
        field: Field,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<String> {
        for text in self.texts(field) {
            if let Err(why) = parse(text) {
                self.defect(field, text, why);
            }
        }
        self.strings(field)
    }

    /// Names of hosts. The point of the root at the end says nothing more. One that cannot be read is a defect, and is kept
    /// nevertheless: mail for it waits until it is mended, rather than to take another way.
    pub(crate) fn hosts(&mut self, field: Field) -> Vec<String> {
        let hosts: Vec<&str> =
            self.texts(field).map(|text| text.trim().strip_suffix('.').unwrap_or(text.trim())).collect();
        for host in hosts.iter().copied().filter(|host| !is_host(host)) {
            self.defect(field, host, "it is no name of a host, with or without a port");
        }
        hosts.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn host(&mut self, field: Field) -> Option<String> {
        self.hosts(field).into_iter().next()
    }

    /// Every value that `parse` takes; the others are defects.
    pub(crate) fn parsed<T, E: ToString>(
        &mut self,
        field: Field,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.texts(field) {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(why) => self.defect(field, text, why),
            }
        }
        values
    }

    pub(crate) fn addresses(&mut self, field: Field) -> Vec<Address> {
        self.parsed(field, |text| Address::parse(strip_mailto(text)))
    }

    pub(crate) fn address(&mut self, field: Field) -> Option<Address> {
        self.addresses(field).into_iter().next()
    }

    /// The primary address, and those that are delivered alike: `mail` may have several values (RFC 4524 §2.16), of which plain
    /// directories make use. From an LDAP server they come in no order, and stand here in that of their letters.
    pub(crate) fn primary_and_equivalents(&mut self) -> (Option<Address>, Vec<Address>) {
        let mut all = self.addresses(Field::Mail).into_iter();
        let primary = all.next();
        let mut equivalents: Vec<Address> = all.collect();
        equivalents.extend(self.addresses(Field::MailEquivalentAddress));
        (primary, equivalents)
    }

    pub(crate) fn domains(&mut self, field: Field) -> Vec<Domain> {
        self.parsed(field, Domain::parse)
    }

    pub(crate) fn dns(&mut self, field: Field) -> Vec<Dn> {
        self.parsed(field, Dn::parse)
    }

    pub(crate) fn number<N: std::str::FromStr>(&mut self, field: Field) -> Option<N> {
        self.parsed(field, |text| text.parse().map_err(|_| "a whole number is expected")).into_iter().next()
    }

    /// Absent is active; an illegal value is a defect, and inactive.
    pub(crate) fn status(&mut self, field: Field) -> Status {
        let Some(text) = self.texts(field).next() else { return Status::Active };
        if !Status::is_word(text) {
            self.defect(field, text, "no status, which is active, inactive, disabled, deleted, hold or overquota: it counts as inactive");
        }
        Status::parse(text)
    }

    /// The values of an attribute in all its languages (RFC 3866).
    pub(crate) fn tagged(&self, field: Field) -> Vec<Tagged> {
        self.schema.tagged(self.entry, field).filter(|tagged| !tagged.text.is_empty()).collect()
    }

    /// A moment (RFC 4517 §3.3.13, in UTC).
    pub(crate) fn moment(&mut self, field: Field) -> Option<Timestamp> {
        let parse = |text: &str| {
            let seconds = generalized::read(text).ok_or("expected a time in UTC, as 20261224120000Z")?;
            Ok::<_, &str>(Timestamp(seconds.saturating_mul(1000)))
        };
        self.parsed(field, parse).into_iter().next()
    }

    pub(crate) fn quota(&mut self, field: Field) -> Quota {
        let parse = |text: &str| Quota::parse(text).ok_or("expected -1, -2, or a number with K, M or G");
        self.parsed(field, parse).into_iter().next().unwrap_or_default()
    }
}

/// `mailto:` stands before addresses in several attributes of the product.
pub(crate) fn strip_mailto(text: &str) -> &str {
    match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &text[7..],
        _ => text,
    }
}

/// `host`, `host:port`, or an address in place of the host, in brackets or not.
fn is_host(text: &str) -> bool {
    let is_name = |host: &str| {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Domain::parse(host).is_ok() || address.parse::<std::net::IpAddr>().is_ok()
    };
    let with_port = || {
        let (host, port) = text.rsplit_once(':')?;
        Some(is_name(host) && port.parse::<u16>().is_ok())
    };
    is_name(text) || with_port().unwrap_or_default()
}
