//! Listening by UDP and TCP at one address, for whatever answers questions.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::server::RequestHandler;

use crate::resolver::BoxFuture;

/// How long a client of the TCP port may stay silent.
const TCP_SILENCE_MAX: Duration = Duration::from_secs(10);
/// Answers that wait for one client of the TCP port.
const TCP_ANSWERS_MAX: usize = 32;

/// The true address, and what has to run for as long as there shall be answers.
pub type Listening = (SocketAddr, BoxFuture<'static, ()>);

/// Binds both; the future answers.
pub(crate) fn listen(address: SocketAddr, handler: impl RequestHandler) -> Result<Listening, String> {
    let failed = |why: std::io::Error| format!("{address} cannot be listened at: {why}");
    let tcp = std::net::TcpListener::bind(address).map_err(failed)?;
    let local = tcp.local_addr().map_err(failed)?;
    let udp = std::net::UdpSocket::bind(local).map_err(failed)?;
    tcp.set_nonblocking(true).and_then(|()| udp.set_nonblocking(true)).map_err(failed)?;
    let tcp = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;
    let udp = tokio::net::UdpSocket::from_std(udp).map_err(failed)?;
    let mut server = Server::new(handler);
    server.register_socket(udp);
    server.register_listener(tcp, TCP_SILENCE_MAX, TCP_ANSWERS_MAX);
    let run = async move {
        // It ends with the process, or when its sockets do; then mail goes on without it.
        let _ = server.block_until_done().await;
    };
    Ok((local, Box::pin(run)))
}
