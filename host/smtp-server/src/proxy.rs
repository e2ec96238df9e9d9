//! The PROXY header at the head of a trusted proxy's connection.

use std::net::SocketAddr;

use runtime::Stream;
use smtp_wire::{ProxyHeader, ProxyParsed, parse_proxy_header};
use tokio::time::{Instant, timeout_at};

/// Reads the header, and gives the client's address: the proxy's own where the header tells none.
pub(crate) async fn read(
    stream: &mut Stream,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<SocketAddr, &'static str> {
    loop {
        match parse_proxy_header(stream.buffered()) {
            Ok(ProxyParsed::Complete(header, consumed)) => {
                stream.consume(consumed);
                return Ok(match header {
                    ProxyHeader::Local => peer,
                    ProxyHeader::Proxied { source, .. } => source,
                });
            }
            Ok(ProxyParsed::Incomplete) => match timeout_at(deadline, stream.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err("connection lost within the PROXY header"),
                Err(_) => return Err("timeout within the PROXY header"),
            },
            Err(_) => return Err("no PROXY header"),
        }
    }
}
