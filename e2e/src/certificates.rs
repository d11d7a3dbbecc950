//! Certificates for the streams between controller and caches: an authority per fleet, a folder per process.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// What caches verify their publisher to be.
pub const CONTROLLER: &str = "coraza-controller";
/// What the publisher verifies its subscribers to be.
pub const CACHE: &str = "coraza-cache";

/// An authority that signs certificates with one DNS name each.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A key and its certificate, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The authority that signed it.
    pub authority: String,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Panics
    /// Never with this library's algorithms.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "end to end tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key can be made");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority can sign itself"),
        }
    }

    /// A certificate for a DNS name, usable at both ends of a connection.
    ///
    /// # Panics
    /// If `name` is no DNS name.
    #[must_use]
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_as(name, |_| {})
    }

    /// The same, that was good until some years ago.
    #[must_use]
    pub fn issue_expired(&self, name: &str) -> Identity {
        self.issue_as(name, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority can sign");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: self.issuer.pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    /// Writes `tls.crt`, `tls.key` and `ca.crt`, as `--tls-dir` wants them, over those that are there.
    ///
    /// # Panics
    /// If they can't be written.
    pub fn write(&self, directory: &Path) {
        for (file, text) in [
            ("tls.crt", &self.certificate),
            ("tls.key", &self.key),
            ("ca.crt", &self.authority),
        ] {
            std::fs::write(directory.join(file), text)
                .unwrap_or_else(|error| panic!("failed to write {file}: {error}"));
        }
    }
}
