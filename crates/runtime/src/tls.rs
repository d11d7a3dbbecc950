//! TLS from PEM files in a directory: `tls.crt`, `tls.key` and `ca.crt`, as a Secret of type `kubernetes.io/tls` mounts them.
//!
//! The files are read again every few seconds. What they change counts for new connections; a set that can't be used, such as one
//! that is half written, changes nothing and is logged once. While a CA is replaced, `ca.crt` holds the old and the new one.

mod pem;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

pub use pem::InvalidPem;
use pem::PemFiles;

/// How often the files are read: the kubelet takes up to a minute to change them, so seconds more don't matter.
const RELOAD_INTERVAL: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(5)
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
    directory: PathBuf,
    build: fn(&PemFiles) -> Result<C, InvalidPem>,
    // A std mutex: it is held to swap or clone an `Arc`, never across an await.
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    config: Arc<C>,
    /// What was read last, good or not.
    seen: PemFiles,
}

impl ServerTls {
    /// For gRPC: HTTP/2, and only for clients with a certificate of the CA in `ca.crt`.
    ///
    /// Must be called within a runtime: the files are read again until the last handle is gone.
    ///
    /// # Errors
    /// [`TlsError`] if the files can't be used now.
    pub fn mutual(directory: &Path) -> Result<Self, TlsError> {
        Reloaded::open(directory, mutual_server).map(Self)
    }

    /// For HTTP/1.1, and any client; `ca.crt` isn't read. Otherwise as [`ServerTls::mutual`].
    ///
    /// # Errors
    /// [`TlsError`] if the files can't be used now.
    pub fn one_way(directory: &Path) -> Result<Self, TlsError> {
        Reloaded::open(directory, one_way_server).map(Self)
    }

    /// The configuration for a new connection.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.current()
    }
}

impl ClientTls {
    /// For gRPC: HTTP/2, only to servers with a certificate of the CA in `ca.crt`, and with one of its own.
    ///
    /// Must be called within a runtime: the files are read again until the last handle is gone.
    ///
    /// # Errors
    /// [`TlsError`] if the files can't be used now.
    pub fn mutual(directory: &Path) -> Result<Self, TlsError> {
        Reloaded::open(directory, mutual_client).map(Self)
    }

    /// The configuration for a new connection.
    #[must_use]
    pub fn current(&self) -> Arc<ClientConfig> {
        self.0.current()
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

impl<C: Send + Sync + 'static> Reloaded<C> {
    fn open(directory: &Path, build: fn(&PemFiles) -> Result<C, InvalidPem>) -> Result<Arc<Self>, TlsError> {
        let seen = PemFiles::read(directory)?;
        let config = build(&seen).map_err(|source| TlsError::Invalid {
            directory: directory.to_owned(),
            source,
        })?;
        let reloaded = Arc::new(Self {
            directory: directory.to_owned(),
            build,
            state: Mutex::new(State {
                config: Arc::new(config),
                seen,
            }),
        });
        tokio::spawn(reload_while_used(Arc::downgrade(&reloaded)));
        Ok(reloaded)
    }

    fn current(&self) -> Arc<C> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state.config)
    }

    /// Reads the files and takes them over if they differ and are good. Returns whether they were taken over.
    fn reload(&self) -> Result<bool, TlsError> {
        let files = PemFiles::read(&self.directory)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen == files {
            return Ok(false);
        }
        let config = (self.build)(&files);
        // Bad files too: what is wrong with them is said once.
        state.seen = files;
        state.config = Arc::new(config.map_err(|source| TlsError::Invalid {
            directory: self.directory.clone(),
            source,
        })?);
        Ok(true)
    }
}

async fn reload_while_used<C: Send + Sync + 'static>(reloaded: Weak<Reloaded<C>>) {
    let mut unreadable = false;
    loop {
        tokio::time::sleep(RELOAD_INTERVAL).await;
        let Some(reloaded) = reloaded.upgrade() else {
            return;
        };
        let directory = reloaded.directory.display().to_string();
        let Ok(outcome) = tokio::task::spawn_blocking(move || reloaded.reload()).await else {
            return;
        };
        match outcome {
            Ok(true) => tracing::info!(directory, "certificates reloaded"),
            Ok(false) => {}
            Err(TlsError::Read { .. }) if unreadable => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(directory, %error, cause, "certificates not reloaded; the last good ones stay in use");
                unreadable = matches!(error, TlsError::Read { .. });
                continue;
            }
        }
        unreadable &= outcome.is_err();
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
