//! The ways out: store, smtp, lmtp, hold, reprocess, bitbucket.
