//! {{name}}: a policy plugin of wasmta for {{roles}}.
//!
//! A fresh instance serves each message, so keep nothing in statics but the configuration. An answer that is expected to
//! fail is `Err(Failure)`; a panic is a bug, costs the call, and its text is lost: nobody reads stderr.

mod authorize_sender; {{if authorize-sender}}
mod disposition; {{if disposition}}
mod reverse; {{if reverse}}
mod rewrite; {{if rewrite}}
mod route_table; {{if route-table}}
mod settings;

/// Made from `wit/` when the crate is compiled: `cargo doc --open` shows it.
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
}

use bindings::exports::wasmta::policy::plugin::{Description, Guest};
use bindings::exports::wasmta::policy::plugin::Interest; {{if rewrite}}
use bindings::wasmta::policy::log;

pub(crate) struct Plugin;

/// What the operator may set. The host checks it, and fills in defaults, before the plugin runs.
const CONFIG_SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "moved": { "type": "array", "items": { "type": "string" }, "default": [], "description": "old=new, local parts" }, {{if rewrite}}
    "gone": { "type": "array", "items": { "type": "string" }, "default": [], "description": "local parts" }, {{if rewrite}}
    "shared": { "type": "array", "items": { "type": "string" }, "default": [], "description": "addresses" }, {{if authorize-sender}}
    "folders": { "type": "array", "items": { "type": "string" }, "default": [], "description": "subaddresses with a folder" }, {{if disposition}}
    "trace": { "type": "boolean", "default": false, "description": "a line in the log for each answer" }
  }
}"#;

impl Guest for Plugin {
    /// Asked at installation. It may not call the host.
    fn describe() -> Description {
        Description {
            name: "{{name}}".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "What it does, in one sentence for operators.".into(),
            config_schema: CONFIG_SCHEMA.into(),
            // What no interest matches is answered by the host, and costs nothing. No interest: asked always. `{key}` in a
            // selector stands for that key of the configuration, as in `local-contains={separator}`.
            interests: vec![
                Interest { role: "rewrite".into(), selector: "position=envelope direction=to".into() }, {{if rewrite}}
                // Interest { role: "disposition".into(), selector: "domain=example.org".into() }, {{if disposition}}
            ],
            attrs: vec![],
        }
    }
}

/// A line in the server's log, where the operator asked for it.
pub(crate) fn trace(text: &str) {
    if settings::flag("trace") {
        log::emit(log::Level::Debug, text, &[]);
    }
}

bindings::export!(Plugin with_types_in bindings);
