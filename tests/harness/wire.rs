//! One TCP connection of a test, as lines.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use runtime::{Stream, TlsClient};
use tokio::time::timeout;

/// How long a test waits for the other side before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Longest line that a test reads, in octets.
const LINE_MAX: usize = 64 << 20;

/// A connection.
pub struct Wire {
    stream: Stream,
    /// Whether the other side may end lines in LF alone: no protocol of mail does, and texts that HTTP carries do.
    bare_lines: bool,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self, Error> {
        Ok(Self::new(runtime::connect(address, None, PATIENCE).await?))
    }

    /// Takes a connection that stands already.
    #[must_use]
    pub fn new(mut stream: Stream) -> Self {
        stream.buffer_max(LINE_MAX);
        Self { stream, bare_lines: false }
    }

    /// Sends octets as they are.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.stream.send(octets);
        in_time(self.stream.flush()).await
    }

    /// The next line without its CRLF; `None` when the peer has closed.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(at) = self.stream.buffered().iter().position(|octet| *octet == b'\n') {
                let mut line = self.stream.buffered()[..at].to_vec();
                self.stream.consume(at + 1);
                if line.pop_if(|octet| *octet == b'\r').is_none() && !self.bare_lines {
                    return Err(Error::new(ErrorKind::InvalidData, "a line ended in LF alone"));
                }
                return Ok(Some(line));
            }
            match in_time(self.stream.fill()).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                    return Ok(None);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Begins TLS as a client; any certificate will do.
    pub async fn start_tls(self) -> Result<Self, Error> {
        let client = TlsClient::opportunistic().map_err(Error::other)?;
        Ok(Self::new(in_time(self.stream.connect_tls(&client, "localhost")).await?))
    }

    /// The other side may end lines in LF alone.
    pub fn take_bare_lines(&mut self) {
        self.bare_lines = true;
    }

    /// Both directions are compressed from here on (RFC 4978).
    pub fn start_deflate(&mut self) {
        self.stream.start_deflate();
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.map_err(|_| Error::new(ErrorKind::TimedOut, "the peer kept silent"))?
}
