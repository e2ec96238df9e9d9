//! The command's end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{ANSWER_MAX, Answer, Line, Request, socket_path};

/// What came of asking.
pub enum Reached {
    /// The server answered.
    Answered(Result<Answer, String>),
    /// No server runs over this data directory.
    NoServer,
}

/// Asks the server of a data directory. `progress` is told how far it is.
pub fn ask(data: &Path, request: &Request, progress: impl FnMut(u64, u64, &str)) -> io::Result<Reached> {
    ask_at(&socket_path(data), request, progress)
}

/// Asks the server behind a socket.
pub fn ask_at(
    socket: &Path,
    request: &Request,
    mut progress: impl FnMut(u64, u64, &str),
) -> io::Result<Reached> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(Reached::NoServer);
        }
        Err(e) => return Err(e),
    };
    let mut octets = serde_json::to_vec(request)?;
    octets.push(b'\n');
    // Who is turned away finds the reason there, although nobody reads any more.
    let sent = stream.write_all(&octets);
    let mut reader = BufReader::new(stream.take(ANSWER_MAX as u64));
    let mut text = String::new();
    loop {
        text.clear();
        match (reader.read_line(&mut text), &sent) {
            (Ok(0) | Err(_), Err(why)) => return Err(io::Error::new(why.kind(), why.to_string())),
            (Ok(0), Ok(())) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server went away"));
            }
            (Err(why), Ok(())) => return Err(why),
            (Ok(_), _) => {}
        }
        match serde_json::from_str(&text)? {
            Line::Progress(done, of, what) => progress(done, of, &what),
            Line::Answer(answer) => return Ok(Reached::Answered(Ok(answer))),
            Line::Fault(why) => return Ok(Reached::Answered(Err(why))),
        }
    }
}
