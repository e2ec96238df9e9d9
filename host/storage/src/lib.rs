//! The one durable engine.
//!
//! *What:* named spaces of ordered keys; a [`Batch`] of assertions, puts, deletes and counters
//! that takes effect as a whole; group commit, so that many batches share one sync; content
//! written once and kept while something refers to it (single copy, R79). *Why:* "mail accepted is mail kept" has to
//! be true in one place. *Layer 2.* *Must not know* what a message, a mailbox or a queue is.
//!
//! # The tables
//!
//! | space | key | value |
//! |---|---|---|
//! | `content` | content id, u64 big-endian | the octets, up to [`Options::inline_max`] |
//! | `content_packed` | content id | their length, u32 big-endian, then a zstd frame: content that [`Storage::pack`] has taken out of `content` |
//! | `content_files` | content id | file name (ASCII) in `content/`, for larger content; one that ends with `.z` is packed: blocks of 64 KiB, a zstd frame each |
//! | `content_references` | content id | u64 little-endian; absent means one |
//! | `counters` | as the owner of the counters says | u64 little-endian each, as many as were used |
//!
//! All other spaces belong to the crates that name them. The format's version stands in the file
//! `FORMAT` beside the environment; an unknown one is refused at open. Version 2 is version 1 with packed content, version 3
//! has packed files, too; a folder gets them when its first content, or file, is packed. Version 4 may have records in spaces
//! that programs before it do not know ([`Space::added_in`]); a folder gets it before the first of them.

mod ahead;
mod apply;
mod batch;
mod content;
mod copy;
mod damage;
mod engine;
mod error;
mod key_filter;
mod lmdb;
mod open;
mod pack;
mod pack_files;
mod packed_file;
mod packed_salvage;
mod rebuildable;
mod reserve;
mod space;
mod stats;
mod whole_file;
mod writer;

pub use batch::{Batch, BatchMark, Drawn, Into as PatchInto, Patch};
pub use content::{Content, ContentId, ContentWriter, LoadedContent};
pub use copy::{Compacted, Copied, NotCopied};
pub use damage::{Damage, Salvaged, Verdict};
pub use engine::{Engine, Reading, Visit, Writing};
pub use error::StorageError;
pub use key_filter::KeyFilter;
pub use lmdb::LmdbEngine;
pub use open::{HandedOver, Options, Snapshot, Storage, counter_in};
pub use pack::{PackProgress, Packed};
pub use packed_file::PackedFile;
pub use reserve::Reserve;
pub use space::Space;
pub use stats::{ContentStats, EngineStats, SpaceStats};
pub use writer::{Committed, GROUP_MAX, WRITER_QUEUE_MAX, Writer};

#[cfg(test)]
mod tests;
