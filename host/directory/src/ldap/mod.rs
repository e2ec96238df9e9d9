//! The LDAP side of the directory: servers, connections, searches, edits (R2, R4). The only module that names `ldap3`.
//!
//! What a server sends is material, not truth: it is read without trust ([`answer`]), and whatever is asked runs in a
//! task of its own, because the library panics at octets that are no LDAP.

pub(crate) mod answer;
pub(crate) mod chase;
pub(crate) mod connection;
mod elsewhere;
pub(crate) mod failure;
pub(crate) mod filter;
pub(crate) mod own_password;
pub(crate) mod reference;
pub(crate) mod servers;
pub(crate) mod settings;
