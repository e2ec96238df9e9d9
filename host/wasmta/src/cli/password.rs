//! A password from the command line, a pipe or the terminal.

use std::io::{self, BufRead, IsTerminal};

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
    let line = if io::stdin().is_terminal() {
        runtime::ask_unseen(&format!("Password for {address}: "))?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line
    };
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
