//! XCLIENT: a trusted front end tells whom it speaks for (Postfix's `XCLIENT_README`).

use std::fmt::Write as _;
use std::net::IpAddr;

use mail_types::{decode_xtext, encode_xtext};

use crate::error::CommandError;

/// A value that the front end may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XclientValue<T> {
    /// The value.
    Known(T),
    /// `[UNAVAILABLE]`: there is none.
    Unavailable,
    /// `[TEMPUNAVAIL]`: it could not be found out now.
    TemporarilyUnavailable,
}

impl<T> XclientValue<T> {
    /// The value, where it is known.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unavailable | Self::TemporarilyUnavailable => None,
        }
    }
}

/// The attributes of one XCLIENT command; those not given stay as they were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct XclientAttributes {
    /// NAME: the client's host name.
    pub name: Option<XclientValue<String>>,
    /// ADDR: the client's IP address.
    pub addr: Option<XclientValue<IpAddr>>,
    /// PORT: the client's TCP port.
    pub port: Option<XclientValue<u16>>,
    /// HELO: the name in the client's hello.
    pub helo: Option<XclientValue<String>>,
    /// LOGIN: the account as which the client has authenticated.
    pub login: Option<XclientValue<String>>,
    /// PROTO: SMTP or ESMTP.
    pub proto: Option<XclientValue<String>>,
    /// DESTADDR: the front end's own address.
    pub destaddr: Option<XclientValue<IpAddr>>,
    /// DESTPORT: the front end's own port.
    pub destport: Option<XclientValue<u16>>,
}

const SYNTAX: CommandError = CommandError::Syntax("XCLIENT attribute=value ...");

impl XclientAttributes {
    /// The names for the EHLO reply.
    pub const NAMES: &'static str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

    /// Reads `1*(SP attribute-name "=" xtext)`.
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut read = Self::default();
        let mut any = false;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or(SYNTAX)?;
            let plain = decode_xtext(value).ok_or(CommandError::ParameterValue("XCLIENT"))?;
            any = true;
            match name.to_ascii_uppercase().as_str() {
                "NAME" => put(&mut read.name, &plain, "NAME", word_of_text),
                "ADDR" => put(&mut read.addr, &plain, "ADDR", ip),
                "PORT" => put(&mut read.port, &plain, "PORT", |text| text.parse().ok()),
                "HELO" => put(&mut read.helo, &plain, "HELO", word_of_text),
                "LOGIN" => put(&mut read.login, &plain, "LOGIN", |text| Some(text.to_owned())),
                "PROTO" => put(&mut read.proto, &plain, "PROTO", word_of_text),
                "DESTADDR" => put(&mut read.destaddr, &plain, "DESTADDR", ip),
                "DESTPORT" => put(&mut read.destport, &plain, "DESTPORT", |text| text.parse().ok()),
                _ => Err(CommandError::UnknownParameter(name.to_owned())),
            }?;
        }
        if any { Ok(read) } else { Err(SYNTAX) }
    }

    pub(crate) fn encode(&self, line: &mut String) {
        line.push_str("XCLIENT");
        let ip = |ip: &IpAddr| if ip.is_ipv6() { format!("IPV6:{ip}") } else { ip.to_string() };
        let text = String::clone;
        write_value(line, "NAME", self.name.as_ref(), text);
        write_value(line, "ADDR", self.addr.as_ref(), ip);
        write_value(line, "PORT", self.port.as_ref(), u16::to_string);
        write_value(line, "HELO", self.helo.as_ref(), text);
        write_value(line, "LOGIN", self.login.as_ref(), text);
        write_value(line, "PROTO", self.proto.as_ref(), text);
        write_value(line, "DESTADDR", self.destaddr.as_ref(), ip);
        write_value(line, "DESTPORT", self.destport.as_ref(), u16::to_string);
    }
}

fn put<T>(
    into: &mut Option<XclientValue<T>>,
    plain: &str,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(), CommandError> {
    if into.is_some() {
        return Err(CommandError::DuplicateParameter(name));
    }
    *into = Some(match plain.to_ascii_uppercase().as_str() {
        "[UNAVAILABLE]" => XclientValue::Unavailable,
        "[TEMPUNAVAIL]" => XclientValue::TemporarilyUnavailable,
        _ => XclientValue::Known(read(plain).ok_or(CommandError::ParameterValue(name))?),
    });
    Ok(())
}

fn word_of_text(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= mail_types::DOMAIN_MAX
        && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// `IPV6:` stands before IPv6 addresses.
fn ip(text: &str) -> Option<IpAddr> {
    match text.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("IPV6:") => text[5..].parse().ok().map(IpAddr::V6),
        _ => text.parse().ok(),
    }
}

fn write_value<T>(
    line: &mut String,
    name: &str,
    value: Option<&XclientValue<T>>,
    print: impl Fn(&T) -> String,
) {
    let text = match value {
        None => return,
        Some(XclientValue::Known(value)) => encode_xtext(&print(value)),
        Some(XclientValue::Unavailable) => "[UNAVAILABLE]".to_owned(),
        Some(XclientValue::TemporarilyUnavailable) => "[TEMPUNAVAIL]".to_owned(),
    };
    let _ = write!(line, " {name}={text}");
}
