//! Accounts, mailboxes, messages, UIDs, mod-sequences, flags, change feed, consistency check.
