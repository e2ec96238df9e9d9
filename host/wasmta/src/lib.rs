//! The whole: configuration, command line, composition.
//!
//! *What:* reads and checks the configuration, builds every part, serves; and is the operator's
//! command line. *Why:* one place wires, so that every other crate takes what it needs as
//! arguments and can be tried alone. One binary (R104), for one user or many (R98). *Layer 6:* the only crate that sees all others, the
//! configuration and the environment. A library beside the binary, so that the tests of the whole
//! start the very same server in their own process.

pub mod cli;
pub mod config;
pub mod control;
mod operate;
pub mod serve;
