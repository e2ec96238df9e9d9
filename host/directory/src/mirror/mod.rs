//! The tree as the mirror of a source (R32, R36): what an LDAP server says is kept here, in the embedded tree, and
//! everything downstream reads it as if it had been written here.
//!
//! Three ways keep it up: a *full* sync compares everything ([`full`]), an *incremental* one asks for what was modified
//! since ([`incremental`], Table 1), a *live* one is told of each change as it happens ([`live`], RFC 4533). A miss is
//! asked about once ([`miss`], R20); edits are written through ([`remote`]). All of them come down to [`apply`], which
//! writes only what differs.

mod applied;
pub(crate) mod apply;
mod cookie;
pub(crate) mod difference;
mod first;
mod followed;
pub(crate) mod found;
pub(crate) mod full;
pub(crate) mod generalized;
pub(crate) mod guard;
pub(crate) mod history;
mod identity;
mod incremental;
pub(crate) mod live;
pub(crate) mod mirrors;
pub(crate) mod miss;
pub(crate) mod origin;
pub(crate) mod owners;
mod pages;
mod places;
pub(crate) mod records;
mod refusing;
mod remote;
mod run;
mod settle;
pub(crate) mod source;
mod swap;
mod taken;
#[cfg(test)]
pub(crate) mod tests;
mod wanted;
mod written;
