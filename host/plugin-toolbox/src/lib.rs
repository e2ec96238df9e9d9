//! The plugin author's toolbox.
//!
//! *What:* makes a plugin's project from the embedded templates, runs its build, says whether a server would take the
//! component, runs its table of cases, measures it, asks it a single question, and prints the manual. *Why:* who writes
//! policy finds faults at the desk, with the very code that serves mail, and needs no server for it. *Layer 6.* *Must
//! not know* the command line, the server's configuration, directory, queue or store.

mod batched;
mod bench;
mod build;
mod cases;
mod check;
mod docs;
mod draft;
mod expand;
mod expectation;
mod hostile;
mod letter;
mod outcome;
mod place;
mod project;
mod reading;
mod schema;
mod single;
mod stage;
mod templates;
mod trying;
mod units;
mod words;

pub use bench::{BenchOptions, bench};
pub use build::build;
pub use check::check;
pub use docs::{describe, manual};
pub use draft::Draft;
pub use outcome::Outcome;
pub use place::{Place, find};
pub use project::{Language, NewProject, create};
pub use single::{SingleCall, run};
pub use trying::{TestOptions, test};
