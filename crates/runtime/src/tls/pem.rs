//! The three files: reading them, and taking certificates and the key out of their text.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::VerifierBuilderError;

use super::TlsError;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// Why the files' contents are of no use.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPem {
    /// A file isn't PEM, or not of what it should be.
    #[error("failed to parse {file}")]
    Pem {
        /// Which file.
        file: &'static str,
        /// Why not.
        source: pem::Error,
    },
    /// A file has no certificate.
    #[error("{file} has no certificate")]
    Empty {
        /// Which file.
        file: &'static str,
    },
    /// Certificate, key and authority don't fit together.
    #[error("failed to use certificate, key and CA together")]
    Config(#[from] rustls::Error),
    /// The authority can't verify clients.
    #[error("failed to verify clients by {AUTHORITY}")]
    Verifier(#[from] VerifierBuilderError),
}

/// The bytes of the files. A missing `ca.crt` counts as empty: not everybody needs it.
#[derive(PartialEq, Eq)]
pub(super) struct PemFiles {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

/// Has a private key: nothing is shown.
impl fmt::Debug for PemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PemFiles")
    }
}

impl PemFiles {
    pub(super) fn read(directory: &Path) -> Result<Self, TlsError> {
        let read = |file: &str| {
            let path = directory.join(file);
            std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
        };
        Ok(Self {
            certificate: read(CERTIFICATE)?,
            key: read(KEY)?,
            authority: match read(AUTHORITY) {
                Err(TlsError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                read => read?,
            },
        })
    }

    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
        certificates(CERTIFICATE, &self.certificate)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, InvalidPem> {
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| InvalidPem::Pem { file: KEY, source })
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, InvalidPem> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(AUTHORITY, &self.authority)? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|source| InvalidPem::Pem { file, source })?;
    if certificates.is_empty() {
        return Err(InvalidPem::Empty { file });
    }
    Ok(certificates)
}
