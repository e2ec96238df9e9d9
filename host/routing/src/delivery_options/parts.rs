//! The action of a template: which address or name it makes, and for which channel.

use mail_types::{Address, ChannelName, Domain, LocalPart};

use super::{Ways, error};
use crate::rewrite::substitution::split_detail;
use crate::rewrite::tags::Target;
use crate::rewrite::template::TemplateError;
use crate::tables::row::Detail;

/// What a template does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Off,
    /// What `forward` does.
    Forwarding,
    /// What `members` does.
    Members,
    /// What `mailbox` does.
    Mailbox,
    /// The address goes the way of every address.
    Again(Parts),
    /// The address leaves by a channel.
    Out(ChannelName, Parts),
    /// A channel works on behalf of the account.
    Account(ChannelName),
    /// The same, with the name of something registered.
    Named(ChannelName, Name),
}

/// How an address is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    local: Vec<Piece>,
    domain: Vec<Piece>,
}

/// How a name is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Local,
    LocalAlone,
    Detail,
    Domain,
    AccountLocal,
    AccountDomain,
    Each(Each),
}

/// An attribute whose every value makes a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Each {
    /// `$P`.
    Program,
    /// `$F`.
    File,
    /// `$S`.
    Shared,
}

impl Each {
    /// What it is called in the directory.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Program => "mailProgramDeliveryInfo",
            Self::File => "mailDeliveryFileURL",
            Self::Shared => "wasmtaSharedMailbox",
        }
    }

    fn values(self, detail: &Detail) -> &[String] {
        match self {
            Self::Program => &detail.programs,
            Self::File => &detail.files,
            Self::Shared => &detail.shared,
        }
    }
}

/// What a template is filled in with.
#[derive(Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) address: &'a Address,
    pub(crate) account: &'a str,
    pub(crate) detail: &'a Detail,
    pub(crate) separator: char,
}

impl Filling<'_> {
    fn fill(&self, pieces: &[Piece], value: &str) -> String {
        let local = self.address.local.as_str();
        let (alone, detail) = split_detail(local, self.separator);
        let (account, of) = self.account.rsplit_once('@').unwrap_or((self.account, ""));
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Local => local.to_owned(),
            Piece::LocalAlone => alone.to_owned(),
            Piece::Detail => detail.to_owned(),
            Piece::Domain => self.address.domain.to_string(),
            Piece::AccountLocal => account.to_owned(),
            Piece::AccountDomain => of.to_owned(),
            Piece::Each(_) => value.to_owned(),
        };
        pieces.iter().map(text).collect()
    }

    /// The results, one for each value that is filled in; the attribute, where it has none.
    fn each(&self, pieces: &[&[Piece]], mut build: impl FnMut(&str)) -> Result<(), Each> {
        let Some(each) = each_of(pieces) else {
            build("");
            return Ok(());
        };
        let values = each.values(self.detail);
        values.iter().for_each(|value| build(value));
        if values.is_empty() { Err(each) } else { Ok(()) }
    }
}

impl Parts {
    /// The addresses; `Err` within is what was built and is none.
    pub(crate) fn addresses(&self, filling: &Filling<'_>) -> Result<Vec<Result<Address, String>>, Each> {
        let mut addresses = Vec::new();
        filling.each(&[&self.local, &self.domain], |value| {
            let (local, domain) = (filling.fill(&self.local, value), filling.fill(&self.domain, value));
            let address = LocalPart::new(local.as_str()).ok().zip(Domain::parse(&domain).ok());
            let address = address.map(|(local, domain)| Address::new(local, domain));
            addresses.push(address.ok_or_else(|| format!("{local}@{domain}")));
        })?;
        Ok(addresses)
    }
}

impl Name {
    /// The names.
    pub(crate) fn all(&self, filling: &Filling<'_>) -> Result<Vec<String>, Each> {
        let mut names = Vec::new();
        filling.each(&[&self.0], |value| names.push(filling.fill(&self.0, value)))?;
        Ok(names)
    }
}

fn each_of(pieces: &[&[Piece]]) -> Option<Each> {
    pieces.iter().copied().flatten().find_map(|piece| match piece {
        Piece::Each(each) => Some(*each),
        _ => None,
    })
}

impl Action {
    pub(super) fn parse(text: &str, ways: Ways<'_>) -> Result<Self, TemplateError> {
        match text {
            "off" => return Ok(Self::Off),
            "**" => return Ok(Self::Forwarding),
            "members" => return Ok(Self::Members),
            _ => {}
        }
        let (sections, separators) = sections(text)?;
        let several = each_of(&sections.iter().map(Vec::as_slice).collect::<Vec<_>>());
        if sections.iter().flatten().any(|piece| matches!(piece, Piece::Each(each) if Some(*each) != several))
        {
            return error("$P, $F and $S do not go together", "write an option for each");
        }
        let tag = |pieces: &[Piece]| match pieces {
            [Piece::Text(text)] => ways.tags.target(text).cloned(),
            _ => None,
        };
        let mut sections = sections.into_iter();
        let mut next = || sections.next().unwrap_or_default();
        match separators.as_str() {
            "@" => {
                let (local, destination) = (next(), next());
                match tag(&destination) {
                    Some(target) => Self::by_tag(local, target, ways),
                    None => Self::again(local, destination),
                }
            }
            "%@" => {
                let (local, domain, destination) = (next(), next(), next());
                match tag(&destination) {
                    Some(Target::Local) => Self::again(local, domain),
                    Some(Target::Channel(channel)) => Ok(Self::Out(channel, Parts::new(local, domain)?)),
                    None => error(
                        format!("no channel has the name after the last @ of {text:?}"),
                        format!("write one of: {}", ways.tags.names().join(", ")),
                    ),
                }
            }
            _ => error(
                format!("{text:?} is no template"),
                "write LOCAL@DOMAIN, LOCAL%DOMAIN@CHANNEL, @CHANNEL, NAME@CHANNEL, \"**\", \"members\" or \"off\"",
            ),
        }
    }

    fn by_tag(name: Vec<Piece>, target: Target, ways: Ways<'_>) -> Result<Self, TemplateError> {
        match target {
            Target::Local if name.is_empty() => Ok(Self::Mailbox),
            Target::Local => error("an address here needs its domain", "write LOCAL@DOMAIN"),
            Target::Channel(channel) if (ways.is_remote)(&channel) => error(
                format!("the channel {channel} leads to other hosts: which address do they get?"),
                format!("write LOCAL%DOMAIN@{channel}, as \"$U%$D@{channel}\""),
            ),
            Target::Channel(channel) if name.is_empty() => Ok(Self::Account(channel)),
            Target::Channel(channel) => Ok(Self::Named(channel, Name(name))),
        }
    }

    fn again(local: Vec<Piece>, domain: Vec<Piece>) -> Result<Self, TemplateError> {
        if let [Piece::Text(text)] = domain.as_slice()
            && !text.contains('.')
        {
            return error(
                format!("{text:?} is no channel, and no domain either: it has no dot"),
                "see [channels] for the names of channels",
            );
        }
        Ok(Self::Again(Parts::new(local, domain)?))
    }
}

impl Parts {
    fn new(local: Vec<Piece>, domain: Vec<Piece>) -> Result<Self, TemplateError> {
        if local.is_empty() || domain.is_empty() {
            return error("the address has no local part, or no domain", "as \"$U%$D@channel\"");
        }
        if let [Piece::Text(text)] = domain.as_slice()
            && let Err(why) = Domain::parse(text)
        {
            return error(format!("{text:?}: {why}"), "write a domain, or $D or $I");
        }
        Ok(Self { local, domain })
    }
}

/// The parts between unquoted `%` and `@`, and these.
fn sections(text: &str) -> Result<(Vec<Vec<Piece>>, String), TemplateError> {
    let (mut sections, mut separators) = (vec![Vec::new()], String::new());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        let piece = match sign {
            '%' | '@' => {
                separators.push(sign);
                sections.push(Vec::new());
                continue;
            }
            '$' => substitution(&mut signs)?,
            sign if sign.is_whitespace() || sign.is_control() => {
                return error("there is a space in it", "take it out");
            }
            sign => Piece::Text(sign.to_string()),
        };
        let Some(section) = sections.last_mut() else { continue };
        match (section.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (_, piece) => section.push(piece),
        }
    }
    Ok((sections, separators))
}

fn substitution(signs: &mut std::str::Chars<'_>) -> Result<Piece, TemplateError> {
    let first = signs.next();
    let piece = match first {
        Some('0') if signs.as_str().starts_with('U') => Piece::LocalAlone,
        Some('1') if signs.as_str().starts_with('U') => Piece::Detail,
        Some('U') => return Ok(Piece::Local),
        Some('D') => return Ok(Piece::Domain),
        Some('M') => return Ok(Piece::AccountLocal),
        Some('I') => return Ok(Piece::AccountDomain),
        Some('P') => return Ok(Piece::Each(Each::Program)),
        Some('F') => return Ok(Piece::Each(Each::File)),
        Some('S') => return Ok(Piece::Each(Each::Shared)),
        Some(sign @ ('$' | '%' | '@' | '*')) => return Ok(Piece::Text(sign.to_string())),
        _ => {
            let sign = first.map_or_else(String::new, String::from);
            return error(
                format!("\"${sign}\" is not known here"),
                "known are $U $0U $1U $D $M $I $P $F $S, and $$ $% $@ $* for these signs",
            );
        }
    };
    signs.next();
    Ok(piece)
}
