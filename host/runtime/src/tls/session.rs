//! One TLS connection: rustls' state machine over a socket, without layers between.

use std::future::Future;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ProtocolVersion, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::client::TlsClient;
use super::server::TlsServer;
use super::{HANDSHAKE_TIMEOUT, TlsInfo};

/// How much rustls may hold of what waits to be sent.
const UNSENT_MAX: usize = 64 * 1024;
/// How much one read takes: a whole record and a little more.
const SEALED_MAX: usize = 18 * 1024;
/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

#[derive(Debug)]
pub(crate) struct TlsSession {
    socket: TcpStream,
    connection: Connection,
    info: TlsInfo,
    /// Records read and not yet opened; no memory when there are none.
    sealed: Vec<u8>,
    /// How much of them was opened.
    opened: usize,
}

impl TlsSession {
    /// The server's handshake. `early` is what was read of it already.
    pub(crate) async fn accept(socket: TcpStream, early: &[u8], server: &TlsServer) -> io::Result<Self> {
        let loaded = server.current();
        let connection = ServerConnection::new(Arc::clone(&loaded.config)).map_err(io::Error::other)?;
        let mut session = Self::shake(socket, connection.into(), early.to_vec()).await?;
        let asked = match &session.connection {
            Connection::Server(connection) => connection.server_name(),
            Connection::Client(_) => None,
        };
        session.info.server_end_point = loaded.end_point(asked);
        Ok(session)
    }

    /// The client's handshake with a server of a certain name (or address).
    pub(crate) async fn connect(socket: TcpStream, client: &TlsClient, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connection = ClientConnection::new(client.config(), name).map_err(io::Error::other)?;
        Self::shake(socket, connection.into(), Vec::new()).await
    }

    async fn shake(socket: TcpStream, mut connection: Connection, early: Vec<u8>) -> io::Result<Self> {
        connection.set_buffer_limit(Some(UNSENT_MAX));
        let info = TlsInfo { version: "", cipher: "", exporter: None, server_end_point: None };
        let mut session = Self { socket, connection, info, sealed: early, opened: 0 };
        let shaking = std::future::poll_fn(|cx| session.poll_handshake(cx));
        tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        session.learn();
        Ok(session)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_drain(cx))?;
            if !self.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_open(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Remembers what was agreed.
    fn learn(&mut self) {
        let connection = &self.connection;
        let (version, tls13) = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => ("TLSv1.3", true),
            Some(ProtocolVersion::TLSv1_2) => ("TLSv1.2", false),
            _ => ("TLS", false),
        };
        let suite = connection.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).map_or("unknown", registered_name);
        // RFC 9266 §2 and §4.2: TLS 1.2 would need the extended master secret, which rustls does not tell.
        let exporter = tls13
            .then(|| connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).ok())
            .flatten();
        self.info = TlsInfo { version, cipher, exporter, server_end_point: None };
    }

    pub(crate) fn info(&self) -> &TlsInfo {
        &self.info
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads until there is clear text, and appends at most `room` of it. 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut reader = self.connection.reader();
            match reader.fill_buf() {
                Ok(clear) => {
                    let count = clear.len().min(room);
                    into.reserve_exact(count);
                    into.extend_from_slice(&clear[..count]);
                    reader.consume(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without close_notify: our protocols tell by themselves where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            // Answers of the TLS layer (key updates) go out beside; a full socket must not stop reading.
            if self.connection.wants_write()
                && let Poll::Ready(Err(error)) = self.poll_drain(cx)
            {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_open(cx))?;
        }
    }

    /// Opens some of the records at hand, or reads more. 0 is the end of the stream. The caller takes
    /// the clear text out before it calls again, so that rustls never holds more than one step's.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = if self.opened < self.sealed.len() {
            let count = self.connection.read_tls(&mut &self.sealed[self.opened..])?;
            self.opened += count;
            if self.opened == self.sealed.len() {
                (self.sealed, self.opened) = (Vec::new(), 0);
            }
            count
        } else {
            if self.poll_read_sealed(cx)?.is_pending() {
                // Lets rustls cut its own buffer back to the least before the wait.
                let _ = self.connection.read_tls(&mut NotNow);
                return Poll::Pending;
            }
            if !self.sealed.is_empty() {
                return self.poll_open(cx);
            }
            self.connection.read_tls(&mut io::empty())?
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert for the peer, if the socket takes it.
            let _ = self.poll_drain(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count))
    }

    /// One read from the socket, into memory that is taken when there is something to read.
    fn poll_read_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_read_ready(cx))?;
        self.sealed.reserve_exact(SEALED_MAX);
        let polled = pin!(self.socket.read_buf(&mut self.sealed)).poll(cx);
        if self.sealed.is_empty() {
            self.sealed = Vec::new();
        }
        polled
    }

    /// Takes some of the slices for sending, after what it took before is out. Gives how much.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        Poll::Ready(self.connection.writer().write_vectored(slices))
    }

    /// Sends all records that wait.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, connection, .. } = self;
        while connection.wants_write() {
            match connection.write_tls(&mut Socket { socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
    }
}

/// rustls writes the suites of TLS 1.3 with its own prefix.
fn registered_name(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// A source with nothing to read at the moment.
struct NotNow;

impl Read for NotNow {
    fn read(&mut self, _octets: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The socket as rustls wants to write to it: `WouldBlock` where it is full, with the waker registered.
struct Socket<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, octets))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
