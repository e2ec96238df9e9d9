//! Bytes to SMTP and LMTP commands, replies and content framing, and back.
//!
//! *What:* the codec of both ends of the wire. The server reads [`Command`]s, frames content with
//! [`DataDecoder`] and [`ChunkDecoder`] and writes replies with [`encode_reply`]; the client writes the
//! same [`Command`]s, stuffs dots with [`DotStuffer`] and reads replies with [`ReplyParser`] and
//! [`Capabilities`]. Beside them stand the PROXY header, XCLIENT attributes and the base64 lines of SASL.
//! *Why:* one grammar for both directions, so that encode and decode are tested as inverses, and one
//! place where the end of content is decided (RFC 5321 §4.1.1.4: only CRLF.CRLF).
//! *Layer 1:* slices in, slices out. No sockets, no clock, no waiting: the caller keeps the buffer, and
//! gives what was not consumed again, with more behind it.

mod capabilities;
mod chunk;
mod command;
mod data;
mod error;
mod line;
mod parameters;
mod path;
mod proxy;
mod reply;
mod sasl;
mod stuffer;
mod xclient;

pub use capabilities::{AUTH_MECHANISMS_MAX, Capabilities};
pub use chunk::ChunkDecoder;
pub use command::{Bdat, Command, HelloName, Mail, Rcpt, Verb};
pub use data::{DataDecoder, LineEndings, LineFault, Step, Then};
pub use error::CommandError;
pub use line::{AUTH_LINE_MAX, COMMAND_LINE_MAX, Line, next_line};
pub use parameters::{ENVID_MAX, ORCPT_MAX, Submitter};
pub use proxy::{PROXY_V1_MAX, PROXY_V2_MAX, ProxyError, ProxyHeader, ProxyParsed, parse_proxy_header};
pub use reply::{
    REPLY_LINE_MAX, REPLY_LINES_MAX, REPLY_OCTETS_MAX, ReplyError, ReplyParser, ReplyStep, encode_reply,
    encode_reply_utf8,
};
pub use sasl::{SaslLine, SaslLineError, decode_sasl_line, encode_sasl};
pub use stuffer::{DotStuffer, LooseLineEnding};
pub use xclient::{XclientAttributes, XclientValue};
