//! What the tests of the whole share.
//!
//! *What:* the text formats of the data-driven tests, and the runners for them. *Why:* a test of
//! the whole is a file that a postmaster can read; the code that plays it stands here, once.
//! *Layer:* above everything; nothing of the product knows of it.

pub mod cases;
mod damage;
pub mod dialog;
pub mod pattern;
pub mod play;
pub mod plugins;
pub mod server;
pub mod sources;
pub mod txtar;
pub mod wire;
