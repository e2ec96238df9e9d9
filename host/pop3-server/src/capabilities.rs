//! What CAPA lists (RFC 2449 §5).

use crate::options::Options;
use crate::table::StateName;

/// One capability a line, without the final dot.
///
/// What AUTHORIZATION announces, TRANSACTION announces too (RFC 2449 §5), but for STLS, whose tag says that the
/// command is permitted *now* (RFC 2595 §4).
pub(crate) fn capabilities(
    options: &Options,
    state: StateName,
    starttls: bool,
    mechanisms: &[&str],
) -> Vec<String> {
    let mut lines = vec!["TOP".to_owned(), "UIDL".to_owned()];
    if !mechanisms.is_empty() {
        lines.push("USER".to_owned());
        lines.push(format!("SASL {}", mechanisms.join(" ")));
    }
    if starttls && state == StateName::Authorization {
        lines.push("STLS".to_owned());
    }
    lines.extend(["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"].map(str::to_owned));
    if !options.login_delay.is_zero() {
        lines.push(format!("LOGIN-DELAY {}", options.login_delay.as_secs()));
    }
    lines.extend(["UTF8 USER", "LANG", "IMPLEMENTATION wasmta"].map(str::to_owned));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_list_follows_state_and_tls() {
        let options = Options { login_delay: Duration::from_secs(900), ..Options::default() };
        let clear = capabilities(&options, StateName::Authorization, true, &[]);
        assert!(clear.contains(&"STLS".to_owned()) && !clear.contains(&"USER".to_owned()));
        assert!(clear.contains(&"LOGIN-DELAY 900".to_owned()));
        let secure = capabilities(&options, StateName::Transaction, false, &["SCRAM-SHA-256", "PLAIN"]);
        assert!(secure.contains(&"USER".to_owned()) && !secure.contains(&"STLS".to_owned()));
        assert!(secure.contains(&"SASL SCRAM-SHA-256 PLAIN".to_owned()));
        assert!(secure.iter().all(|line| line.len() <= 510));
    }
}
