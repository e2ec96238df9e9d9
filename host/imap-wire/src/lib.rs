//! Bytes to IMAP commands and responses, and back.
