//! What the host answered during a call, so that the call can be played again, bit for bit, without the world.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::Call;
use hooks::FailureKind;

/// Most octets of host answers that one recording keeps; a call that got more is not recorded.
pub(crate) const TAPE_MAX: usize = 256 << 10;

/// Host answers, being kept or being played.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    /// Neither.
    #[default]
    Off,
    /// Kept, with their octets; `None` once there were too many.
    Recording(Option<(Vec<Value>, usize)>),
    /// Played in their order.
    Playing(VecDeque<Value>),
}

impl Tape {
    /// Whether nothing is kept or played.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Begins to keep.
    pub(crate) fn recording() -> Self {
        Self::Recording(Some((Vec::new(), 0)))
    }

    fn keep(&mut self, answer: &impl Serialize) {
        let Self::Recording(kept) = self else { return };
        let Some((answers, octets)) = kept else { return };
        match serde_json::to_value(answer) {
            Ok(value) => {
                *octets += value.to_string().len();
                answers.push(value);
            }
            Err(_) => *octets = usize::MAX,
        }
        if *octets > TAPE_MAX {
            *kept = None;
        }
    }

    /// What was kept; `None` where it is not whole.
    pub(crate) fn into_kept(self) -> Option<Vec<Value>> {
        match self {
            Self::Recording(kept) => kept.map(|(answers, _)| answers),
            Self::Off | Self::Playing(_) => None,
        }
    }
}

impl Call {
    /// The next host answer of a recording that is being played.
    pub(crate) fn played<T: DeserializeOwned>(&mut self) -> wasmtime::Result<Option<T>> {
        let Tape::Playing(answers) = &mut self.tape else { return Ok(None) };
        let next = answers.pop_front().and_then(|value| serde_json::from_value(value).ok());
        match next {
            Some(answer) => Ok(Some(answer)),
            None => {
                let why = "it asked the host for something that the recorded call did not ask for";
                Err(self.break_off(FailureKind::Answer, why))
            }
        }
    }

    /// Keeps a host answer where a recording is made.
    pub(crate) fn kept<T: Serialize>(&mut self, answer: T) -> T {
        self.tape.keep(&answer);
        answer
    }

    /// The answer of a recording, or a new one that is kept.
    pub(crate) fn taped<T: Serialize + DeserializeOwned>(
        &mut self,
        make: impl FnOnce(&mut Self) -> T,
    ) -> wasmtime::Result<T> {
        if let Some(answer) = self.played()? {
            return Ok(answer);
        }
        let answer = make(self);
        Ok(self.kept(answer))
    }
}
