//! The configuration as plain values. `config::get` is a call to the host: ask once a call, not once an address.

use crate::bindings::wasmta::policy::config::{self, Value};

pub(crate) fn flag(key: &str) -> bool {
    matches!(config::get(key), Some(Value::Flag(true)))
}
{{if rewrite authorize-sender disposition}}

pub(crate) fn strings(key: &str) -> Vec<String> {
    match config::get(key) {
        Some(Value::Items(items)) => items,
        _ => Vec::new(),
    }
}
{{end}}
