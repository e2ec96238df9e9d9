//! The substitutions of a template: text built from the address.

use hooks::{OnFailure, PluginName, RewriteRequest};
use mail_types::Lookup;

use super::plugin::{Heard, Link};

/// Longest text one template may build, in octets.
pub const EXPANSION_MAX: usize = 1024;

/// One part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands; `$$`, `$%`, `$@` are of this kind.
    Text(Box<str>),
    /// `$U`: the local part.
    User,
    /// `$0U`: the local part without its subaddress.
    UserWithoutDetail,
    /// `$1U`: the subaddress with its separator, so that `$0U$1U` is `$U`.
    Detail,
    /// `$D`, `$nD`: what the pattern matched, without its n leftmost labels.
    Domain(usize),
    /// `$H`, `$nH`: what it did not match, without its n leftmost labels.
    Host(usize),
    /// `$L`: what an address literal has beyond the pattern.
    LiteralRest,
    /// `$&n`: label n of the unmatched part, from the left.
    HostFromLeft(usize),
    /// `$!n`: label n of the unmatched part, from the right.
    HostFromRight(usize),
    /// `$*n`: label n of the matched part, from the left.
    DomainFromLeft(usize),
    /// `$#n`: label n of the matched part, from the right.
    DomainFromRight(usize),
    /// `$\`, `$^`, `$_`: the case of what follows.
    Case(Case),
    /// `$W`: a string never used before.
    Unique,
    /// `$(key)`: the general table's value; the rule fails where it has none.
    General(Box<[Piece]>),
}

/// What becomes of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// As they came.
    Original,
    /// Lower.
    Lower,
    /// Upper.
    Upper,
}

/// What a pattern made of an address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Matched<'a> {
    /// The local part, unquoted.
    pub user: &'a str,
    /// The unmatched part, left (`$H`).
    pub host: &'a str,
    /// The matched part (`$D`).
    pub domain: &'a str,
    /// The unmatched part of a literal (`$L`).
    pub literal: &'a str,
    /// Between user and detail.
    pub separator: char,
}

/// What substitutions, controls and calls of plugins may ask of the world.
pub trait Facts {
    /// Whether a domain is local by the directory (`$V`, `$Z`).
    fn is_local(&self, domain: &str) -> Lookup<()>;
    /// A value of the general table (`$(key)`).
    fn general(&self, key: &str) -> Lookup<String>;
    /// A number never given before (`$W`).
    fn unique(&self) -> u64;
    /// Whether any domain may have a chain of plugins: where not, [`Facts::chain`] is not asked.
    fn has_chains(&self) -> bool;
    /// The plugins that are asked about addresses of a domain before the rules are, in order.
    fn chain(&self, domain: &str) -> Lookup<Vec<Link>>;
    /// What a plugin says of an address; `then` are those of its chain who are asked after it.
    fn hear(&self, plugin: &PluginName, request: &RewriteRequest, then: &[Link]) -> Heard;
    /// What becomes of mail for an address that a plugin's answers lead round in a circle.
    fn on_failure(&self, plugin: &PluginName) -> OnFailure;
}

/// Why a template gave no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A label, a key or a length that is not there: the rule fails.
    Part(String),
    /// The general table did not answer.
    Unavailable(String),
}

/// Splits a local part at its first separator; the user part is never empty.
#[must_use]
pub fn split_detail(user: &str, separator: char) -> (&str, &str) {
    match user.char_indices().skip(1).find(|(_, c)| *c == separator) {
        Some((at, _)) => user.split_at(at),
        None => (user, ""),
    }
}

/// Appends what the pieces give to `out`.
pub fn expand(
    pieces: &[Piece],
    matched: &Matched<'_>,
    facts: &dyn Facts,
    out: &mut String,
) -> Result<(), Missing> {
    let mut case = Case::Original;
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Case(wanted) => case = *wanted,
            Piece::Unique => out.push_str(&format!("{:016x}", facts.unique())),
            Piece::General(key) => {
                let mut name = String::new();
                expand(key, matched, facts, &mut name)?;
                match facts.general(&name) {
                    Lookup::Found(value) => push(out, &value, case),
                    Lookup::NotFound => {
                        return Err(Missing::Part(format!("the general table has no {name:?}")));
                    }
                    Lookup::Unavailable(why) => return Err(Missing::Unavailable(why)),
                }
            }
            piece => push(out, part(piece, matched)?, case),
        }
        if out.len() > EXPANSION_MAX {
            return Err(Missing::Part(format!("the result is longer than {EXPANSION_MAX} octets")));
        }
    }
    Ok(())
}

fn push(out: &mut String, text: &str, case: Case) {
    match case {
        Case::Original => out.push_str(text),
        Case::Lower => out.push_str(&text.to_lowercase()),
        Case::Upper => out.push_str(&text.to_uppercase()),
    }
}

/// The slice of the address that a piece stands for.
fn part<'a>(piece: &Piece, matched: &Matched<'a>) -> Result<&'a str, Missing> {
    let no_label = |n: usize| Missing::Part(format!("there is no label {n}"));
    let labels = |text: &'a str| text.strip_prefix('.').unwrap_or(text);
    let left = |text: &'a str, n: usize| {
        let text = labels(text);
        if text.is_empty() { None } else { text.split('.').nth(n) }
    };
    let right = |text: &'a str, n: usize| {
        let text = labels(text);
        if text.is_empty() { None } else { text.rsplit('.').nth(n) }
    };
    match *piece {
        Piece::User => Ok(matched.user),
        Piece::UserWithoutDetail => Ok(split_detail(matched.user, matched.separator).0),
        Piece::Detail => Ok(split_detail(matched.user, matched.separator).1),
        Piece::Domain(0) => Ok(matched.domain),
        Piece::Host(0) => Ok(matched.host),
        Piece::Domain(n) => without(labels(matched.domain), n).ok_or_else(|| no_label(n)),
        Piece::Host(n) => without(labels(matched.host), n).ok_or_else(|| no_label(n)),
        Piece::LiteralRest => Ok(matched.literal),
        Piece::HostFromLeft(n) => left(matched.host, n).ok_or_else(|| no_label(n)),
        Piece::HostFromRight(n) => right(matched.host, n).ok_or_else(|| no_label(n)),
        Piece::DomainFromLeft(n) => left(matched.domain, n).ok_or_else(|| no_label(n)),
        Piece::DomainFromRight(n) => right(matched.domain, n).ok_or_else(|| no_label(n)),
        Piece::Text(_) | Piece::Case(_) | Piece::Unique | Piece::General(_) => Ok(""),
    }
}

/// A name without its n leftmost labels; `None` where that leaves nothing.
fn without(text: &str, n: usize) -> Option<&str> {
    let mut rest = text;
    for _ in 0..n {
        rest = rest.split_once('.')?.1;
    }
    Some(rest)
}
