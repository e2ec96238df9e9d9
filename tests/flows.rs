//! Every file of `flows/`: mail in by one protocol, out by another, through the whole server.

use std::process::ExitCode;

use mail_tests::{cases, play};

/// The ways of mail are shown by at least so many cases.
const CASES_MIN: usize = 12;

fn main() -> ExitCode {
    // A program starts within limits that the server's own program sets, which here is this test.
    if std::env::args().nth(1).as_deref() == Some("program") {
        return wasmta::cli::main();
    }
    cases::run(cases::find("flows", "txtar"), CASES_MIN, |case| play::case(case, "smtp"))
}
