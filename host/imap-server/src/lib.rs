//! IMAP sessions over the store.
