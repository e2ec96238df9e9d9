//! What the host answered during a call, so that the call can be played again, bit for bit, without the world.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::call::Call;
use hooks::FailureKind;

/// Most octets of host answers and questions that one recording keeps; a call that got more is not recorded, which is counted.
pub(crate) const TAPE_MAX: usize = 256 << 10;

/// What the host was asked and what it answered, being kept or being played.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    /// Neither.
    #[default]
    Off,
    /// Kept; `None` once there was too much.
    Recording(Option<Kept>),
    /// Played in its order.
    Playing(VecDeque<(Option<String>, Value)>),
}

/// What was kept, each answer with its question.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) asked: Vec<String>,
    pub(crate) answers: Vec<Value>,
    octets: usize,
}

/// What the host is asked, as a tape knows it: the function, and a digest of what it was given. Nothing where no tape runs.
pub(crate) struct Ask(Option<String>);

/// Octets of a question's digest that are kept: enough to tell questions of one call apart.
const DIGEST_LEN: usize = 8;

impl Tape {
    /// Whether nothing is kept or played.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Begins to keep.
    pub(crate) fn recording() -> Self {
        Self::Recording(Some(Kept::default()))
    }

    /// Plays what was kept. Where no questions were, as before there were any, answers go to whatever is asked.
    pub(crate) fn playing(asked: &[String], answers: &[Value]) -> Self {
        let asked = if asked.len() == answers.len() { asked } else { &[] };
        let asked = asked.iter().cloned().map(Some).chain(std::iter::repeat(None));
        Self::Playing(asked.zip(answers.iter().cloned()).collect())
    }

    fn keep(&mut self, ask: Ask, answer: &impl Serialize) {
        let (Self::Recording(tape), Some(ask)) = (self, ask.0) else { return };
        let Some(kept) = tape else { return };
        match serde_json::to_value(answer) {
            Ok(value) => {
                kept.octets += value.to_string().len() + ask.len();
                kept.answers.push(value);
                kept.asked.push(ask);
            }
            Err(_) => kept.octets = usize::MAX,
        }
        if kept.octets > TAPE_MAX {
            *tape = None;
        }
    }

    /// Whether there was too much to keep.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Recording(None))
    }

    /// What was kept; `None` where it is not whole.
    pub(crate) fn into_kept(self) -> Option<Kept> {
        match self {
            Self::Recording(kept) => kept,
            Self::Off | Self::Playing(_) => None,
        }
    }
}

/// Octets on a tape: in base64, for a recording is JSON. Lists of numbers, as they were written once, are read, too.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Octets(pub(crate) Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Numbers(Vec<u8>),
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl TryFrom<Written> for Octets {
    type Error = base64::DecodeError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Text(text) => STANDARD.decode(text).map(Self),
            Written::Numbers(octets) => Ok(Self(octets)),
        }
    }
}

impl Call {
    /// What the host is asked: to be told before it answers.
    pub(crate) fn asks(&self, function: &str, arguments: &impl Serialize) -> Ask {
        if self.tape.is_off() {
            return Ask(None);
        }
        // What they are made of can always be written.
        let digest = Sha256::digest(postcard::to_stdvec(arguments).unwrap_or_default());
        let digest: String = digest.iter().take(DIGEST_LEN).map(|octet| format!("{octet:02x}")).collect();
        Ask(Some(format!("{function} {digest}")))
    }

    /// Whether a recording is being played whose next host answer is to this question.
    pub(crate) fn plays(&self, ask: &Ask) -> bool {
        let Tape::Playing(answers) = &self.tape else { return false };
        answers.front().is_some_and(|(asked, _)| asked.is_some() && *asked == ask.0)
    }

    /// The next host answer of a recording that is being played, if it is to this question.
    pub(crate) fn played<T: DeserializeOwned>(&mut self, ask: &Ask) -> wasmtime::Result<Option<T>> {
        let Tape::Playing(answers) = &mut self.tape else { return Ok(None) };
        let next = answers.pop_front();
        let recorded = next.as_ref().and_then(|(asked, _)| asked.clone());
        let is_other = recorded.is_some() && recorded != ask.0;
        let answer = next.filter(|_| !is_other).and_then(|(_, value)| serde_json::from_value(value).ok());
        if let Some(answer) = answer {
            return Ok(Some(answer));
        }
        let function = |ask: &str| ask.split(' ').next().unwrap_or_default().to_owned();
        let asks = ask.0.as_deref().map(function).unwrap_or_default();
        let why = match recorded.as_deref().map(function) {
            Some(other) if other == asks => {
                format!("it asked the host for {asks} of something else than the recorded call")
            }
            Some(other) => {
                format!("it asked the host for {asks}, where the recorded call asked for {other}")
            }
            None => format!("it asked the host for {asks}, which the recorded call did not ask for"),
        };
        Err(self.break_off(FailureKind::Answer, why))
    }

    /// Keeps a host answer where a recording is made.
    pub(crate) fn kept<T: Serialize>(&mut self, ask: Ask, answer: T) -> T {
        self.tape.keep(ask, &answer);
        answer
    }

    /// The answer of a recording, or a new one that is kept.
    pub(crate) fn taped<T: Serialize + DeserializeOwned>(
        &mut self,
        ask: Ask,
        make: impl FnOnce(&mut Self) -> T,
    ) -> wasmtime::Result<T> {
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let answer = make(self);
        Ok(self.kept(ask, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_take_little_room_and_are_read_as_they_were_written_before() {
        let octets = Octets((0..=255).collect());
        let text = serde_json::to_string(&octets).unwrap();
        assert_eq!(text.len(), 2 + 256_usize.div_ceil(3) * 4);
        assert_eq!(serde_json::from_str::<Octets>(&text).unwrap(), octets);
        let of_before = serde_json::to_string(&octets.0).unwrap();
        assert_eq!(serde_json::from_str::<Octets>(&of_before).unwrap(), octets);
        assert!(serde_json::from_str::<Octets>("\"?\"").is_err());
    }
}
