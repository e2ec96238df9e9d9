//! Rewrite rules, routing table, alias table, resolution and its explanation.
//!
//! *What:* takes a recipient and says to which channel and next hop each copy goes, and why. *Why:* the
//! session that accepts mail and the queue that sends it on must decide alike, and `explain` must show that very
//! decision. *Layer 4:* knows the directory's entries, the storage of its tables, the queue's port and the port to
//! plugins; knows no wire, no socket and no message content (R88).

mod chain;
mod consult;
mod delivery_options;
mod explain;
mod holds;
mod lists;
pub mod recorder;
mod resolve;
mod reverse_path;
pub mod rewrite;
mod routing;
mod sender;
mod source;
pub mod tables;

pub use chain::UserChain;
pub use consult::{BATCH_MAX, ROUNDS_MAX};
pub use delivery_options::{DELIVERY_OPTIONS_MAX, DeliveryOptions, OptionTemplate, Ways};
pub use explain::{ExplainedAddress, ExplainedOutcome, ExplainedRecipient, Explanation};
pub use holds::{RELEASED, is_released_of_plugin};
pub use lists::{List, Members};
pub use resolve::{NESTING_MAX, Options, RECIPIENTS_MAX, Request, Resolution, ResolvedRecipient};
pub use reverse_path::NewSender;
pub use rewrite::rules::{RuleErrors, RuleOptions, Rules};
pub use rewrite::tags::ChannelTags;
pub use rewrite::template::TemplateError;
pub use routing::Routing;
pub use sender::{HeaderPlace, Verified};
pub use source::{ASKED_OF_SOURCE_MAX, BoxFuture, SOURCE_ROUNDS_MAX, Source};
pub use tables::row::ListSettings;
pub use tables::{Builders, Forerunner, SPACES, TableError, Tables};
