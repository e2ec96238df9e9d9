//! A connection's octets, in clear or under TLS, through buffers that exist only while they hold something.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

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
/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of what a refused peer still says is read away before the connection is closed.
const LINGER_MAX: usize = 64 * 1024;

/// One connection. Reads go to [`Stream::buffered`], from where the caller consumes; writes are gathered
/// by [`Stream::send`] and go out together on [`Stream::flush`]. An idle stream holds no buffer.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    read: ReadBuffer,
    write: Vec<u8>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
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

    /// Makes room for a read; gives how much, 0 at the maximum.
    fn make_room(&mut self) -> usize {
        let room = self.ask.min(self.max.saturating_sub(self.unread().len()));
        if self.octets.capacity() - self.octets.len() < room {
            self.octets.drain(..self.start);
            self.start = 0;
            self.octets.reserve_exact(room);
        }
        room
    }

    /// Learns from a read how much the next should ask for.
    fn learn(&mut self, room: usize, got: usize) {
        self.ask = if got >= room { (self.ask * 2).min(READ_MAX) } else { self.ask };
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
        Self { transport: Transport::Plain(socket), read: ReadBuffer::new(BUFFER_MAX), write: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn socket(&self) -> &TcpStream {
        match &self.transport {
            Transport::Plain(socket) => socket,
        }
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
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Transport::Plain(socket) = &mut self.transport;
        if socket.poll_read_ready(cx)?.is_pending() {
            self.read.rest();
            return Poll::Pending;
        }
        let room = self.read.make_room();
        if room == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "read buffer full")));
        }
        let mut limited = bytes::BufMut::limit(&mut self.read.octets, room);
        let reading = pin!(socket.read_buf(&mut limited));
        match std::future::Future::poll(reading, cx) {
            Poll::Ready(Ok(count)) => {
                self.read.learn(room, count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.read.rest();
                Poll::Pending
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
        let gathered = std::mem::take(&mut self.write);
        let total = gathered.len() + slices.iter().map(|slice| slice.len()).sum::<usize>();
        let mut sent = 0;
        while sent < total {
            sent += std::future::poll_fn(|cx| self.poll_send(cx, &gathered, slices, sent)).await?;
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
        let Transport::Plain(socket) = &mut self.transport;
        let sent = if count == 1 {
            ready!(Pin::new(socket).poll_write(cx, &rest[0]))?
        } else {
            ready!(Pin::new(socket).poll_write_vectored(cx, &rest[..count]))?
        };
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
            let Transport::Plain(socket) = &mut self.transport;
            std::future::poll_fn(|cx| Pin::new(&mut *socket).poll_shutdown(cx)).await?;
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
        self.flush().await
    }
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

#[cfg(test)]
mod tests;
