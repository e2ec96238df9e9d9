//! The one durable engine: atomic batches, group commit, ordered reads, content stored once.
