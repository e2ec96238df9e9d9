//! Every file of `dialogs/`: what client and server say, byte for byte, at a whole server.

use std::process::ExitCode;

use mail_tests::{cases, play};

fn main() -> ExitCode {
    cases::run(cases::find("dialogs", "txtar"), |case| {
        let listener = case.name.split('/').next().unwrap_or_default();
        play::case(case, listener)
    })
}
