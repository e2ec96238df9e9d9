//! What a person reads when the server has started.

use std::net::SocketAddr;

use super::Server;
use crate::config::{Listener, Protocol, TlsMode};

/// Password of the logins in the directory that ships.
pub(super) const SAMPLE_PASSWORD: &str = "password";
/// Those logins.
const SAMPLES: [&str; 3] = ["user1@example.org", "user2@example.org", "user3@example.net"];

/// Listeners, and on the first start sample accounts and what to try first.
pub(super) fn text(server: &Server, files: u64) -> String {
    let config = server.config();
    let listeners = server.listeners();
    let mut lines = vec![format!("wasmta {} serves as {}", env!("CARGO_PKG_VERSION"), config.server.name)];
    for (listener, address) in &listeners {
        lines.push(format!("  {:<12} {address:<21}  {}", listener.name, kind(listener)));
    }
    let data = std::path::absolute(&server.place().data).unwrap_or_else(|_| server.place().data.clone());
    lines.push(format!("  data in {}; at most {files} files and sockets", data.display()));
    let samples: Vec<&str> =
        SAMPLES.into_iter().filter(|login| server.begins_with(login, SAMPLE_PASSWORD)).collect();
    if let Some(first) = samples.first() {
        lines.push(format!("\nSample accounts, password {SAMPLE_PASSWORD:?}: {}", samples.join(", ")));
        lines.extend(examples(&listeners, first));
    }
    lines.join("\n")
}

fn kind(listener: &Listener) -> String {
    let protocol = match listener.protocol {
        Protocol::Smtp => "mail from other hosts",
        Protocol::Submission => "mail from our users",
        Protocol::Lmtp => "mail from trusted neighbours (LMTP)",
        Protocol::Imap => "reading (IMAP)",
        Protocol::Pop3 => "reading (POP3)",
        Protocol::Metrics => "metrics (HTTP)",
    };
    match listener.tls {
        TlsMode::Off => protocol.to_owned(),
        TlsMode::Offered => format!("{protocol}, STARTTLS"),
        TlsMode::Implicit => format!("{protocol}, TLS"),
    }
}

/// One command that sends a message, and one that reads it back.
fn examples(listeners: &[(Listener, SocketAddr)], account: &str) -> Vec<String> {
    let find = |protocol, tls| {
        let fits =
            |(listener, _): &&(Listener, SocketAddr)| listener.protocol == protocol && listener.tls == tls;
        listeners.iter().find(fits).map(|(_, address)| *address)
    };
    let mut lines = Vec::new();
    if let Some(address) = find(Protocol::Smtp, TlsMode::Offered) {
        lines.push("Send a message:".to_owned());
        lines.push(format!(
            "  printf 'Subject: hello\\n\\nGood day.\\n' | curl -sS --crlf -T - --mail-from you@example.com --mail-rcpt {account} smtp://{address}"
        ));
    }
    if let Some(address) = find(Protocol::Imap, TlsMode::Offered) {
        lines.push("Read it:".to_owned());
        lines.push(format!(
            "  curl -sS -k --ssl-reqd --user {account}:{SAMPLE_PASSWORD} 'imap://{address}/INBOX;MAILINDEX=1'"
        ));
    }
    lines
}
