//! What the Secrets hold, as values: certificates with their keys, and who is trusted. Pure.
//!
//! The CA's Secret has `tls.crt` and `tls.key` (who signs), `next.crt` and `next.key` (its successor, while there is one) and `ca.crt` (all
//! that are trusted). A peer's has `tls.crt`, `tls.key` and `ca.crt`, as its process reads them.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use coraza_runtime::tls::{is_for, x509};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

/// On each Secret, with the value [`OURS`]: its contents are the controller's to make and to replace.
pub const CERTIFICATES: &str = "waf.k8s.coraza.io/certificates";
/// The only value of [`CERTIFICATES`] that acts.
pub const OURS: &str = "self-signed";
/// On the CA's Secret: since when all peers' Secrets have the successor.
pub const SUCCESSOR_PUBLISHED: &str = "waf.k8s.coraza.io/successor-published";
/// On the CA's Secret: until when a certificate by those who signed before may be in use.
pub const PREDECESSORS_UNTIL: &str = "waf.k8s.coraza.io/predecessors-trusted-until";

/// A Secret's data, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    /// Good from here on.
    pub not_before: Timestamp,
    /// Good until here.
    pub not_after: Timestamp,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: Certificate,
    key: String,
}

/// Has a private key: nothing of it is shown.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pair").field(&self.certificate).finish()
    }
}

/// The CA as its Secret has it. What can't be used counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// Who signs.
    pub signer: Option<Pair>,
    /// Who will.
    pub successor: Option<Successor>,
    /// Whom peers trust.
    pub trusted: Vec<Certificate>,
    /// Until when a certificate by those who signed before may be in use.
    pub predecessors_until: Option<Timestamp>,
}

/// The CA that will sign when all peers trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Its certificate and key.
    pub pair: Pair,
    /// Since when the Secrets of all peers have it.
    pub published: Option<Timestamp>,
}

/// A peer's certificate as its Secret has it. What can't be used counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaf {
    /// What the peer shows.
    pub pair: Option<Pair>,
    /// Whom it trusts.
    pub trusted: Vec<Certificate>,
}

impl Certificate {
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let validity = x509::validity(&der).ok()?;
        Some(Self {
            der,
            not_before: Timestamp::from_second(validity.not_before).ok()?,
            not_after: Timestamp::from_second(validity.not_after).ok()?,
        })
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whether it is good at this time, as far as it says itself.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.der);
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let body: Vec<_> = lines.collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            body.join("\n")
        )
    }
}

impl Pair {
    pub(super) const fn new(certificate: Certificate, key: String) -> Self {
        Self { certificate, key }
    }

    /// The key, in PEM.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The certificate and the key under these names, if they belong together.
    fn read(data: &Data, certificate: &str, key: &str) -> Option<Self> {
        let (certificate, key) = (data.get(certificate)?, data.get(key)?);
        let der = x509::certificates(certificate).ok()?.into_iter().next()?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(vec![der.clone()], x509::private_key(key).ok()?, &provider).ok()?;
        Some(Self {
            certificate: Certificate::read(der)?,
            key: String::from_utf8(key.clone()).ok()?,
        })
    }

    fn write(&self, data: &mut Data, certificate: &str, key: &str) {
        data.insert(certificate.to_owned(), self.certificate.pem().into_bytes());
        data.insert(key.to_owned(), self.key.clone().into_bytes());
    }
}

impl Authority {
    /// What a Secret with this data and these annotations has.
    #[must_use]
    pub fn read(data: &Data, annotations: &BTreeMap<String, String>) -> Self {
        let time = |name: &str| annotations.get(name).and_then(|text| text.parse().ok());
        Self {
            signer: Pair::read(data, "tls.crt", "tls.key"),
            successor: Pair::read(data, "next.crt", "next.key").map(|pair| Successor {
                pair,
                published: time(SUCCESSOR_PUBLISHED),
            }),
            trusted: bundle(data),
            predecessors_until: time(PREDECESSORS_UNTIL),
        }
    }

    /// All of the Secret's data.
    #[must_use]
    pub fn data(&self) -> Data {
        let mut data = Data::new();
        if let Some(signer) = &self.signer {
            signer.write(&mut data, "tls.crt", "tls.key");
        }
        if let Some(successor) = &self.successor {
            successor.pair.write(&mut data, "next.crt", "next.key");
        }
        data.insert("ca.crt".to_owned(), pem(&self.trusted));
        data
    }

    /// The annotations that say how far a succession is; none where nothing is to say.
    #[must_use]
    pub fn annotations(&self) -> [(&'static str, Option<String>); 2] {
        let published = self.successor.as_ref().and_then(|successor| successor.published);
        [
            (SUCCESSOR_PUBLISHED, published.map(|time| time.to_string())),
            (PREDECESSORS_UNTIL, self.predecessors_until.map(|time| time.to_string())),
        ]
    }
}

impl Leaf {
    /// What a Secret with this data has.
    #[must_use]
    pub fn read(data: &Data) -> Self {
        Self {
            pair: Pair::read(data, "tls.crt", "tls.key"),
            trusted: bundle(data),
        }
    }

    /// All of the Secret's data.
    #[must_use]
    pub fn data(&self) -> Data {
        let mut data = Data::new();
        if let Some(pair) = &self.pair {
            pair.write(&mut data, "tls.crt", "tls.key");
        }
        data.insert("ca.crt".to_owned(), pem(&self.trusted));
        data
    }

    /// Whether a peer who trusts `trusted` takes it for each of these names.
    #[must_use]
    pub fn is_good<'a>(
        &self,
        trusted: impl IntoIterator<Item = &'a Certificate>,
        names: &[String],
        now: Timestamp,
    ) -> bool {
        let shown = self.pair.as_ref().map(|pair| &pair.certificate.der);
        self.is_by(trusted, now) && shown.is_some_and(|shown| names.iter().all(|name| is_for(shown, name)))
    }

    /// Whether a peer who trusts `trusted` takes it, whatever its names.
    #[must_use]
    pub fn is_by<'a>(&self, trusted: impl IntoIterator<Item = &'a Certificate>, now: Timestamp) -> bool {
        let (Some(pair), Some(roots)) = (&self.pair, roots(trusted)) else {
            return false;
        };
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        ParsedCertificate::try_from(&pair.certificate.der).is_ok_and(|parsed| {
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], unix(now), algorithms.all).is_ok()
        })
    }
}

pub(super) fn roots<'a>(trusted: impl IntoIterator<Item = &'a Certificate>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der.clone()).ok()?;
    }
    Some(roots)
}

pub(super) fn unix(time: Timestamp) -> UnixTime {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn bundle(data: &Data) -> Vec<Certificate> {
    let text = data.get("ca.crt").map(Vec::as_slice).unwrap_or_default();
    let certificates = x509::certificates(text).unwrap_or_default();
    certificates.into_iter().filter_map(Certificate::read).collect()
}

fn pem(certificates: &[Certificate]) -> Vec<u8> {
    let texts: String = certificates.iter().map(Certificate::pem).collect();
    texts.into_bytes()
}
