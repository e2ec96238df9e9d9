//! The left side of a rule: which hosts it is for.

use mail_types::Domain;

/// Longest rewrite tag, in octets.
pub const TAG_MAX: usize = 32;
/// Most wildcard labels in one pattern.
pub const WILDCARDS_MAX: usize = 10;

/// A pattern, already brought to the form in which it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The rewrite tag in front of it, `|` included; empty as a rule.
    pub tag: Box<str>,
    /// What it matches.
    pub shape: Shape,
}

/// What a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `$*`: every address, before all other patterns.
    Any,
    /// `$%`: `user%host` in a local part of ours.
    Percent,
    /// `$!`: `host!user` in a local part of ours.
    Bang,
    /// `host.example`: exactly this host.
    Host(Box<str>),
    /// `.example`: every host below; not `example` itself.
    Below(Box<str>),
    /// `*.*.example`: exactly so many labels below.
    Labels(usize, Box<str>),
    /// `[192.0.2.1]`: this address literal.
    Literal(Box<str>),
    /// `[192.0.]`: literals that begin so; `[]` for all.
    LiteralBelow(Box<str>),
    /// `.`: whatever nothing else matched.
    Everything,
}

impl Pattern {
    /// Reads a pattern. The error says what is wrong, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let at = text.rfind('|').map_or(0, |bar| bar + 1);
        let (tag, rest) = text.split_at(at);
        if tag.len() > TAG_MAX {
            return Err((
                format!("the tag {tag:?} is longer than {TAG_MAX} octets"),
                "shorten it".to_owned(),
            ));
        }
        Ok(Self { tag: tag.to_ascii_lowercase().into(), shape: Shape::parse(rest)? })
    }

    /// The key under which the engine looks it up.
    #[must_use]
    pub fn key(&self) -> Box<str> {
        format!("{}{}", self.tag, self.shape.key()).into()
    }
}

impl Shape {
    fn parse(text: &str) -> Result<Self, (String, String)> {
        match text {
            "$*" => return Ok(Self::Any),
            "$%" => return Ok(Self::Percent),
            "$!" => return Ok(Self::Bang),
            "." => return Ok(Self::Everything),
            _ => {}
        }
        if text.starts_with('$') {
            return Err((
                format!("the pattern {text:?} is not known"),
                "use $* (any), $% (percent hack), $! (bang), a host, .domain, [literal] or . (the rest)"
                    .to_owned(),
            ));
        }
        if text.starts_with('[') {
            return Self::literal(text);
        }
        if let Some(rest) = text.strip_prefix('.') {
            return Ok(Self::Below(format!(".{}", domain(rest)?).into()));
        }
        if text.contains('*') {
            return Self::labels(text);
        }
        Ok(Self::Host(domain(text)?.into()))
    }

    fn literal(text: &str) -> Result<Self, (String, String)> {
        if text == "[]" {
            return Ok(Self::LiteralBelow("[]".into()));
        }
        if let Ok(domain) = Domain::parse(text) {
            return Ok(Self::Literal(domain.as_str().into()));
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(".]"));
        let fields: Vec<&str> = inner.unwrap_or_default().split('.').collect();
        if inner.is_some() && fields.len() <= 3 && fields.iter().all(|field| field.parse::<u8>().is_ok()) {
            return Ok(Self::LiteralBelow(text.into()));
        }
        Err((
            format!("{text:?} is no address literal and no part of one"),
            "write [192.0.2.1], [192.0.2.], [192.0.], [192.], [] or [ipv6:…]".to_owned(),
        ))
    }

    fn labels(text: &str) -> Result<Self, (String, String)> {
        let mut rest = text;
        let mut count = 0;
        while let Some(tail) = rest.strip_prefix('*') {
            count += 1;
            rest = tail.strip_prefix('.').unwrap_or(tail);
            if tail.len() == rest.len() {
                break;
            }
        }
        if rest.contains('*') || count > WILDCARDS_MAX {
            return Err((
                format!("{text:?}: a wildcard stands for whole labels at the left end"),
                "write *.example.org or *.*.example.org".to_owned(),
            ));
        }
        let suffix = if rest.is_empty() { String::new() } else { format!(".{}", domain(rest)?) };
        Ok(Self::Labels(count, suffix.into()))
    }

    /// The pattern's text in canonical form.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Any => "$*".to_owned(),
            Self::Percent => "$%".to_owned(),
            Self::Bang => "$!".to_owned(),
            Self::Everything => ".".to_owned(),
            Self::Host(text) | Self::Below(text) | Self::Literal(text) | Self::LiteralBelow(text) => {
                text.to_string()
            }
            Self::Labels(count, suffix) => format!("{}{suffix}", vec!["*"; *count].join(".")),
        }
    }
}

fn domain(text: &str) -> Result<String, (String, String)> {
    match Domain::parse(text) {
        Ok(domain) => Ok(domain.as_str().to_owned()),
        Err(error) => Err((format!("the pattern does not fit: {error}"), "write a domain name".to_owned())),
    }
}
