//! POP3 sessions over the store.
