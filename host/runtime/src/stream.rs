//! A connection's octets, in clear or under TLS, through buffers that exist only while they hold something.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use self::deflate::Deflate;
use crate::tls::session::TlsSession;
use crate::tls::{TlsClient, TlsInfo, TlsServer};

/// How much one read asks for at first: a burst of commands, or a common message, in one system call.
const READ_MIN: usize = 8 * 1024;
/// How much one read asks for at most, when the peer keeps filling the smaller ones.
const READ_MAX: usize = 64 * 1024;
/// How much a stream buffers of what nobody consumed, unless told otherwise.
const BUFFER_MAX: usize = 256 * 1024;
/// An empty write buffer up to this size is kept: most replies fit it.
const WRITE_KEEP: usize = 256;
/// How many slices one vectored write takes along.
const SLICES_MAX: usize = 16;
/// How many addresses of one host are tried.
const ADDRESSES_MAX: usize = 8;
/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of what a refused peer still says is read away before the connection is closed.
const LINGER_MAX: usize = 64 * 1024;

/// One connection. Reads go to [`Stream::buffered`], from where the caller consumes; writes are gathered
/// by [`Stream::send`] and go out together on [`Stream::flush`]. An idle stream holds no buffer.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    deflate: Option<Box<Deflate>>,
    read: ReadBuffer,
    write: Vec<u8>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsSession>),
}

impl Transport {
    fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// Back to the bare socket, for a handshake; under TLS there is none again.
    fn into_plain(self) -> io::Result<TcpStream> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is running already")),
        }
    }
}

#[derive(Debug)]
struct ReadBuffer {
    octets: Vec<u8>,
    /// Consumed so far.
    start: usize,
    max: usize,
    /// What the next read asks for.
    ask: usize,
}

impl ReadBuffer {
    fn new(max: usize) -> Self {
        Self { octets: Vec::new(), start: 0, max, ask: READ_MIN }
    }

    fn unread(&self) -> &[u8] {
        &self.octets[self.start..]
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.octets.len());
        if self.start == self.octets.len() {
            // The memory itself goes when the stream is about to wait (`rest`).
            self.octets.clear();
            self.start = 0;
        }
    }

    fn discard_consumed(&mut self) {
        self.octets.drain(..self.start);
        self.start = 0;
    }

    /// Reads once from the socket, into memory that is taken when there is something to read.
    fn poll_from(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(socket.poll_read_ready(cx))?;
        let room = self.ask.min(self.max.saturating_sub(self.unread().len()));
        if room == 0 {
            return Poll::Ready(Err(full()));
        }
        if self.octets.capacity() - self.octets.len() < room {
            self.discard_consumed();
            self.octets.reserve_exact(room);
        }
        let mut limited = (&mut self.octets).limit(room);
        let count = ready!(pin!(socket.read_buf(&mut limited)).poll(cx))?;
        if count == room {
            // The peer has more: fewer and larger reads from now on.
            self.ask = (self.ask * 2).min(READ_MAX);
        }
        Poll::Ready(Ok(count))
    }

    /// Nothing to read now: frees the memory where nothing is unread.
    fn rest(&mut self) {
        if self.octets.is_empty() {
            self.octets = Vec::new();
            self.ask = READ_MIN;
        }
    }
}

impl Stream {
    /// Over a connected socket, in clear.
    #[must_use]
    pub fn plain(socket: TcpStream) -> Self {
        Self {
            transport: Transport::Plain(socket),
            deflate: None,
            read: ReadBuffer::new(BUFFER_MAX),
            write: Vec::new(),
        }
    }

    /// The bare socket, for a library that speaks by itself, before anything was read or sent.
    ///
    /// # Errors
    /// The stream is under TLS.
    pub fn into_socket(self) -> io::Result<TcpStream> {
        self.transport.into_plain()
    }

    #[cfg(test)]
    pub(crate) fn socket(&self) -> &TcpStream {
        match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(_) => panic!("a test of plain streams"),
        }
    }

    /// The server's handshake after a STARTTLS command was answered. What the client sent in clear ahead
    /// of it is thrown away: it may be an attacker's (RFC 3207 §4.2, CVE-2011-0411).
    ///
    /// # Errors
    /// The handshake failed, or took too long; `InvalidInput` where TLS is running already.
    pub async fn start_tls(self, server: &TlsServer) -> io::Result<Self> {
        let max = self.read.max;
        let session = TlsSession::accept(self.transport.into_plain()?, &[], server).await?;
        Ok(Self::tls_over(session, max))
    }

    /// The server's handshake on a port where TLS comes first. What is buffered (behind a PROXY header)
    /// belongs to it.
    ///
    /// # Errors
    /// As [`Stream::start_tls`].
    pub async fn accept_tls(self, server: &TlsServer) -> io::Result<Self> {
        let Self { transport, read, .. } = self;
        let session = TlsSession::accept(transport.into_plain()?, read.unread(), server).await?;
        Ok(Self::tls_over(session, read.max))
    }

    /// The client's handshake; `name` is the server's name or address. What the server sent in clear
    /// ahead of it is thrown away.
    ///
    /// # Errors
    /// The handshake failed, or took too long; the certificate is not good enough (`InvalidData`).
    pub async fn connect_tls(self, client: &TlsClient, name: &str) -> io::Result<Self> {
        let max = self.read.max;
        let session = TlsSession::connect(self.transport.into_plain()?, client, name).await?;
        Ok(Self::tls_over(session, max))
    }

    fn tls_over(session: TlsSession, max: usize) -> Self {
        let transport = Transport::Tls(Box::new(session));
        Self { transport, deflate: None, read: ReadBuffer::new(max), write: Vec::new() }
    }

    /// What was agreed, where TLS is running.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        match &self.transport {
            Transport::Plain(_) => None,
            Transport::Tls(session) => Some(session.info()),
        }
    }

    /// From now on both directions are compressed (RFC 4978); what is unsent should be flushed before. The peer
    /// sends nothing ahead of our answer: what it did is taken as compressed. Takes some 300 KiB.
    pub fn start_deflate(&mut self) {
        let mut deflate = Deflate::new();
        deflate.packed.octets.extend_from_slice(self.read.unread());
        self.read.consume(usize::MAX / 2);
        self.deflate = Some(Box::new(deflate));
    }

    /// Whether both directions are compressed.
    #[must_use]
    pub fn is_deflated(&self) -> bool {
        self.deflate.is_some()
    }

    /// What was read and not consumed.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.read.unread()
    }

    /// Takes octets off the front of what is buffered.
    pub fn consume(&mut self, count: usize) {
        self.read.consume(count);
    }

    /// Sets how much may be buffered unconsumed.
    pub fn buffer_max(&mut self, octets: usize) {
        self.read.max = octets;
    }

    /// Waits for more from the peer, and gives how much came: 0 at its end of the stream. Safe to drop
    /// (in `select!`, by a timeout): what was read stays buffered.
    ///
    /// # Errors
    /// `InvalidData` when the buffer is at its maximum, or the network's error.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(deflate) = &mut self.deflate else {
            return poll_read(&mut self.transport, &mut self.read, cx);
        };
        let room = self.read.max.saturating_sub(self.read.unread().len());
        if room == 0 {
            return Poll::Ready(Err(full()));
        }
        loop {
            if deflate.has_input() {
                self.read.discard_consumed();
                let count = deflate.unpack(&mut self.read.octets, room)?;
                if count > 0 {
                    return Poll::Ready(Ok(count));
                }
            }
            let polled = poll_read(&mut self.transport, &mut deflate.packed, cx);
            if polled.is_pending() {
                self.read.rest();
            }
            if ready!(polled)? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
    }

    /// Adds to what the next flush sends.
    pub fn send(&mut self, octets: &[u8]) {
        self.write.extend_from_slice(octets);
    }

    /// How much waits for the next flush. Whoever sends much flushes at a limit of its own.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.write.len()
    }

    /// The write buffer itself, for encoders that append to a `Vec`.
    pub fn sending(&mut self) -> &mut Vec<u8> {
        &mut self.write
    }

    /// Sends all that was gathered. After an error (or when dropped half-way) the stream is of no use.
    ///
    /// # Errors
    /// The network's.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.flush_with(&[]).await
    }

    /// Sends what was gathered and then these slices, without copying them into the buffer: one vectored
    /// system call where the kernel takes it all.
    ///
    /// # Errors
    /// The network's.
    pub async fn flush_with(&mut self, slices: &[&[u8]]) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.write);
        let mut slices = slices;
        if let Some(deflate) = &mut self.deflate
            && !(gathered.is_empty() && slices.is_empty())
        {
            gathered = deflate.pack(std::iter::once(&gathered[..]).chain(slices.iter().copied()))?;
            slices = &[];
        }
        let total = gathered.len() + slices.iter().map(|slice| slice.len()).sum::<usize>();
        let mut sent = 0;
        while sent < total {
            sent += poll_fn(|cx| self.poll_send(cx, &gathered, slices, sent)).await?;
        }
        if let Transport::Tls(session) = &mut self.transport {
            poll_fn(|cx| session.poll_drain(cx)).await?;
        }
        if gathered.capacity() <= WRITE_KEEP {
            self.write = gathered;
            self.write.clear();
        }
        Ok(())
    }

    /// Sends some of gathered ++ slices, from octet `from` on; gives how much.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        gathered: &[u8],
        slices: &[&[u8]],
        from: usize,
    ) -> Poll<io::Result<usize>> {
        let mut rest = [IoSlice::new(&[]); SLICES_MAX];
        let count = remaining(gathered, slices, from, &mut rest);
        let sent = ready!(match &mut self.transport {
            Transport::Plain(socket) if count == 1 => Pin::new(socket).poll_write(cx, &rest[0]),
            Transport::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, &rest[..count]),
            Transport::Tls(session) => session.poll_send(cx, &rest[..count]),
        })?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends what was gathered, says goodbye (TLS), and closes; within a few seconds, whatever the peer does.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.finish()).await;
    }

    /// As [`Stream::close`], for a peer that may be talking still: closing with unread input would reset
    /// the connection and destroy our last word on its way. Reads a bounded amount away first.
    pub async fn close_after_refusal(mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async {
            self.finish().await?;
            let socket = self.transport.socket();
            poll_fn(|cx| Pin::new(&mut *socket).poll_shutdown(cx)).await?;
            let mut lingered = 0;
            while lingered < LINGER_MAX {
                self.read.consume(usize::MAX / 2);
                match self.fill().await? {
                    0 => break,
                    count => lingered += count,
                }
            }
            io::Result::Ok(())
        })
        .await;
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        if let Transport::Tls(session) = &mut self.transport {
            session.say_goodbye();
            poll_fn(|cx| session.poll_drain(cx)).await?;
        }
        Ok(())
    }
}

/// Reads once into a buffer, which is freed where there is nothing to read.
fn poll_read(
    transport: &mut Transport,
    read: &mut ReadBuffer,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let polled = match transport {
        Transport::Plain(socket) => read.poll_from(socket, cx),
        Transport::Tls(session) => {
            let room = read.max.saturating_sub(read.unread().len());
            if room == 0 {
                return Poll::Ready(Err(full()));
            }
            read.discard_consumed();
            session.poll_read(cx, &mut read.octets, room)
        }
    };
    if polled.is_pending() {
        read.rest();
    }
    polled
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "read buffer full")
}

/// The slices from octet `from` of gathered ++ slices on, at most `SLICES_MAX`; gives how many.
fn remaining<'a>(gathered: &'a [u8], slices: &[&'a [u8]], from: usize, rest: &mut [IoSlice<'a>]) -> usize {
    let mut skip = from;
    let mut count = 0;
    for slice in std::iter::once(gathered).chain(slices.iter().copied()) {
        if count == rest.len() {
            break;
        }
        if skip >= slice.len() {
            skip -= slice.len();
            continue;
        }
        rest[count] = IoSlice::new(&slice[skip..]);
        count += 1;
        skip = 0;
    }
    count
}

/// Opens a connection to a host, from a certain address of ours where `bind` says so.
///
/// # Errors
/// The network's; `TimedOut` when the time is up.
pub async fn connect(address: SocketAddr, bind: Option<IpAddr>, timeout: Duration) -> io::Result<Stream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(own) = bind {
        socket.bind(SocketAddr::new(own, 0))?;
    }
    let connected = tokio::time::timeout(timeout, socket.connect(address)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(Stream::plain(stream))
}

/// Opens a connection to a host, whose addresses the system's resolver knows: one after the other, within one time for all.
/// Gives the address too.
///
/// # Errors
/// The host has no address, or none answers: the error of the last one tried; `TimedOut` when the time is up.
pub async fn connect_host(host: &str, port: u16, timeout: Duration) -> io::Result<(Stream, SocketAddr)> {
    let tried = async {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_MAX) {
            match connect(address, None, timeout).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    tokio::time::timeout(timeout, tried).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

mod deflate;

#[cfg(test)]
mod tests;
