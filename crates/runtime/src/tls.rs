//! TLS from PEM files in a directory: `tls.crt`, `tls.key` and `ca.crt`, as a Secret of type `kubernetes.io/tls` mounts them.
//!
//! The files are read again every few seconds. What they change counts for new connections; a set that can't be used, such as one
//! that is half written, changes nothing and is logged once. While a CA is replaced, `ca.crt` holds the old and the new one. Files
//! may be missing at first, as when a Secret is filled after its Pod has started: until then nobody is connected to.

pub mod expiry;
mod pem;
pub mod x509;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

use crate::log::chain;
use crate::readiness::Latch;
use expiry::Expiry;
pub use pem::InvalidPem;
use pem::{Files, PemFiles};

/// How often the files are read: the kubelet takes up to a minute to change them, so seconds more don't matter.
const RELOAD_INTERVAL: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(5)
};
/// The same while there are none: somebody waits.
const FIRST_INTERVAL: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_millis(500)
};
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Why TLS can't be had from a directory.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The files' contents are of no use.
    #[error("failed to use the certificates in {}", directory.display())]
    Invalid {
        /// Which directory.
        directory: PathBuf,
        /// What is wrong with them.
        source: InvalidPem,
    },
}

/// What a server needs for TLS, always as of the last good files. A clone is another handle on the same.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Reloaded<ServerConfig>>);

/// What a client needs for TLS, always as of the last good files. A clone is another handle on the same.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<Reloaded<ClientConfig>>);

/// A configuration and the files that it was made of.
#[derive(Debug)]
struct Reloaded<C> {
    files: Files,
    build: fn(&PemFiles) -> Result<C, InvalidPem>,
    // A std mutex: it is held to swap or clone an `Arc`, never across an await.
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    current: Option<Current<C>>,
    /// What was read last, good or not.
    seen: Option<PemFiles>,
}

#[derive(Debug)]
struct Current<C> {
    config: Arc<C>,
    expiry: Expiry,
}

impl ServerTls {
    /// For gRPC: HTTP/2, and only for clients with a certificate of the CA in `ca.crt`. `ready` is set as soon as the files can be used.
    ///
    /// Must be called within a runtime: the files are read again until the last handle is gone.
    #[must_use]
    pub fn mutual(directory: &Path, ready: Latch) -> Self {
        Self(Reloaded::open(Files::in_directory(directory), mutual_server, ready))
    }

    /// For HTTP/1.1, and any client; `ca.crt` isn't asked for. Otherwise as [`ServerTls::mutual`].
    #[must_use]
    pub fn one_way(directory: &Path, ready: Latch) -> Self {
        Self(Reloaded::open(Files::in_directory(directory), one_way_server, ready))
    }

    /// For metrics: as [`ServerTls::one_way`], with TLS 1.3 only, as the Go operator, and files of these names.
    #[must_use]
    pub fn metrics(directory: &Path, certificate: &str, key: &str, ready: Latch) -> Self {
        let files = Files {
            directory: directory.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        Self(Reloaded::open(files, metrics_server, ready))
    }

    /// For metrics where there are no files: a certificate by nobody but itself, for as long as the process runs.
    ///
    /// # Errors
    /// [`InvalidPem`] if none can be made.
    pub fn metrics_self_signed(name: &str) -> Result<Self, InvalidPem> {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()])?;
        let made = PemFiles::made(cert.pem(), signing_key.serialize_pem());
        let current = Current {
            config: Arc::new(metrics_server(&made)?),
            expiry: made.expiry()?,
        };
        Ok(Self(Arc::new(Reloaded {
            files: Files::in_directory(Path::new("")),
            build: metrics_server,
            state: Mutex::new(State {
                current: Some(current),
                seen: Some(made),
            }),
        })))
    }

    /// The configuration for a new connection; none as long as there were no good files.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.current()
    }

    /// Until when what is in use is good.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        self.0.expiry()
    }
}

impl ClientTls {
    /// For gRPC: HTTP/2, only to servers with a certificate of the CA in `ca.crt`, and with one of its own. `ready` is set as soon as the
    /// files can be used.
    ///
    /// Must be called within a runtime: the files are read again until the last handle is gone.
    #[must_use]
    pub fn mutual(directory: &Path, ready: Latch) -> Self {
        Self(Reloaded::open(Files::in_directory(directory), mutual_client, ready))
    }

    /// The configuration for a new connection; none as long as there were no good files.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ClientConfig>> {
        self.0.current()
    }

    /// Until when what is in use is good.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        self.0.expiry()
    }
}

/// Whether a peer's certificate (its end entity, verified by the handshake) is for this DNS name.
#[must_use]
pub fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else {
        return false;
    };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

/// What reading the files again came to.
#[derive(Debug)]
enum Reload {
    /// They are as before.
    Same,
    /// They were taken over.
    Taken,
}

impl<C: Send + Sync + 'static> Reloaded<C> {
    fn open(files: Files, build: fn(&PemFiles) -> Result<C, InvalidPem>, ready: Latch) -> Arc<Self> {
        let reloaded = Arc::new(Self {
            files,
            build,
            state: Mutex::new(State {
                current: None,
                seen: None,
            }),
        });
        let mut said = None;
        report(&reloaded.files.directory, &reloaded.reload(), false, &mut said);
        if reloaded.current().is_some() {
            ready.set();
        }
        tokio::spawn(reload_while_used(Arc::downgrade(&reloaded), ready, said));
        reloaded
    }

    fn current(&self) -> Option<Arc<C>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.current.as_ref().map(|current| Arc::clone(&current.config))
    }

    fn expiry(&self) -> Option<Expiry> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.current.as_ref().map(|current| current.expiry)
    }

    /// Reads the files and takes them over if they differ and are good.
    fn reload(&self) -> Result<Reload, TlsError> {
        let files = PemFiles::read(&self.files)?;
        if self.has_seen(&files) || PemFiles::read(&self.files)? != files {
            // They may be being written: those that belong together are there next time.
            return Ok(Reload::Same);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let config = (self.build)(&files).and_then(|config| {
            Ok(Current {
                config: Arc::new(config),
                expiry: files.expiry()?,
            })
        });
        // Bad files too: what is wrong with them is said once.
        state.seen = Some(files);
        state.current = Some(config.map_err(|source| TlsError::Invalid {
            directory: self.files.directory.clone(),
            source,
        })?);
        Ok(Reload::Taken)
    }

    fn has_seen(&self, files: &PemFiles) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.as_ref() == Some(files)
    }
}

async fn reload_while_used<C: Send + Sync + 'static>(
    reloaded: Weak<Reloaded<C>>,
    ready: Latch,
    mut said: Option<String>,
) {
    loop {
        let interval = if ready.is_set() {
            RELOAD_INTERVAL
        } else {
            FIRST_INTERVAL
        };
        tokio::time::sleep(interval).await;
        let Some(reloaded) = reloaded.upgrade() else {
            return;
        };
        let had_some = reloaded.current().is_some();
        let directory = reloaded.files.directory.clone();
        let Ok(outcome) = tokio::task::spawn_blocking(move || reloaded.reload()).await else {
            return;
        };
        report(&directory, &outcome, had_some, &mut said);
        if matches!(outcome, Ok(Reload::Taken)) {
            ready.set();
        }
    }
}

/// Logs what is news: each reason once, until it was good again.
fn report(directory: &Path, outcome: &Result<Reload, TlsError>, had_some: bool, said: &mut Option<String>) {
    let directory = directory.display();
    match outcome {
        Ok(Reload::Same) => {}
        Ok(Reload::Taken) => {
            tracing::info!(%directory, "certificates loaded");
            *said = None;
        }
        Err(error) => {
            let error = chain(error);
            if said.as_ref() == Some(&error) {
                return;
            }
            if had_some {
                tracing::error!(%directory, error, "certificates not reloaded; the last good ones stay in use");
            } else {
                tracing::warn!(%directory, error, "waiting for certificates");
            }
            *said = Some(error);
        }
    }
}

fn mutual_server(files: &PemFiles) -> Result<ServerConfig, InvalidPem> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(files.roots()?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(files.chain()?, files.key()?)?;
    config.alpn_protocols = vec![HTTP_2.to_owned()];
    // A peer keeps its connection for hours, so resumption saves nothing, and it would skip the look at a certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn one_way_server(files: &PemFiles) -> Result<ServerConfig, InvalidPem> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(files.chain()?, files.key()?)?;
    config.alpn_protocols = vec![HTTP_1.to_owned()];
    Ok(config)
}

fn metrics_server(files: &PemFiles) -> Result<ServerConfig, InvalidPem> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(files.chain()?, files.key()?)?;
    config.alpn_protocols = vec![HTTP_1.to_owned()];
    Ok(config)
}

fn mutual_client(files: &PemFiles) -> Result<ClientConfig, InvalidPem> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(files.roots()?)
        .with_client_auth_cert(files.chain()?, files.key()?)?;
    config.alpn_protocols = vec![HTTP_2.to_owned()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests;
