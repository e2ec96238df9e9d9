//! Where connections come from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{ConnectionLimits, Permit, RefusedWhy};
use crate::stream::Stream;

/// How many refused peers may be talked to at a time; those beyond are closed without a word.
const REFUSED_MAX: usize = 64;
/// How long accepting rests when the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A silent client is asked by TCP whether it is there after this time, and then again and again.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// So many times.
const KEEPALIVE_RETRIES_MAX: u32 = 4;

/// What a listener is to do.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
    /// Connections the kernel holds until they are accepted.
    pub backlog: u32,
    /// Open connections in all.
    pub connections_max: usize,
    /// Open connections of one client network (IPv4 /32, IPv6 /64).
    pub per_network_max: usize,
}

/// A bound socket that accepts connections within its limits.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
    limits: ConnectionLimits,
    refused: Arc<Semaphore>,
}

/// The socket of a listener, by which another one can take it over: it is not closed before this is dropped.
#[derive(Debug)]
pub struct BoundSocket(OwnedFd);

/// What came in.
#[derive(Debug)]
pub enum Accepted {
    /// A connection within the limits.
    Connection(Connection),
    /// One over a maximum: the server says why in its protocol's words, and closes.
    Refused(Refused),
}

/// An accepted connection; its place within the limits is given back when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// The octets.
    pub stream: Stream,
    /// The client.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The place within the limits.
    pub permit: Permit,
}

/// A connection over a maximum.
#[derive(Debug)]
pub struct Refused {
    /// For the last word: see [`Stream::close_after_refusal`].
    pub stream: Stream,
    /// The client.
    pub peer: SocketAddr,
    /// Which maximum.
    pub why: RefusedWhy,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds with limits of its own.
    ///
    /// # Errors
    /// Address in use, not ours, or forbidden.
    pub fn bind(options: &ListenerOptions) -> io::Result<Self> {
        Self::bind_within(options, ConnectionLimits::new(options.connections_max, options.per_network_max))
    }

    /// Binds with limits that other listeners share.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_within(options: &ListenerOptions, limits: ConnectionLimits) -> io::Result<Self> {
        let address = options.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // IPv4 is served by a listener of its own: addresses in the log stay what they are.
            socket.set_only_v6(true)?;
        }
        // On Linux accepted sockets inherit this: one system call less for each connection.
        socket.set_tcp_nodelay(true)?;
        // And this: a client that went away without a word keeps its session, and a maildrop's lock, no longer than that.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES_MAX))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Self::over(socket, limits)
    }

    /// Takes over a socket that another listener accepts from still, with limits of its own; the address of the options is nothing
    /// to it. Between the two nobody is turned away.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn take_over(socket: &BoundSocket, options: &ListenerOptions) -> io::Result<Self> {
        let socket = Socket::from(socket.0.try_clone()?);
        // Again: the backlog may be another one.
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Self::over(socket, ConnectionLimits::new(options.connections_max, options.per_network_max))
    }

    fn over(socket: Socket, limits: ConnectionLimits) -> io::Result<Self> {
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local, limits, refused: Arc::new(Semaphore::new(REFUSED_MAX)) })
    }

    /// Its socket, for one that may take it over.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn socket(&self) -> io::Result<BoundSocket> {
        Ok(BoundSocket(self.listener.as_fd().try_clone_to_owned()?))
    }

    /// Our address, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Its limits, which may be changed while it listens.
    #[must_use]
    pub fn limits(&self) -> ConnectionLimits {
        self.limits.clone()
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.limits.open()
    }

    /// Waits for the next connection. Passing troubles (a peer gone before it was accepted, no
    /// descriptors left) are waited out here.
    ///
    /// # Errors
    /// The listening socket itself is broken.
    pub async fn accept(&self) -> io::Result<Accepted> {
        loop {
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) if is_exhaustion(&error) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !cfg!(target_os = "linux") && socket.set_nodelay(true).is_err() {
                continue;
            }
            match self.limits.admit(peer.ip()) {
                Ok(permit) => {
                    let Some(local) = self.local_of(&socket) else { continue };
                    let stream = Stream::plain(socket);
                    return Ok(Accepted::Connection(Connection { stream, peer, local, permit }));
                }
                Err(why) => {
                    let Ok(place) = Arc::clone(&self.refused).try_acquire_owned() else { continue };
                    let stream = Stream::plain(socket);
                    return Ok(Accepted::Refused(Refused { stream, peer, why, _place: place }));
                }
            }
        }
    }

    /// The kernel is asked only where the listener takes any address.
    fn local_of(&self, socket: &tokio::net::TcpStream) -> Option<SocketAddr> {
        let any = match self.local.ip() {
            IpAddr::V4(v4) => v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_unspecified(),
        };
        if any { socket.local_addr().ok() } else { Some(self.local) }
    }
}

/// accept(2) reports pending network errors of the new connection as its own.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EPROTO | libc::EHOSTUNREACH | libc::ENETUNREACH))
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    pub(crate) fn options(connections_max: usize, per_network_max: usize) -> ListenerOptions {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        ListenerOptions { address, backlog: 16, connections_max, per_network_max }
    }

    #[tokio::test]
    async fn a_connection_knows_both_ends_and_has_no_delay() {
        let listener = Listener::bind(&options(9, 9)).unwrap();
        let client = TcpStream::connect(listener.local_addr()).await.unwrap();
        let Accepted::Connection(connection) = listener.accept().await.unwrap() else { panic!("refused") };
        assert_eq!(connection.peer, client.local_addr().unwrap());
        assert_eq!(connection.local, client.peer_addr().unwrap());
        assert!(connection.stream.socket().nodelay().unwrap());
        assert_eq!(listener.open(), 1);
        drop(connection);
        assert_eq!(listener.open(), 0);
    }

    #[tokio::test]
    async fn other_limits_hold_for_those_who_come() {
        let listener = Listener::bind(&options(9, 9)).unwrap();
        let _first = TcpStream::connect(listener.local_addr()).await.unwrap();
        let Accepted::Connection(_kept) = listener.accept().await.unwrap() else { panic!("refused") };
        listener.limits().set(1, 1);
        let _second = TcpStream::connect(listener.local_addr()).await.unwrap();
        let Accepted::Refused(refused) = listener.accept().await.unwrap() else { panic!("accepted") };
        assert_eq!(refused.why, RefusedWhy::Connections);
        listener.limits().set(2, 2);
        let _third = TcpStream::connect(listener.local_addr()).await.unwrap();
        assert!(matches!(listener.accept().await.unwrap(), Accepted::Connection(_)));
    }

    #[tokio::test]
    async fn one_too_many_is_refused_with_a_last_word() {
        let listener = Listener::bind(&options(9, 1)).unwrap();
        let _first = TcpStream::connect(listener.local_addr()).await.unwrap();
        let Accepted::Connection(_kept) = listener.accept().await.unwrap() else { panic!("refused") };
        let mut second = TcpStream::connect(listener.local_addr()).await.unwrap();
        second.write_all(b"EHLO early\r\n").await.unwrap();
        let Accepted::Refused(mut refused) = listener.accept().await.unwrap() else { panic!("accepted") };
        assert_eq!(refused.why, RefusedWhy::Network);
        refused.stream.send(b"421 later\r\n");
        let closing = tokio::spawn(refused.stream.close_after_refusal());
        let mut heard = Vec::new();
        second.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"421 later\r\n");
        drop(second);
        closing.await.unwrap();
    }
}
