//! What a Secret's certificate says, and whether it is good. Pure: bytes and a time go in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The files, as the programs read them.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// Its DNS names.
    pub(crate) names: Vec<String>,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidCertificate {
    /// A file is missing, or has no PEM in it.
    #[error("{0} has nothing in it that can be used")]
    Missing(&'static str),
    /// A file isn't what it should be.
    #[error("{file} is not PEM of what it should be: {why}")]
    Pem {
        /// Which file.
        file: &'static str,
        /// Why not.
        why: String,
    },
    /// A certificate can't be read.
    #[error("the certificate in {CERTIFICATE} can't be read: {0}")]
    Certificate(String),
    /// Key and certificate don't belong together.
    #[error("{KEY} is not the key of {CERTIFICATE}")]
    Key(#[source] rustls::Error),
    /// It isn't signed by the authority, or not for this name.
    #[error("{CERTIFICATE} is not good for {name} by {AUTHORITY}")]
    Chain {
        /// For whom.
        name: &'static str,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// Reads what a certificate says.
pub(crate) fn read(files: &Files) -> Result<Certificate, InvalidCertificate> {
    let chain = certificates(files, CERTIFICATE)?;
    let leaf = chain.first().ok_or(InvalidCertificate::Missing(CERTIFICATE))?;
    let unreadable = |error: &dyn std::fmt::Display| InvalidCertificate::Certificate(error.to_string());
    let (_, parsed) = parse_x509_certificate(leaf).map_err(|error| unreadable(&error))?;
    let names = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Ok(Certificate {
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        names: names.collect(),
    })
}

/// Whether key, certificate and authority belong together, and the certificate is for a name.
pub(crate) fn verify(files: &Files, name: &'static str, now: Timestamp) -> Result<(), InvalidCertificate> {
    pair(files)?;
    accepted(files, files, name, now)
}

/// Whether key and certificate belong together.
pub(crate) fn pair(files: &Files) -> Result<(), InvalidCertificate> {
    let key = files
        .get(KEY)
        .filter(|key| !key.is_empty())
        .ok_or(InvalidCertificate::Missing(KEY))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| pem(KEY, &error))?;
    let chain = certificates(files, CERTIFICATE)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(InvalidCertificate::Key)
        .map(drop)
}

/// Whether who trusts the authorities of some files accepts the certificate of others for a name.
pub(crate) fn accepted(
    shown: &Files,
    trusted: &Files,
    name: &'static str,
    now: Timestamp,
) -> Result<(), InvalidCertificate> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(shown, CERTIFICATE)?;
    let wrong = |source| InvalidCertificate::Chain { name, source };
    let mut roots = RootCertStore::empty();
    for authority in certificates(trusted, AUTHORITY)? {
        roots.add(authority).map_err(wrong)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier
        .build()
        .map_err(|error| wrong(rustls::Error::General(error.to_string())))?;
    let Some((leaf, others)) = chain.split_first() else {
        return Err(InvalidCertificate::Missing(CERTIFICATE));
    };
    let server = ServerName::try_from(name).map_err(|error| wrong(rustls::Error::General(error.to_string())))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    verifier
        .verify_server_cert(leaf, others, &server, &[], now)
        .map_err(wrong)
        .map(drop)
}

fn certificates(files: &Files, file: &'static str) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let bytes = files
        .get(file)
        .filter(|bytes| !bytes.is_empty())
        .ok_or(InvalidCertificate::Missing(file))?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let parsed = parsed.map_err(|error| pem(file, &error))?;
    if parsed.is_empty() {
        Err(InvalidCertificate::Missing(file))
    } else {
        Ok(parsed)
    }
}

fn pem(file: &'static str, error: &dyn std::fmt::Display) -> InvalidCertificate {
    InvalidCertificate::Pem {
        file,
        why: error.to_string(),
    }
}
