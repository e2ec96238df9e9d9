//! The configuration as plain values. It is fetched once an instance: it never changes while one lives.

use std::sync::OnceLock;

use crate::bindings::wasmta::policy::config::{self, Value};

fn value(key: &str) -> Option<&'static Value> {
    static ALL: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    ALL.get_or_init(config::all).iter().find(|(own, _)| own == key).map(|(_, value)| value)
}

pub(crate) fn flag(key: &str) -> bool {
    matches!(value(key), Some(Value::Flag(true)))
}
{{if rewrite authorize-sender disposition}}

pub(crate) fn strings(key: &str) -> &'static [String] {
    match value(key) {
        Some(Value::Items(items)) => items,
        _ => &[],
    }
}
{{end}}
