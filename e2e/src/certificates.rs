//! Certificates for the streams between controller and caches: an authority per fleet, a folder per process.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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

    /// Its own certificate and key.
    #[must_use]
    pub fn itself(&self) -> Identity {
        Identity {
            certificate: self.issuer.pem(),
            key: self.issuer.key().serialize_pem(),
            authority: self.issuer.pem(),
        }
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

/// How a client speaks TLS with a server.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// With whoever has a certificate for this name by one of these authorities, in PEM.
    ///
    /// # Panics
    /// If that is no certificate, or no name.
    #[must_use]
    pub fn verified(authorities: &[u8], name: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities) {
            roots
                .add(authority.expect("a certificate in PEM"))
                .expect("a certificate");
        }
        let config = builder().with_root_certificates(roots).with_no_client_auth();
        Self {
            config: Arc::new(config),
            name: name.to_owned().try_into().expect("a name"),
        }
    }

    /// With anybody, as Prometheus with `insecureSkipVerify`.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn unverified() -> Self {
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        Self {
            config: Arc::new(config.with_no_client_auth()),
            name: "anybody".try_into().expect("a name"),
        }
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    versions.expect("the provider has the default versions")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
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
        provider().signature_verification_algorithms.supported_schemes()
    }
}
