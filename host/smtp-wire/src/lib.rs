//! Bytes to SMTP and LMTP commands, replies and content framing, and back.
