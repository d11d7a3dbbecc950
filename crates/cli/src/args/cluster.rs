//! Which cluster and namespace: flags with kubectl's names and meanings.

use std::path::PathBuf;

/// kubectl passes none of its own flags on to a plugin, so they stand after the command: `kubectl coraza status -n shop`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterFlags {
    /// The kubeconfig file; else KUBECONFIG, ~/.kube/config, or the Pod's own ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The cluster of the kubeconfig, in place of the context's
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// The user of the kubeconfig, in place of the context's
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The namespace; else the context's
    #[arg(long, short, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", value_name = "USER")]
    pub(crate) impersonate: Option<String>,
    /// A group to impersonate; may be given several times
    #[arg(long = "as-group", value_name = "GROUP", requires = "impersonate")]
    pub(crate) impersonate_groups: Vec<String>,
    /// How long one request to the API server may take, such as 5s or 1m; 0 is as long as it takes
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = crate::args::duration::parse)]
    pub(crate) request_timeout: std::time::Duration,
}
