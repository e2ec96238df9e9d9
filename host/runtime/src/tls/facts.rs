//! What a certificate says of itself: from when to when it holds, and for whom.

use std::path::Path;

use mail_types::Timestamp;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio_rustls::rustls;

use super::TlsError;
use super::certificate::validity;
use super::server::read_certificates;

/// What is known of the first certificate of a file: the one that clients are shown as ours.
#[derive(Debug)]
pub struct CertificateFacts {
    certificate: CertificateDer<'static>,
    /// It does not hold before.
    pub not_before: Timestamp,
    /// It does not hold after.
    pub not_after: Timestamp,
}

impl CertificateFacts {
    /// Reads a PEM file. Blocks. None where the certificate does not say when it holds.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn read(path: &Path) -> Result<Option<Self>, TlsError> {
        let certificate = read_certificates(path)?.into_iter().next();
        Ok(certificate.and_then(|certificate| {
            let (not_before, not_after) = validity(&certificate)?;
            Some(Self { not_before: Timestamp(not_before), not_after: Timestamp(not_after), certificate })
        }))
    }

    /// Whether it is for this host, as clients hold names against each other.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let Ok(host) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&self.certificate)
            .is_ok_and(|certificate| verify_server_name(&certificate, &host).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_and_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.pem");
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut parameters =
            rcgen::CertificateParams::new(["mail.example.org".to_owned(), "*.example.net".to_owned()])
                .unwrap();
        // The first is written in two digits of the year, the second in four (as from 2050 on).
        parameters.not_before = rcgen::date_time_ymd(2024, 2, 29);
        parameters.not_after = rcgen::date_time_ymd(2100, 3, 1);
        std::fs::write(&path, parameters.self_signed(&pair).unwrap().pem()).unwrap();
        let facts = CertificateFacts::read(&path).unwrap().unwrap();
        assert_eq!(facts.not_before.as_seconds(), 1_709_164_800);
        assert_eq!(facts.not_after.as_seconds(), 4_107_542_400);
        for (host, is_named) in [
            ("mail.example.org", true),
            ("MAIL.example.org", true),
            ("a.example.net", true),
            ("example.net", false),
            ("www.example.org", false),
            ("no host", false),
        ] {
            assert_eq!(facts.names(host), is_named, "{host}");
        }
    }
}
