//! The rewrite rules: the product's language, native (R30, R48, R52).
//!
//! A rule is `pattern template`. The host of an address is looked up among the patterns, most specific
//! first; the template of the rule that fires gives a new local part, a new domain and the tag of a channel.
//! One noun a file: [`pattern`] (left side), [`template`] (right side), [`substitution`], [`control`] and [`call`] (the
//! `$` sequences within it), [`rules`] (the file), [`engine`] (finding the rule that fires; `apply` does it),
//! [`plugin`] (what plugins make of an address).
//!
//! Where the product leaves a thing open, we read it thus:
//! - Blank lines are allowed between rules: the file holds nothing but rules.
//! - Controls of one family that contradict each other (`$E` with `$B`) are refused when the file is read.
//! - A template that names a channel nobody has is refused when the file is read, not when mail bounces by it.
//! - A rule whose result is no valid address fails, and the next one is tried.
//! - `$%` and `$!` look into local parts only after the address turned out to be local, and only where the file
//!   has such a pattern: a foreign local part is not ours to read (RFC 5321 §2.3.11).
//! - Source routes are not written on the wire (RFC 5321 Appendix C); `A@B@C@D` hands over to host C instead.

mod apply;
pub mod call;
pub mod control;
pub mod engine;
pub mod message;
pub mod pattern;
pub mod plugin;
pub mod rules;
pub mod substitution;
pub mod tags;
pub mod template;
pub mod unroutable;

#[cfg(test)]
mod tests;
