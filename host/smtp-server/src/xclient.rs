//! XCLIENT: what a trusted front end tells of the client behind it.

use std::net::{IpAddr, Ipv4Addr};

use mail_types::AccountName;
use smtp_wire::XclientAttributes;

use crate::answer::Answer;
use crate::session::Client;

/// The address of a client whom the front end does not know.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Takes the attributes over. The session begins anew: hello and authentication are forgotten, except
/// for what the front end tells of them.
pub(crate) fn apply(attributes: &XclientAttributes, client: &mut Client) -> Result<(), Answer> {
    let account = match attributes.login.as_ref().and_then(|login| login.known()) {
        None => None,
        Some(login) => {
            let refused = Answer::Line("501 5.5.4 LOGIN is not an account's name");
            Some(AccountName::new(login).ok_or(refused)?)
        }
    };
    if let Some(addr) = &attributes.addr {
        // An unknown client has none of the rights of its front end: no network holds this address.
        client.address.set_ip(addr.known().map_or(UNKNOWN, |address| address.to_canonical()));
        // What was known of another address is not true of this one.
        client.name = None;
        client.hello_told = None;
    }
    if let Some(port) = attributes.port.as_ref().and_then(|port| port.known()) {
        client.address.set_port(*port);
    }
    if let Some(name) = &attributes.name {
        client.name = name.known().cloned();
    }
    if let Some(hello) = &attributes.helo {
        client.hello_told = hello.known().cloned();
    }
    client.hello = None;
    client.account = account;
    client.identity = None;
    Ok(())
}
