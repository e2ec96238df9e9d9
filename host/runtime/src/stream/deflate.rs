//! DEFLATE over a connection (RFC 4978): what is read is unpacked, what is sent is packed, inside of TLS.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::ReadBuffer;

/// How much one step unpacks at most.
const UNPACKED_MAX: usize = 64 * 1024;
/// How much is packed at a time.
const PACKED_STEP: usize = 16 * 1024;
/// How much that is packed waits to be unpacked.
const PACKED_MAX: usize = 64 * 1024;

/// Both directions of one connection. Their windows take some 300 KiB: whoever offers this bounds the number.
#[derive(Debug)]
pub(super) struct Deflate {
    inflate: Decompress,
    deflate: Compress,
    /// Read, and not unpacked yet.
    pub(super) packed: ReadBuffer,
    /// The last step filled its room: there is more without reading.
    has_more: bool,
}

impl Deflate {
    /// Raw DEFLATE, without the header of zlib (RFC 4978 §4).
    pub(super) fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            deflate: Compress::new(Compression::fast(), false),
            packed: ReadBuffer::new(PACKED_MAX),
            has_more: false,
        }
    }

    /// Whether unpacking may give something without reading.
    pub(super) fn has_input(&self) -> bool {
        self.has_more || !self.packed.unread().is_empty()
    }

    /// Unpacks at most `room` octets; how many that are.
    ///
    /// # Errors
    /// `InvalidData`: what came is not DEFLATE, or its end.
    pub(super) fn unpack(&mut self, into: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let room = room.min(UNPACKED_MAX);
        let start = into.len();
        into.resize(start + room, 0);
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let step = self.inflate.decompress(self.packed.unread(), &mut into[start..], FlushDecompress::None);
        let count = usize::try_from(self.inflate.total_out() - written).unwrap_or(room);
        self.packed.consume(usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX));
        into.truncate(start + count);
        self.has_more = count == room;
        match step {
            Ok(Status::Ok | Status::BufError) => Ok(count),
            Ok(Status::StreamEnd) => Err(invalid("the client ended the compressed stream")),
            Err(_) => Err(invalid("what came is not DEFLATE")),
        }
    }

    /// Packs what is to be sent, so that the peer can unpack all of it.
    pub(super) fn pack<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        for slice in slices {
            self.run(slice, &mut packed, FlushCompress::None)?;
        }
        self.run(&[], &mut packed, FlushCompress::Sync)?;
        Ok(packed)
    }

    fn run(&mut self, mut input: &[u8], packed: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
        loop {
            packed.reserve(PACKED_STEP);
            let read = self.deflate.total_in();
            self.deflate.compress_vec(input, packed, flush).map_err(io::Error::other)?;
            let count = usize::try_from(self.deflate.total_in() - read).unwrap_or(input.len());
            input = &input[count.min(input.len())..];
            // Room that is left says that nothing waits inside.
            if input.is_empty() && packed.len() < packed.capacity() {
                return Ok(());
            }
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
