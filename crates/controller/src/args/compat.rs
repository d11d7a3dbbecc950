//! Flags of the Go operator that a chart or script may pass. Those that mean nothing here are accepted and named once, so that a
//! person can take them out in their own time.

use std::path::PathBuf;

use clap::Args;

/// Flags of the Go operator.
#[derive(Debug, Clone, Args)]
pub struct CompatArgs {
    /// The port on which the caches serve rules [default: 18080]. Without effect until Engines are reconciled, as the next four.
    #[arg(long, env = "CORAZA_CACHE_SERVER_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub cache_server_port: Option<u16>,
    /// Envoy's name of the cluster that reaches the caches.
    #[arg(long, env = "CORAZA_ENVOY_CLUSTER_NAME", value_name = "NAME")]
    pub envoy_cluster_name: Option<String>,
    /// The Istio revision to label created Istio objects with.
    #[arg(long, env = "CORAZA_ISTIO_REVISION", value_name = "REVISION")]
    pub istio_revision: Option<String>,
    /// The name of the operator's Deployment and Service.
    #[arg(long, env = "CORAZA_OPERATOR_NAME", value_name = "NAME")]
    pub operator_name: Option<String>,
    /// The plugin of Engines that name none.
    #[arg(long, env = "CORAZA_DEFAULT_WASM_IMAGE", value_name = "URL")]
    pub default_wasm_image: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_gc_interval: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_max_age: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_max_size: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub metrics_cert_path: Option<PathBuf>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub metrics_cert_name: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub metrics_cert_key: Option<String>,
    /// Without effect.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub zap_devel: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_encoder: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_log_level: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_stacktrace_level: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_time_encoding: Option<String>,
}

impl CompatArgs {
    /// The flags that were given and never do anything.
    #[must_use]
    pub fn without_effect(&self) -> Vec<&'static str> {
        [
            ("--cache-gc-interval", self.cache_gc_interval.is_some()),
            ("--cache-max-age", self.cache_max_age.is_some()),
            ("--cache-max-size", self.cache_max_size.is_some()),
            ("--metrics-cert-path", self.metrics_cert_path.is_some()),
            ("--metrics-cert-name", self.metrics_cert_name.is_some()),
            ("--metrics-cert-key", self.metrics_cert_key.is_some()),
            ("--zap-devel", self.zap_devel.is_some()),
            ("--zap-encoder", self.zap_encoder.is_some()),
            ("--zap-log-level", self.zap_log_level.is_some()),
            ("--zap-stacktrace-level", self.zap_stacktrace_level.is_some()),
            ("--zap-time-encoding", self.zap_time_encoding.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }

    /// The flags that were given and are about Engines, which are only watched so far.
    #[must_use]
    pub fn without_effect_yet(&self) -> Vec<&'static str> {
        [
            ("--cache-server-port", self.cache_server_port.is_some()),
            ("--envoy-cluster-name", self.envoy_cluster_name.is_some()),
            ("--istio-revision", self.istio_revision.is_some()),
            ("--operator-name", self.operator_name.is_some()),
            ("--default-wasm-image", self.default_wasm_image.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}
