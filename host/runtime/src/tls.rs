//! TLS 1.2 and 1.3, both sides, by rustls on ring.

mod certificate;
mod client;
mod facts;
mod server;
pub(crate) mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls;

pub use client::TlsClient;
pub use facts::CertificateFacts;
pub use server::{CertificateFiles, TlsServer, make_self_signed};

/// How long a handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How large a certificate or key file may be, in octets.
const PEM_MAX: u64 = 1024 * 1024;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Each is what it should be, and the key is not the certificate's.
    #[error("the key of {key} does not belong to the first certificate of {certificate}")]
    Mismatch {
        /// The file of the certificate and its chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate cannot be used with its key.
    #[error("{certificate} with {key} cannot be used: {why}")]
    Pair {
        /// The file of the certificate and its chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        why: rustls::Error,
    },
    /// What the files have nothing to do with.
    #[error("TLS cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// No self-signed certificate can be made.
    #[error("no self-signed certificate can be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The machine's certificate authorities cannot be read.
    #[error("no certificate authorities found on this machine{0}")]
    NoAuthorities(String),
}

/// What was agreed in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// As in a Received field: `TLSv1.3`.
    pub version: &'static str,
    /// The suite's registered name: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// Channel binding `tls-exporter` (RFC 9266), where the protocol version makes it safe.
    pub exporter: Option<[u8; 32]>,
    /// Channel binding `tls-server-end-point` (RFC 5929 §4) of our own certificate, on the server side.
    pub server_end_point: Option<Arc<[u8]>>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Both versions, newest first.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[cfg(test)]
mod tests;
