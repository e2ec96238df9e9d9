//! Every file of `dialogs/`: what client and server say, byte for byte, at a whole server.

use std::process::ExitCode;

use mail_tests::{cases, play};

/// The protocols are shown by at least so many cases.
const CASES_MIN: usize = 150;

fn main() -> ExitCode {
    cases::run(cases::find("dialogs", "txtar"), CASES_MIN, |case| {
        let listener = case.name.split('/').next().unwrap_or_default();
        play::case(case, listener)
    })
}
