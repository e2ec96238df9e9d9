//! What an operator asks of the storage.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request about the storage. Folders are named by absolute paths: whoever performs the request reads and writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of-store", rename_all = "kebab-case")]
pub enum StoreRequest {
    /// What it takes up.
    Stats,
    /// What an account or a domain takes up, beside its limits.
    Quota {
        /// Which.
        name: String,
    },
    /// Compress content that came since it was done last.
    Compress,
    /// A consistent copy of the data directory.
    Backup {
        /// Into a folder that is not there yet.
        folder: PathBuf,
        /// Of this data directory: the one by which the server was found.
        data: PathBuf,
    },
}
