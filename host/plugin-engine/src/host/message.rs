//! `headers` and `body`: the message under decision, read as far as it is asked for.

use hooks::{Content, FailureKind};
use serde::{Deserialize, Serialize};

use crate::bindings::wasmta::policy::{body, headers};
use crate::call::Call;
use crate::tape::Octets;

/// Most fields, and octets of body, at a time, as the contract says.
const FIELDS_MAX: u32 = 64;
const BODY_MAX: u32 = 65_536;

/// A field as a tape has it.
#[derive(Serialize, Deserialize)]
struct TapedField {
    name: String,
    raw: Octets,
}

impl Call {
    fn content(&mut self) -> wasmtime::Result<Content> {
        match &self.content {
            Some(content) => Ok(content.clone()),
            None => Err(self.break_off(FailureKind::Denied, "only disposition may look at a message")),
        }
    }
}

impl headers::Host for Call {
    fn text(&mut self, name: String, nth: u32) -> wasmtime::Result<Option<String>> {
        self.charge(name.len())?;
        let ask = self.asks("headers.text", &(&name, nth));
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let text = self.content()?.text(&name, nth as usize);
        Ok(self.kept(ask, text))
    }

    fn page(&mut self, first: u32, max: u32) -> wasmtime::Result<Vec<headers::Field>> {
        self.charge(0)?;
        let ask = self.asks("headers.page", &(first, max));
        let fields: Vec<TapedField> = match self.played(&ask)? {
            Some(fields) => fields,
            None => {
                let fields = self.content()?.page(first as usize, max.min(FIELDS_MAX) as usize);
                let taped = |(name, raw)| TapedField { name, raw: Octets(raw) };
                self.kept(ask, fields.into_iter().map(taped).collect())
            }
        };
        Ok(fields.into_iter().map(|TapedField { name, raw }| headers::Field { name, raw: raw.0 }).collect())
    }

    fn size(&mut self) -> wasmtime::Result<u32> {
        self.charge(0)?;
        let ask = self.asks("headers.size", &());
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let size = u32::try_from(self.content()?.size()).unwrap_or(u32::MAX);
        Ok(self.kept(ask, size))
    }
}

impl body::Host for Call {
    fn read(&mut self, offset: u32, max: u32) -> wasmtime::Result<Vec<u8>> {
        self.charge(0)?;
        let ask = self.asks("body.read", &(offset, max));
        if let Some(Octets(answer)) = self.played(&ask)? {
            return Ok(answer);
        }
        let octets = self.content()?.body(u64::from(offset), max.min(BODY_MAX) as usize);
        Ok(self.kept(ask, Octets(octets)).0)
    }
}
