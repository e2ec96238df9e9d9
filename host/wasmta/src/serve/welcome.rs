//! What a person reads when the server has started.

use super::Server;

/// Listeners, sample accounts, and what to try first.
pub(super) fn text(server: &Server, files: u64) -> String {
    let config = server.config();
    let mut lines = vec![format!("wasmta {} serves as {}", env!("CARGO_PKG_VERSION"), config.server.name)];
    for (name, address) in server.listeners() {
        lines.push(format!("  {name:<12} {address}"));
    }
    lines.push(format!("  data in {}, at most {files} files and sockets", server.place().data.display()));
    lines.join("\n")
}
