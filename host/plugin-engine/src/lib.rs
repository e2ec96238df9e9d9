//! Runs policy plugins.
//!
//! *What:* compiles WebAssembly components in a process apart, keeps the artefacts, gives each plugin the
//! capabilities that it imports *and* was granted, runs its calls within limits, checks every answer, and steps in
//! between when a plugin fails again and again. Implements [`hooks::Plugins`]. *Why:* whoever writes policy is not
//! trusted with more than one call (R103: policy runs in a virtual machine). *Layer 4.* *Must not know* SMTP, the
//! queue, the directory or the store: what plugins may ask comes through [`hooks::World`].

mod answers;
mod artefacts;
mod barred;
mod bindings;
mod breaker;
mod bring_up;
mod call;
mod capability;
mod card;
mod compiler;
mod component;
mod contradictions;
mod doubts;
mod engine;
mod fair;
mod fault;
mod forgetting;
mod host;
mod instance;
mod interest;
mod kv;
mod lifecycle;
mod linking;
mod machine;
mod made_with;
mod memo;
mod meter;
mod missed;
mod notes;
mod numbers;
mod overlaps;
mod places;
mod plugin;
mod question;
mod reads;
mod recording;
mod recordings;
mod registry;
mod replay;
mod schema;
mod seat;
mod settings;
mod shadow;
mod shape;
mod tape;
mod tenant;
mod trial;
mod trust;
mod validate;

pub use capability::Capability;
pub use card::Description;
pub use compiler::{COMPILE_MAX, Compiler, HereCompiler, Outcome, ProcessCompiler};
pub use component::{COMPONENT_MAX, Digest, Manifest, Unfit, compile};
pub use contradictions::{
    CONTRADICTIONS_MAX, Contradiction, InstalledAs, Known, Stand, TenantOf, absent, bound_roles,
    contradictions, installed_in, rows_beyond, without_it,
};
pub use doubts::{Doubt, doubts};
pub use engine::{Engine, EngineParts};
pub use host::SERVER_TABLES;
pub use kv::{KEY_MAX, SPACES, VALUE_MAX};
pub use lifecycle::{Forgotten, Installation, Listed, Prepared};
/// The engine that compiles, by its own name: only this crate names wasmtime.
pub use wasmtime::Engine as CompilerEngine;

pub use machine::{Allocation, INSTANCES_MAX, MEMORY_MAX, Machine, Profile, SLICE, Target};
pub use missed::Absent;
pub use numbers::Numbers;
pub use plugin::Plugin;
pub use question::{Answer, Question};
pub use recording::{LeftOut, Recording};
pub use registry::{HISTORY_MAX, INSTALLED_MAX, Installed};
pub use replay::{Played, Replayed};
pub use settings::{BreakerOptions, DomainPattern, Limits, Reuse, Secrets, Settings, Table};
pub use shadow::{Difference, ShadowReport};
pub use tenant::TenantUse;
pub use trial::{Candidate, Trial, TrialAnswer, TrialCall, checked};
pub use trust::{KEYS_MAX, Offered, SIGNATURE_MAX, Signed, Trust, TrustedKey};
pub use validate::{ACTIONS_MAX, FORWARDS_MAX};

/// The contract's own types, for tools that ask what no server would, and look at answers as they were given.
pub mod contract {
    pub use crate::bindings::exports::wasmta::policy::{
        authorize_sender, disposition, reverse, rewrite, route_table,
    };
    pub use crate::bindings::wasmta::policy::types::{Address, Context, Extra, Reply};
}

#[cfg(test)]
mod tests;
