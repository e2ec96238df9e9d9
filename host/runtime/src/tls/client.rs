//! What we ask of the certificate of a server that we connect to.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::rustls;

use super::{TlsError, VERSIONS, provider};

/// How many servers' sessions are remembered for resumption.
const SESSIONS_MAX: usize = 256;

/// The client side of TLS. Clones share the remembered sessions.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Any certificate will do: against listeners, not against impostors. It is what mail between
    /// strangers can have (RFC 7435), and better than clear text, which is the alternative.
    ///
    /// # Errors
    /// The cryptography cannot be set up.
    pub fn opportunistic() -> Result<Self, TlsError> {
        let provider = provider();
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Self::with_sessions(config))
    }

    /// The certificate must be for the name, under an authority that this machine trusts. Blocks (reads
    /// the machine's files).
    ///
    /// # Errors
    /// No authority can be read.
    pub fn verified() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why: String = found.errors.iter().map(|error| format!("; {error}")).collect();
            return Err(TlsError::NoAuthorities(why));
        }
        Self::trusting(found.certs)
    }

    /// The certificate must be for the name, under one of these authorities (DER). Those that cannot be
    /// used are left out.
    ///
    /// # Errors
    /// None of them can be used.
    pub fn trusting(authorities: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (usable, unusable) = roots.add_parsable_certificates(authorities);
        if usable == 0 {
            return Err(TlsError::NoAuthorities(format!("; {unusable} unusable")));
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::with_sessions(config))
    }

    /// As [`Self::trusting`], the authorities of a PEM file. Blocks (reads the file).
    ///
    /// # Errors
    /// The file cannot be read, or holds no authority.
    pub fn trusting_file(path: &Path) -> Result<Self, TlsError> {
        let authorities = super::server::read_certificates(path)?;
        Self::trusting(authorities)
    }

    fn with_sessions(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Self(Arc::new(config))
    }

    /// The same, for a library that makes its own connections.
    #[must_use]
    pub fn library_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Takes any certificate, read or unreadable.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Certificates of old appliances are often such that webpki cannot read them at all.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
