//! The contract with plugins, as plain Rust.
//!
//! *What:* the roles, the questions and answers of each, what a failure is and what becomes of the mail then, and two
//! ports: [`Plugins`], which whoever decides asks, and [`World`], which the plugins may ask in turn. *Why:* routing,
//! sessions and channels ask plugins without knowing that they are WebAssembly, and can be tried with any other.
//! *Layer 2:* the directory reads names of plugins and roles. *Must not know* how a plugin runs, where it is
//! installed, or what a message's content is.
//!
//! `wit/policy.wit` says the same to authors; the names here are those of it.

mod action;
mod binding;
mod context;
mod failure;
mod name;
mod none;
mod plugins;
mod report;
mod rewrite;
mod role;
mod rows;
mod sender;
mod sitting;
mod world;

pub use action::{Action, Content, DispositionRequest, MessageView};
pub use binding::Binding;
pub use context::CallContext;
pub use failure::{Failed, FailureKind, OnFailure};
pub use name::{NAME_MAX, NameError, PluginName};
pub use none::NoPlugins;
pub use plugins::{BoxFuture, Plugins, Ready, Standing};
pub use report::{CallReport, LogLine, Told};
pub use rewrite::{Direction, Position, ReverseRequest, ReverseVerdict, RewriteRequest, RewriteVerdict};
pub use role::Role;
pub use rows::{AliasRow, EntryRows, RouteRow};
pub use sender::{SenderRequest, SenderVerdict};
pub use sitting::Sitting;
pub use world::{NoWorld, Ownership, World};

/// Names and values without fixed meaning: where the contract grows.
pub type Attributes = Vec<(String, String)>;
