//! The server's certificates and keys, reloadable while connections run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::rustls;

use super::certificate::server_end_point;
use super::{PEM_MAX, TlsError, VERSIONS, provider};
use crate::files::{self, Readers};

/// The server side of TLS. Clones share the certificates; a reload serves the handshakes that follow.
#[derive(Debug, Clone)]
pub struct TlsServer(Arc<Files>);

#[derive(Debug)]
struct Files {
    usual: CertificateFiles,
    /// By the name that a client asks for.
    named: Vec<(String, CertificateFiles)>,
    current: ArcSwap<Loaded>,
}

/// A certificate with its chain, and its key: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    choice: Arc<ByName>,
}

impl Loaded {
    /// The digest of the certificate that was shown to a client that asked for a name (RFC 5929 §4.1).
    pub(crate) fn end_point(&self, name: Option<&str>) -> Option<Arc<[u8]>> {
        self.choice.of(name).end_point.clone()
    }
}

/// One certificate, ready to be shown.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    end_point: Option<Arc<[u8]>>,
}

/// Which certificate is shown: that of the name which the client asks for (RFC 6066 §3), else the usual one.
#[derive(Debug)]
struct ByName {
    usual: Shown,
    named: HashMap<String, Shown>,
}

impl ByName {
    fn of(&self, name: Option<&str>) -> &Shown {
        let named = name.and_then(|name| self.named.get(&name.to_ascii_lowercase()));
        named.unwrap_or(&self.usual)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.of(hello.server_name()).key))
    }
}

impl TlsServer {
    /// From PEM files: the certificate with its chain, and its key. Blocks.
    ///
    /// # Errors
    /// A file is missing, unreadable or without what it should hold, or the two do not go together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let usual = CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        Self::load_named(usual, Vec::new())
    }

    /// The same, with further certificates for clients that ask for these names. Blocks.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn load_named(
        usual: CertificateFiles,
        named: Vec<(String, CertificateFiles)>,
    ) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(load(&usual, &named)?);
        Ok(Self(Arc::new(Files { usual, named, current })))
    }

    /// Reads the same files again; where that fails, the old certificates stay. Blocks.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.current.store(Arc::new(load(&self.0.usual, &self.0.named)?));
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.0.current.load_full()
    }
}

fn load(usual: &CertificateFiles, named: &[(String, CertificateFiles)]) -> Result<Loaded, TlsError> {
    let further = named.iter().map(|(name, files)| Ok((name.to_ascii_lowercase(), shown(files)?)));
    let choice = Arc::new(ByName { usual: shown(usual)?, named: further.collect::<Result<_, TlsError>>()? });
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&choice) as _;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Resumption by tickets that the client keeps: no session memory on our side.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Loaded { config: Arc::new(config), choice })
}

fn shown(files: &CertificateFiles) -> Result<Shown, TlsError> {
    let chain = read_certificates(&files.certificate)?;
    let end_point = chain.first().and_then(|leaf| server_end_point(leaf));
    let secret = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| content(&files.key, format!("holds no private key: {error}")))?;
    let key = CertifiedKey::from_der(chain, secret, &provider()).map_err(|why| pair(files, why))?;
    Ok(Shown { key: Arc::new(key), end_point })
}

fn pair(files: &CertificateFiles, why: rustls::Error) -> TlsError {
    let CertificateFiles { certificate, key } = files.clone();
    match why {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { certificate, key },
        why => TlsError::Pair { certificate, key, why },
    }
}

/// The certificates of a PEM file: at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(path, format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(content(path, "holds no certificate (no BEGIN CERTIFICATE)"));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, PEM_MAX).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn content(path: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Content { path: path.to_owned(), what: what.into() }
}

/// Makes sure that a folder has `tls-cert.pem` and `tls-key.pem` (0600), and gives their paths. Where both
/// are missing a self-signed certificate for the names is made, durable when this returns. Blocks.
///
/// # Errors
/// The certificate is there without its key, or nothing can be made or written.
pub fn make_self_signed(folder: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (folder.join("tls-cert.pem"), folder.join("tls-key.pem"));
    let write = |path: &Path, text: &str| {
        files::write_durably(path, text.as_bytes(), Readers::Owner)
            .map_err(|source| TlsError::Write { path: path.to_owned(), source })
    };
    if certificate.exists() {
        if key.exists() {
            return Ok((certificate, key));
        }
        return Err(content(&certificate, "has no tls-key.pem beside it: put the key there, or remove this"));
    }
    files::create_dir_durably(folder)
        .map_err(|source| TlsError::Write { path: folder.to_owned(), source })?;
    // The key goes first, so a key alone is what a crash left (or the operator gave): it is used.
    let pair = if key.exists() {
        rcgen::KeyPair::from_pem(&String::from_utf8_lossy(&read(&key)?))?
    } else {
        let pair = rcgen::KeyPair::generate()?;
        write(&key, &pair.serialize_pem())?;
        pair
    };
    let mut parameters = rcgen::CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
    }
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    // Nobody checks a self-signed certificate's end, but a stop of the mail would be real.
    parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let made = parameters.self_signed(&pair)?;
    write(&certificate, &made.pem())?;
    Ok((certificate, key))
}
