//! The flags about metrics, which are the Go operator's. Types only.

use std::path::PathBuf;

use clap::Args;

use crate::flag::BindAddress;

/// The flags about metrics.
#[derive(Debug, Clone, Args)]
pub struct MetricsArgs {
    /// Where /metrics is served; 0 is nowhere.
    #[arg(
        long,
        env = "CORAZA_METRICS_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = "0"
    )]
    pub metrics_bind_address: BindAddress,
    /// Whether it is served over TLS, to callers with a token that may get it. Otherwise in plain, to anybody.
    #[arg(long, env = "CORAZA_METRICS_SECURE", value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub metrics_secure: bool,
    /// The directory with the certificate for that; without one it is made at the start, and nobody can verify it.
    #[arg(long, env = "CORAZA_METRICS_CERT_PATH", value_name = "DIRECTORY")]
    metrics_cert_path: Option<String>,
    /// The certificate's file in that directory.
    #[arg(
        long,
        env = "CORAZA_METRICS_CERT_NAME",
        value_name = "FILE",
        default_value = "tls.crt"
    )]
    pub metrics_cert_name: String,
    /// The key's file in that directory.
    #[arg(
        long,
        env = "CORAZA_METRICS_CERT_KEY",
        value_name = "FILE",
        default_value = "tls.key"
    )]
    pub metrics_cert_key: String,
}

impl MetricsArgs {
    /// The directory with the certificate. A flag that is empty, as charts write one that isn't set, is as if it weren't there.
    #[must_use]
    pub fn metrics_cert_path(&self) -> Option<PathBuf> {
        let path = self.metrics_cert_path.as_ref().filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    }
}
