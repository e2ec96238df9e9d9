//! A mirror that no sync runs in, for what its parts do by themselves.

use std::time::Duration;

use events::Events;
use runtime::{Background, Clock};

use super::apply::tests::open;
use super::found::{Found, digest};
use super::mirrors::Mirrors;
use super::source::{Mirror, MirrorOptions, SyncMode};
use crate::dn::Dn;
use crate::entry::Entry;
use crate::ldap::settings::{LdapOptions, Referrals};

/// A source that nobody follows and that has no server.
pub(crate) fn options() -> MirrorOptions {
    let second = Duration::from_secs(1);
    MirrorOptions {
        name: "ldap".to_owned(),
        domains: Vec::new(),
        dc_suffix: Dn::root(),
        ldap: LdapOptions {
            servers: Vec::new(),
            start_tls: false,
            authorities: None,
            bind_dn: None,
            password_file: None,
            connect_timeout: second,
            operation_timeout: second,
            connections_max: 1,
            page_size: 1,
            referrals: Referrals::Refuse,
            referral_servers: Vec::new(),
        },
        bases: Vec::new(),
        mode: SyncMode::Manual,
        incremental_every: second,
        full_every: second,
        overlap: second,
        removals_free: 10,
        removals_percent_max: 20,
        miss_timeout: second,
        misses_max: 1,
        miss_remembered: second,
        writable: false,
    }
}

/// A mirror of an empty tree, of everything below `o=isp`.
pub(crate) fn mirror(dir: &std::path::Path, options: MirrorOptions) -> (Mirrors, Mirror) {
    let options = MirrorOptions { bases: vec![Dn::parse("o=isp").unwrap()], ..options };
    let clock = Clock::system();
    let means = (&clock, &Events::counting(clock.clone()));
    let mirrors = Mirrors::new(open(dir), vec![options], means, &Background::start().unwrap()).unwrap();
    let mirror = mirrors.all()[0].clone();
    (mirrors, mirror)
}

/// A user as the source shows it, with an address and further octets.
pub(crate) fn user(number: u32, mail: &str, octets: usize) -> Found {
    let dn = Dn::parse(&format!("uid=u{number},o=isp")).unwrap();
    let mut entry = Entry::new(dn).with("objectClass", "inetMailUser").with("mail", mail);
    if octets > 0 {
        entry.add("description", vec![b'x'; octets]);
    }
    let mut uuid = [0; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    Found { content: digest(&entry), entry, uuid: Some(uuid), modified: None, version: "1".to_owned() }
}
