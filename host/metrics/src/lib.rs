//! The page of numbers that a monitoring system reads (R101).
//!
//! *What:* [`Families`], numbers with their names and labels, written in the text format of Prometheus; and [`Server`], which
//! gives the page to whoever asks by HTTP. *Why:* it is a crate of its own so that a server of HTTP is part of the whole
//! server, and of nothing that the other crates can reach. *Layer 3:* knows `runtime`, and nothing of what is measured.

mod families;
mod server;

pub use families::{Families, Family, Kind};
pub use server::{CONTENT_TYPE, PATH, Server, Source};
