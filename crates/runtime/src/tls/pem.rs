//! The three files: reading them, and taking certificates and the key out of their text.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::VerifierBuilderError;

use super::expiry::Expiry;
use super::x509::Validity;
use super::{TlsError, x509};

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
    /// A certificate can't be read.
    #[error(transparent)]
    X509(#[from] x509::NotX509),
    /// None can be made.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate, key and authority don't fit together.
    #[error("failed to use certificate, key and CA together")]
    Config(#[from] rustls::Error),
    /// The authority can't verify clients.
    #[error("failed to verify clients by {AUTHORITY}")]
    Verifier(#[from] VerifierBuilderError),
}

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Files {
    /// Those of a Secret that is mounted here.
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            certificate: CERTIFICATE.to_owned(),
            key: KEY.to_owned(),
        }
    }
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
    /// Certificate and key as somebody made them who needs no files.
    pub(super) fn made(certificate: String, key: String) -> Self {
        Self {
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
            authority: Vec::new(),
        }
    }

    pub(super) fn read(files: &Files) -> Result<Self, TlsError> {
        let read = |file: &str| {
            let path = files.directory.join(file);
            std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
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
        x509::private_key(&self.key).map_err(|source| InvalidPem::Pem { file: KEY, source })
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, InvalidPem> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(AUTHORITY, &self.authority)? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }

    pub(super) fn expiry(&self) -> Result<Expiry, InvalidPem> {
        let validities = |certificates: &[CertificateDer<'_>]| -> Result<Vec<Validity>, InvalidPem> {
            certificates
                .iter()
                .map(|certificate| Ok(x509::validity(certificate)?))
                .collect()
        };
        let end = |validity: &Validity| validity.not_after;
        let chain = validities(&self.chain()?)?;
        let authorities = certificates(AUTHORITY, &self.authority).unwrap_or_default();
        Ok(Expiry {
            certificate: chain
                .into_iter()
                .min_by_key(end)
                .ok_or(InvalidPem::Empty { file: CERTIFICATE })?,
            authority: validities(&authorities)?.into_iter().max_by_key(end),
        })
    }
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let certificates = x509::certificates(pem).map_err(|source| InvalidPem::Pem { file, source })?;
    if certificates.is_empty() {
        return Err(InvalidPem::Empty { file });
    }
    Ok(certificates)
}
