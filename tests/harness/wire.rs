//! One TCP connection of a test, as lines.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for the other side before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and what of it was read but not yet asked for.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self, Error> {
        Ok(Self::new(in_time(TcpStream::connect(address)).await?))
    }

    /// Takes a connection that stands already.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends octets as they are.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Error> {
        in_time(self.stream.write_all(octets)).await?;
        in_time(self.stream.flush()).await
    }

    /// The next line without its CRLF; `None` when the peer has closed.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(at) = self.buffer.iter().position(|octet| *octet == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                if line.pop_if(|octet| *octet == b'\r').is_none() {
                    return Err(Error::new(ErrorKind::InvalidData, "a line ended in LF alone"));
                }
                return Ok(Some(line));
            }
            let mut piece = [0; 16 * 1024];
            match in_time(self.stream.read(&mut piece)).await {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }

    /// Begins TLS as a client; any certificate will do.
    pub async fn start_tls(self) -> Result<Self, Error> {
        Err(Error::other("TLS is not wired into the tests yet"))
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.map_err(|_| Error::new(ErrorKind::TimedOut, "the peer kept silent"))?
}
