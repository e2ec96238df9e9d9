//! Every file of `flows/`: mail in by one protocol, out by another, through the whole server.

use std::process::ExitCode;

use mail_tests::{cases, play};

fn main() -> ExitCode {
    cases::run(cases::find("flows", "txtar"), |case| play::case(case, "smtp"))
}
