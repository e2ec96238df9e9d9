//! `log`: lines in the server's log.

use crate::bindings::wasmta::policy::log::{Host, Level};
use crate::call::{Call, ITEM_OCTETS};

impl Host for Call {
    fn emit(&mut self, level: Level, text: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let octets =
            fields.iter().fold(text.len(), |sum, (name, value)| sum + name.len() + value.len() + ITEM_OCTETS);
        self.charge(octets)?;
        let word = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let mut line = text;
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value:?}"));
        }
        // Whatever the guest writes stays one line.
        line.retain(|c| !c.is_control());
        self.log(word, line);
        Ok(())
    }
}
