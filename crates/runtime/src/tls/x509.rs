//! What is read of certificates beyond what TLS itself reads. Pure.

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// From when to when a certificate is good, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Good from here on.
    pub not_before: i64,
    /// Good until here.
    pub not_after: i64,
}

/// A certificate that isn't X.509.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate is not X.509")]
pub struct NotX509;

/// All certificates of a PEM text, which may be none.
///
/// # Errors
/// If the text isn't PEM.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

/// The private key of a PEM text.
///
/// # Errors
/// If there is none.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_slice(text)
}

/// When a certificate is good.
///
/// # Errors
/// [`NotX509`].
pub fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, NotX509> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotX509)?;
    let validity = parsed.validity();
    Ok(Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}
