//! The right side of a rule: what becomes of the address, and under which conditions.
//!
//! ```text
//! template = user "%" domain "@" tag       ; ordinary: new address, channel; done
//!          / user "@" tag                  ; short for user%tag@tag
//!          / user "%" domain               ; rewrite the new address again
//!          / user "@" domain "@" route [ "@" tag ]   ; hand over to host "route" (refused by default)
//!          / "$?" text                     ; refuse with this text
//!          / "$[" plugin "," function "," argument "]"     ; as the plugin says
//! ```
//! `$` sequences stand anywhere in it: see [`super::substitution`] and [`super::control`].

use mail_types::EnhancedStatus;

use super::call::Call;
use super::control::{Controls, Direction, Place, Position};
use super::message::{Message, message_end, status};
use super::substitution::{Case, Piece};
use super::tags::{ChannelTags, Target};

/// Longest template, in octets.
pub const TEMPLATE_MAX: usize = 1024;
/// Deepest nesting of `$(…)`.
const NESTING_MAX: usize = 4;

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Builds the new local part.
    pub user: Box<[Piece]>,
    /// Builds the new domain.
    pub domain: Box<[Piece]>,
    /// What follows.
    pub form: Form,
    /// When it applies.
    pub controls: Controls,
    /// `$?`: what to say where no rule takes the address; sticks from here on.
    pub message: Option<Message>,
    /// `$T`: the tag from here on.
    pub set_tag: Option<Box<str>>,
}

/// What follows a template's application.
#[derive(Debug, Clone)]
pub enum Form {
    /// Rewriting goes on with the new address.
    Again,
    /// The address is final.
    Route {
        /// The channel.
        tag: Tag,
        /// The host to hand over to first.
        via: Option<Box<[Piece]>>,
    },
    /// The address is refused with the template's message.
    Refuse,
    /// A plugin says.
    Call(Call),
}

/// The channel tag of a template.
#[derive(Debug, Clone)]
pub enum Tag {
    /// Written out; known since the file was read.
    Known(Target),
    /// Built from the address.
    Built(Box<[Piece]>),
}

/// What is wrong with a template, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub mend: String,
}

pub(super) fn error<T>(problem: impl Into<String>, mend: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError { problem: problem.into(), mend: mend.into() })
}

/// What a template may use.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// The channels.
    pub tags: &'a ChannelTags,
    /// Whether `A@B@C@D` is taken.
    pub source_routes: bool,
    /// Whether there is a general table for `$(key)`.
    pub general: bool,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str, allowed: Allowed<'_>) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_MAX {
            return error(
                format!("the template is longer than {TEMPLATE_MAX} octets"),
                "split the rule with A%B",
            );
        }
        let mut reader = Reader {
            rest: text,
            allowed,
            sections: vec![Vec::new()],
            separators: String::new(),
            controls: Controls::default(),
            message: None,
            set_tag: None,
            call: None,
        };
        reader.read()?;
        reader.finish()
    }
}

pub(super) struct Reader<'a> {
    pub(super) rest: &'a str,
    allowed: Allowed<'a>,
    sections: Vec<Vec<Piece>>,
    separators: String,
    controls: Controls,
    message: Option<Message>,
    set_tag: Option<Box<str>>,
    pub(super) call: Option<Call>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), TemplateError> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '$' => {
                    self.rest = &self.rest[1..];
                    self.sequence()?;
                }
                '%' | '@' => {
                    self.rest = &self.rest[1..];
                    self.separators.push(c);
                    self.sections.push(Vec::new());
                }
                c if c.is_whitespace() => {
                    return error(
                        "a space stands within the template",
                        "take it out; only $?text may have spaces",
                    );
                }
                _ => {
                    let end = self.rest.find(['$', '%', '@', ' ', '\t']).unwrap_or(self.rest.len());
                    let text = self.take(end);
                    self.push(Piece::Text(text.into()));
                }
            }
        }
        Ok(())
    }

    pub(super) fn take(&mut self, end: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(end);
        self.rest = tail;
        head
    }

    fn push(&mut self, piece: Piece) {
        if let Some(section) = self.sections.last_mut() {
            section.push(piece);
        }
    }

    /// What follows a `$`.
    fn sequence(&mut self) -> Result<(), TemplateError> {
        if let Some(piece) = self.substitution(0)? {
            self.push(piece);
            return Ok(());
        }
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = self.take(digits);
        let Some(letter) = self.rest.chars().next() else {
            return error("the template ends in a lone \"$\"", "write $$ for a dollar sign");
        };
        self.rest = &self.rest[letter.len_utf8()..];
        match (letter.to_ascii_uppercase(), number) {
            ('?', number) => self.message(number),
            ('M', "1") => self.reprocessing(true),
            ('N', "1") => self.reprocessing(false),
            (letter @ ('E' | 'B' | 'F' | 'R'), "") => self.side(letter),
            ('A', "") => self.position(Position::At),
            ('P', "") => self.position(Position::Percent),
            ('S', "") => self.position(Position::SourceRoute),
            ('X', "") => self.position(Position::Bang),
            (letter @ ('M' | 'N' | 'Q' | 'C'), "") => self.channel(letter),
            ('T', "") => self.tag(),
            (letter @ ('V' | 'Z'), "") => self.locality(letter),
            ('[', "") => self.call(),
            (']', "") => error(
                "$]…[ asks an LDAP server for each message",
                "use $V for domains and the alias table for addresses",
            ),
            ('{', "") => {
                error("${…} names a mapping table, and none are loaded", "use $(key) with the general table")
            }
            _ => error(format!("${number}{letter} is not known"), "write $$ for a dollar sign"),
        }
    }

    /// A substitution at the cursor (after its `$`); `None`, and nothing consumed, where it is none.
    pub(super) fn substitution(&mut self, depth: usize) -> Result<Option<Piece>, TemplateError> {
        let text = self.rest;
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: Option<usize> = if digits == 0 { None } else { text[..digits].parse().ok() };
        let Some(letter) = text[digits..].chars().next() else { return Ok(None) };
        let piece = match (letter.to_ascii_uppercase(), number) {
            ('U', None) => Piece::User,
            ('U', Some(0)) => Piece::UserWithoutDetail,
            ('U', Some(1)) => Piece::Detail,
            ('D', n) => Piece::Domain(n.unwrap_or(0)),
            ('H', n) => Piece::Host(n.unwrap_or(0)),
            ('L', None) => Piece::LiteralRest,
            ('W', None) => Piece::Unique,
            ('$' | '%' | '@', None) => Piece::Text(letter.to_string().into()),
            ('\\', None) => Piece::Case(Case::Lower),
            ('^', None) => Piece::Case(Case::Upper),
            ('_', None) => Piece::Case(Case::Original),
            ('&' | '!' | '*' | '#', None) => {
                let Some(n) = text[1..].chars().next().and_then(|c| c.to_digit(10)) else {
                    return error(
                        format!("${letter} names no label"),
                        format!("write ${letter}0 to ${letter}9"),
                    );
                };
                self.rest = &text[2..];
                let n = n as usize;
                return Ok(Some(match letter {
                    '&' => Piece::HostFromLeft(n),
                    '!' => Piece::HostFromRight(n),
                    '*' => Piece::DomainFromLeft(n),
                    _ => Piece::DomainFromRight(n),
                }));
            }
            ('(', None) => {
                self.rest = &text[1..];
                return self.general(depth).map(Some);
            }
            _ => return Ok(None),
        };
        self.rest = &text[digits + letter.len_utf8()..];
        Ok(Some(piece))
    }

    /// `$(key)`, after the parenthesis; the key may itself hold substitutions.
    fn general(&mut self, depth: usize) -> Result<Piece, TemplateError> {
        if !self.allowed.general {
            return error(
                "$(…) asks the general table, and none is configured",
                "name one: routing.general-table",
            );
        }
        if depth >= NESTING_MAX {
            return error("$(…) is nested too deeply", format!("at most {NESTING_MAX} levels"));
        }
        let mut key = Vec::new();
        loop {
            match self.rest.chars().next() {
                None => return error("$( has no closing parenthesis", "add \")\""),
                Some(')') => {
                    self.rest = &self.rest[1..];
                    return Ok(Piece::General(key.into()));
                }
                Some('$') => {
                    self.rest = &self.rest[1..];
                    match self.substitution(depth + 1)? {
                        Some(piece) => key.push(piece),
                        None => return error("a control stands within $(…)", "put it outside"),
                    }
                }
                Some(_) => {
                    let end = self.rest.find(['$', ')']).unwrap_or(self.rest.len());
                    let text = self.take(end);
                    key.push(Piece::Text(text.into()));
                }
            }
        }
    }

    fn message(&mut self, number: &str) -> Result<(), TemplateError> {
        let status = match number {
            "" => EnhancedStatus::permanent(1, 2),
            number => match status(number) {
                Some(status) => status,
                None => {
                    return error(
                        format!("${number}? gives no status"),
                        "write class, subject and detail as $5001002? or $4002001?",
                    );
                }
            },
        };
        let alone = self.separators.is_empty() && self.sections[0].is_empty();
        let end = if alone { self.rest.len() } else { message_end(self.rest) };
        let text = self.take(end).trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return error("$? carries no text", "write what the sender is to read");
        }
        self.message = Some(Message { status, text: text.into() });
        Ok(())
    }

    fn reprocessing(&mut self, wanted: bool) -> Result<(), TemplateError> {
        if self.controls.reprocessing.replace(wanted).is_some_and(|before| before != wanted) {
            return error("$1M and $1N contradict each other", "leave one out");
        }
        Ok(())
    }

    fn side(&mut self, letter: char) -> Result<(), TemplateError> {
        let clash = match letter {
            'E' => self.controls.place.replace(Place::Envelope) == Some(Place::Header),
            'B' => self.controls.place.replace(Place::Header) == Some(Place::Envelope),
            'F' => self.controls.direction.replace(Direction::Forward) == Some(Direction::Backward),
            _ => self.controls.direction.replace(Direction::Backward) == Some(Direction::Forward),
        };
        if clash {
            let pair = if matches!(letter, 'E' | 'B') { "$E and $B" } else { "$F and $R" };
            return error(format!("{pair} together never hold"), "leave both out, or write two rules");
        }
        Ok(())
    }

    fn position(&mut self, position: Position) -> Result<(), TemplateError> {
        self.controls.positions.push(position);
        Ok(())
    }

    /// The name after `$M`, `$N`, `$Q`, `$C`, `$T`: up to the next separator or sequence.
    fn name(&mut self, letter: char) -> Result<&'a str, TemplateError> {
        let end = self.rest.find(['$', '%', '@']).unwrap_or(self.rest.len());
        match self.take(end) {
            "" => error(format!("${letter} is followed by no name"), format!("write ${letter}name")),
            name => Ok(name),
        }
    }

    fn channel(&mut self, letter: char) -> Result<(), TemplateError> {
        let name = self.name(letter)?;
        let name = match self.allowed.tags.target(name) {
            Some(Target::Channel(channel)) => channel.as_str().into(),
            _ => name.to_ascii_lowercase().into(),
        };
        let names = match letter {
            'M' => &mut self.controls.source_is,
            'N' => &mut self.controls.source_is_not,
            'Q' => &mut self.controls.destination_is,
            _ => &mut self.controls.destination_is_not,
        };
        names.push(name);
        Ok(())
    }

    fn tag(&mut self) -> Result<(), TemplateError> {
        let tag = self.name('T')?;
        if !tag.ends_with('|') {
            return error(format!("the tag {tag:?} does not end in \"|\""), format!("write $T{tag}|"));
        }
        self.set_tag = Some(tag.to_ascii_lowercase().into());
        Ok(())
    }

    /// `$V` and `$Z`: a domain, built of text and substitutions.
    fn locality(&mut self, letter: char) -> Result<(), TemplateError> {
        let mut words = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '%' | '@' => break,
                '$' => {
                    let before = self.rest;
                    self.rest = &self.rest[1..];
                    match self.substitution(0)? {
                        Some(piece) => words.push(piece),
                        None => {
                            self.rest = before;
                            break;
                        }
                    }
                }
                _ => {
                    let end = self.rest.find(['$', '%', '@']).unwrap_or(self.rest.len());
                    let text = self.take(end);
                    words.push(Piece::Text(text.to_ascii_lowercase().into()));
                }
            }
        }
        if words.is_empty() {
            return error(format!("${letter} is followed by no domain"), format!("write ${letter}$H"));
        }
        let list = if letter == 'V' { &mut self.controls.local } else { &mut self.controls.not_local };
        list.push(words.into());
        Ok(())
    }

    fn finish(mut self) -> Result<Template, TemplateError> {
        let mut sections = std::mem::take(&mut self.sections).into_iter();
        let mut next = || sections.next().unwrap_or_default();
        let (user, domain, form) = match self.separators.as_str() {
            "" if self.call.is_some() && next().is_empty() => {
                (Vec::new(), Vec::new(), self.call.take().map_or(Form::Refuse, Form::Call))
            }
            _ if self.call.is_some() => {
                return error(
                    "$[…] stands beside other text",
                    "write $[plugin,function,argument] alone, with conditions at most: the plugin gives the address",
                );
            }
            "" => {
                if !next().is_empty() || self.message.is_none() {
                    return error(
                        "the template has no \"@\" or \"%\"",
                        "write user%domain@channel, user%domain or $?text",
                    );
                }
                (Vec::new(), Vec::new(), Form::Refuse)
            }
            "%" => (next(), next(), Form::Again),
            "%@" => (next(), next(), Form::Route { tag: self.known(next())?, via: None }),
            "@" => {
                let (user, domain) = (next(), next());
                let tag = self.known(domain.clone())?;
                (user, domain, Form::Route { tag, via: None })
            }
            "@@" | "@@@" if !self.allowed.source_routes => {
                return error(
                    "the template inserts a source route",
                    "write user%domain@channel, or set routing.source-route-templates",
                );
            }
            "@@" | "@@@" => {
                let (user, domain, route) = (next(), next(), next());
                let tag = if self.separators.len() == 2 { route.clone() } else { next() };
                let tag = self.known(tag)?;
                (user, domain, Form::Route { tag, via: Some(route.into()) })
            }
            other => {
                return error(
                    format!("the separators {other:?} make no template"),
                    "write A%B@C, A@B or A%B; $% and $@ for the signs themselves",
                );
            }
        };
        if !matches!(form, Form::Refuse | Form::Call(_)) && (user.is_empty() || domain.is_empty()) {
            return error(
                "the template builds an address without local part or domain",
                "write $U%$D@channel",
            );
        }
        Ok(Template {
            user: user.into(),
            domain: domain.into(),
            form,
            controls: self.controls,
            message: self.message,
            set_tag: self.set_tag,
        })
    }

    /// The target of a tag that is written out; one built from the address is looked up later.
    fn known(&self, pieces: Vec<Piece>) -> Result<Tag, TemplateError> {
        let mut text = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                _ => return Ok(Tag::Built(pieces.into())),
            }
        }
        match self.allowed.tags.target(&text) {
            Some(target) => Ok(Tag::Known(target.clone())),
            None => {
                let names = self.allowed.tags.names().join(", ");
                error(format!("no channel has the tag {text:?}"), format!("name one of: {names}"))
            }
        }
    }
}
