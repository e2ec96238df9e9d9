//! Applies one rule: its conditions, and what its template builds.

use std::borrow::Cow;

use mail_types::{ChannelName, Domain, LocalPart, Lookup};

use super::control::{Controls, Direction, Place, Position};
use super::engine::{Context, Failure, Fired, Next, Run, Subject};
use super::rules::Rule;
use super::substitution::{Matched, Piece, expand};
use super::tags::Target;
use super::template::{Form, Tag};
use super::unroutable::Unroutable;
use crate::recorder::Recorder;

impl<'r, R: Recorder> Run<'r, '_, R> {
    pub(super) fn apply(
        &mut self,
        rule: &'r Rule,
        matched: &Matched<'_>,
        subject: &Subject<'_>,
    ) -> Result<Fired, Failure> {
        let template = &rule.template;
        self.check(&template.controls, matched, subject.position)?;
        let (tag, via) = match &template.form {
            Form::Refuse => {
                return Ok(Fired { user: None, host: None, next: Next::Refuse, by_plugin: false });
            }
            Form::Call(call) => return self.call(rule, call, matched, subject),
            Form::Again => (None, None),
            Form::Route { tag, via } => (Some(tag), via.as_deref()),
        };
        let user = self.build(&template.user, matched)?;
        let host = self.build(&template.domain, matched)?;
        let user = if user == subject.user { None } else { Some(user.into_owned()) };
        let host = if host == subject.host { None } else { Some(host.into_owned()) };
        if let Some(user) = &user {
            LocalPart::new(user.as_str()).map_err(|error| Failure::Next(error.to_string()))?;
        }
        let host = match host {
            None => None,
            Some(host) => match Domain::parse(&host) {
                Ok(domain) => Some(String::from(domain)),
                Err(error) => return Err(Failure::Next(error.to_string())),
            },
        };
        let via = match via {
            None => None,
            Some(pieces) => match Domain::parse(&self.build(pieces, matched)?) {
                Ok(domain) => Some(domain),
                Err(error) => return Err(Failure::Next(error.to_string())),
            },
        };
        let next = match tag {
            None => Next::Again,
            Some(tag) => Next::Route(self.target(tag, matched)?, via),
        };
        Ok(Fired { user, host, next, by_plugin: false })
    }

    fn target(&self, tag: &Tag, matched: &Matched<'_>) -> Result<Target, Failure> {
        match tag {
            Tag::Known(target) => Ok(target.clone()),
            Tag::Built(pieces) => {
                let name = self.build(pieces, matched)?;
                match self.rules.tags().target(&name) {
                    Some(target) => Ok(target.clone()),
                    None => {
                        Err(Failure::Final(Unroutable::NoChannel(format!("no channel has the tag {name:?}"))))
                    }
                }
            }
        }
    }

    /// The text of some pieces; borrowed where it is one part of the address.
    fn build<'s>(&self, pieces: &[Piece], matched: &Matched<'s>) -> Result<Cow<'s, str>, Failure> {
        match pieces {
            [Piece::User] => Ok(Cow::Borrowed(matched.user)),
            [Piece::Host(0)] => Ok(Cow::Borrowed(matched.host)),
            [Piece::Domain(0)] => Ok(Cow::Borrowed(matched.domain)),
            pieces => {
                let mut text = String::new();
                expand(pieces, matched, self.facts, &mut text)?;
                Ok(Cow::Owned(text))
            }
        }
    }

    fn check(&self, controls: &Controls, matched: &Matched<'_>, position: Position) -> Result<(), Failure> {
        if controls.is_empty() {
            return Ok(());
        }
        let fails = |why: String| Err(Failure::Next(why));
        if controls.place.is_some_and(|place| place != self.context.place) {
            return fails("it is for the other of envelope and header".to_owned());
        }
        if controls.direction.is_some_and(|direction| direction != self.context.direction) {
            return fails("it is for addresses pointing the other way".to_owned());
        }
        if !controls.positions.is_empty() && !controls.positions.contains(&position) {
            return fails("the host stands elsewhere in the address".to_owned());
        }
        self.check_channels(controls)?;
        for (domains, wanted) in [(&controls.local, true), (&controls.not_local, false)] {
            for pieces in domains {
                let domain = self.build(pieces, matched)?;
                match (self.facts.is_local(&domain), wanted) {
                    (Lookup::Unavailable(why), _) => {
                        return Err(Failure::Final(Unroutable::Unavailable(why)));
                    }
                    (Lookup::NotFound, true) => return fails(format!("{domain} is not local")),
                    (Lookup::Found(()), false) => return fails(format!("{domain} is local")),
                    (Lookup::Found(()), true) | (Lookup::NotFound, false) => {}
                }
            }
        }
        Ok(())
    }

    fn check_channels(&self, controls: &Controls) -> Result<(), Failure> {
        let fails = |why: String| Err(Failure::Next(why));
        let Context { place, direction, source, destination, .. } = self.context;
        let named = |names: &[Box<str>], name: &str| names.iter().any(|other| **other == *name);
        if !controls.source_is.is_empty() && !named(&controls.source_is, source) {
            return fails(format!("the source channel is {source}"));
        }
        if named(&controls.source_is_not, source) {
            return fails(format!("the source channel is {source}"));
        }
        if controls.reprocessing.is_some_and(|wanted| wanted != (source == ChannelName::REPROCESS)) {
            return fails(format!("the source channel is {source}"));
        }
        // The route of an envelope recipient is not known before the rules have named it.
        let routing = place == Place::Envelope && direction == Direction::Forward;
        if routing || controls.destination_is.is_empty() && controls.destination_is_not.is_empty() {
            return Ok(());
        }
        let Some(destination) = destination else {
            return fails("the message has no one destination channel".to_owned());
        };
        let wanted = controls.destination_is.is_empty() || named(&controls.destination_is, destination);
        if !wanted || named(&controls.destination_is_not, destination) {
            return fails(format!("the destination channel is {destination}"));
        }
        Ok(())
    }
}
