//! A password from the command line, a pipe or the terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Longest password, in octets.
const PASSWORD_MAX: usize = 1024;

/// The given password, or one line of standard input; on a terminal it is asked for without echo.
pub(super) fn given_or_asked(given: Option<String>, address: &str) -> Result<String, String> {
    let password = match given {
        Some(password) => password,
        None => asked(address).map_err(|e| format!("the password cannot be read: {e}"))?,
    };
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(format!("a password has 1 to {PASSWORD_MAX} octets"));
    }
    Ok(password)
}

fn asked(address: &str) -> io::Result<String> {
    let silent = io::stdin().is_terminal();
    if silent {
        eprint!("Password for {address}: ");
        io::stderr().flush()?;
        echo(false);
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if silent {
        echo(true);
        eprintln!();
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Turns the terminal's echo on or off; where `stty` is missing the password is seen.
fn echo(on: bool) {
    let word = if on { "echo" } else { "-echo" };
    let _ = Command::new("stty").arg(word).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}
