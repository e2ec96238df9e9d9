//! `$[plugin,function,argument]`: a template that leaves the address to a plugin. Function and argument may be built
//! from the address; which plugin is asked stands in the file, so that a missing one is found before mail is.

use hooks::PluginName;

use super::substitution::Piece;
use super::template::{Reader, TemplateError, error};

/// What to write.
const FORM: &str = "write $[plugin,function,argument]";

/// A call of a plugin.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which plugin.
    pub plugin: PluginName,
    /// What it is asked for.
    pub function: Box<[Piece]>,
    /// What it is told besides the address.
    pub argument: Box<[Piece]>,
}

impl Reader<'_> {
    /// What follows `$[`.
    pub(super) fn call(&mut self) -> Result<(), TemplateError> {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        let mut at = 0;
        loop {
            match self.rest.chars().next() {
                None => return error("$[ has no closing bracket", FORM),
                Some(']') => break,
                Some(',') if at < 2 => at += 1,
                Some('$') => {
                    self.rest = &self.rest[1..];
                    match self.substitution(0)? {
                        Some(piece) => parts[at].push(piece),
                        None => return error("a condition stands within $[…]", "put it outside"),
                    }
                    continue;
                }
                Some(_) => {
                    let ends: &[char] = if at < 2 { &[',', ']', '$'] } else { &[']', '$'] };
                    let end = self.rest.find(ends).unwrap_or(self.rest.len());
                    parts[at].push(Piece::Text(self.take(end).into()));
                    continue;
                }
            }
            self.rest = &self.rest[1..];
        }
        self.rest = &self.rest[1..];
        let [plugin, function, argument] = parts;
        if at < 2 || plugin.is_empty() || function.is_empty() {
            return error("$[…] is incomplete", FORM);
        }
        let [Piece::Text(plugin)] = plugin.as_slice() else {
            return error(
                "the plugin of $[…] is built from the address",
                "name it, and write a rule for each",
            );
        };
        let plugin = match plugin.parse() {
            Ok(plugin) => plugin,
            Err(wrong) => return error(format!("$[…]: {wrong}"), FORM),
        };
        let call = Call { plugin, function: function.into(), argument: argument.into() };
        if self.call.replace(call).is_some() {
            return error("the template asks two plugins", "write two rules: the second is for no-match");
        }
        Ok(())
    }
}
