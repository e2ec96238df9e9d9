//! What is sent after DATA or BDAT: the header fields that we added, then the content as it came.

use std::io;

use bytes::Bytes;
use memchr::memchr_iter;
use queue::Attempt;
use storage::LoadedContent;

/// Octets read from a content file at a time.
pub(crate) const PIECE: usize = 256 * 1024;
/// How far a header is looked for.
const HEADER_MAX: usize = 1024 * 1024;

/// Prefix and content as one run of octets, read in pieces.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    prefix: Bytes,
    loaded: LoadedContent,
}

impl Content {
    pub(crate) fn of(attempt: &Attempt) -> Self {
        Self { prefix: attempt.prefix.clone(), loaded: attempt.content.clone() }
    }

    /// Octets, as SIZE counts them (RFC 1870 §5).
    pub(crate) fn len(&self) -> u64 {
        self.prefix.len() as u64 + self.loaded.len()
    }

    /// The pieces after the prefix; `offset` from 0 on. Empty at the end.
    pub(crate) async fn piece(&self, offset: u64) -> io::Result<Bytes> {
        if let LoadedContent::Memory(octets) = &self.loaded {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(octets.len());
            return Ok(octets.slice(start..octets.len().min(start.saturating_add(PIECE))));
        }
        // A disk may be slow; other sessions run on this thread.
        let loaded = self.loaded.clone();
        let reading = tokio::task::spawn_blocking(move || loaded.range(offset, PIECE));
        reading.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    pub(crate) fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// The content where it is in memory whole: then one write may carry it.
    pub(crate) fn in_memory(&self) -> Option<&Bytes> {
        match &self.loaded {
            LoadedContent::Memory(octets) => Some(octets),
            LoadedContent::File { .. } | LoadedContent::Packed(_) => None,
        }
    }

    /// Whether all of it is ASCII.
    ///
    /// # Errors
    /// It cannot be read now: no reason to return the message.
    pub(crate) fn is_ascii(&self) -> io::Result<bool> {
        Ok(self.prefix.is_ascii() && self.all(|piece, _| piece.is_ascii())?)
    }

    /// Whether the header is ASCII.
    ///
    /// # Errors
    /// As [`Content::is_ascii`].
    pub(crate) fn header_is_ascii(&self) -> io::Result<bool> {
        let head = self.loaded.range(0, HEADER_MAX).map_err(io::Error::other)?;
        let end = memchr::memmem::find(&head, b"\r\n\r\n").unwrap_or(head.len());
        Ok(self.prefix.is_ascii() && head[..end].is_ascii())
    }

    /// Whether CR and LF stand only together (RFC 5321 §2.3.8).
    ///
    /// # Errors
    /// As [`Content::is_ascii`].
    pub(crate) fn has_proper_lines(&self) -> io::Result<bool> {
        let mut lines = Lines::default();
        Ok(lines.take(&self.prefix) && self.all(|piece, last| lines.take(piece) && (!last || lines.end()))?)
    }

    /// Only for the rare messages that need a look before they are sent.
    fn all(&self, mut holds: impl FnMut(&[u8], bool) -> bool) -> io::Result<bool> {
        let mut offset = 0;
        loop {
            let piece = self.loaded.range(offset, PIECE).map_err(io::Error::other)?;
            offset += piece.len() as u64;
            let last = offset >= self.loaded.len() || piece.is_empty();
            if !holds(&piece, last) {
                return Ok(false);
            }
            if last {
                return Ok(true);
            }
        }
    }
}

/// Watches that CR and LF stand only together, over pieces of any size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    after_cr: bool,
}

impl Lines {
    /// Whether the next piece is proper so far.
    pub(crate) fn take(&mut self, piece: &[u8]) -> bool {
        let [first, .., last] = match piece {
            [] => return true,
            [one] => [*one, *one],
            [first, .., last] => [*first, *last],
        };
        if self.after_cr != (first == b'\n') {
            return false;
        }
        let ends = |at: usize| at == 0 || piece[at - 1] == b'\r';
        let mut pairs = 0;
        for at in memchr_iter(b'\n', piece) {
            if !ends(at) {
                return false;
            }
            pairs += usize::from(at > 0);
        }
        self.after_cr = last == b'\r';
        // Each CR has its LF in this piece, but for one at the end.
        memchr_iter(b'\r', piece).count() == pairs + usize::from(self.after_cr)
    }

    /// Whether it may end here.
    pub(crate) fn end(&self) -> bool {
        !self.after_cr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_proper_or_not() {
        let proper = |text: &str| {
            let mut lines = Lines::default();
            lines.take(text.as_bytes()) && lines.end()
        };
        for good in ["", "a", "\r\n", "a\r\n\r\nb", "a\r\n"] {
            assert!(proper(good), "{good:?}");
        }
        for bad in ["\n", "\r", "a\nb", "a\rb", "a\r\r\n", "\n\r", "a\r\n\n", "a\r"] {
            assert!(!proper(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a\r\n]{0,12}", cut in 0_usize..12) {
            let octets = text.as_bytes();
            let (head, tail) = octets.split_at(cut.min(octets.len()));
            let whole = { let mut lines = Lines::default(); lines.take(octets) && lines.end() };
            let mut lines = Lines::default();
            let pieces = lines.take(head) && lines.take(tail) && lines.end();
            prop_assert_eq!(whole, pieces);
            let plain = text.replace("\r\n", "");
            prop_assert_eq!(whole, !plain.contains(['\r', '\n']));
        }
    }
}
