//! The way to the API server, by a kubeconfig. Reads files; calls nobody.

use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::args::ClusterFlags;

/// How long a connection may take to be made: a person waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster, and the namespace that is meant if none is said.
pub(crate) struct Cluster {
    /// A client.
    pub(crate) client: Client,
    /// `--namespace`, else the context's, else `default`.
    pub(crate) namespace: String,
    /// Where the API server is, to tell people.
    pub(crate) server: String,
}

impl Cluster {
    /// The cluster that the flags name.
    ///
    /// # Errors
    /// [`ClusterError`] if there is no configuration, or none that can be used. The API server isn't called.
    pub(crate) async fn connect(flags: &ClusterFlags) -> Result<Self, ClusterError> {
        let mut config = configuration(flags).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // A 503 of what is asked through the API server is an answer, and a person waits for it.
        config.default_retry = false;
        if !flags.request_timeout.is_zero() {
            config.connect_timeout = Some(flags.request_timeout.min(CONNECT_TIMEOUT));
            config.read_timeout = Some(flags.request_timeout);
            config.write_timeout = Some(flags.request_timeout);
        }
        if flags.impersonate.is_some() {
            config.auth_info.impersonate.clone_from(&flags.impersonate);
            config.auth_info.impersonate_groups = Some(flags.impersonate_groups.clone());
        }
        Ok(Self {
            namespace: flags
                .namespace
                .clone()
                .unwrap_or_else(|| config.default_namespace.clone()),
            server: config.cluster_url.to_string(),
            client: Client::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?,
        })
    }
}

async fn configuration(flags: &ClusterFlags) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let failed = |error| ClusterError::Kubeconfig(Box::new(error));
    if let Some(path) = &flags.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(failed)?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(failed);
    }
    match Config::from_kubeconfig(&options).await {
        // A Pod has no kubeconfig, as a rule.
        Err(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath) if is_pod() => {
            Config::incluster().map_err(|error| ClusterError::Pod(Box::new(error)))
        }
        other => other.map_err(failed),
    }
}

/// Whether this is a Pod, as client-go sees it.
fn is_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The kubeconfig, or what the flags name in it.
    #[error("failed to find a cluster by the kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// The Pod's own ServiceAccount.
    #[error("failed to use the Pod's ServiceAccount")]
    Pod(#[source] Box<InClusterError>),
    /// The configuration can't be used.
    #[error("failed to make a client")]
    Client(#[source] Box<kube::Error>),
}

/// What the API server, or the way to it, has to say, without the types that it came in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API server refuses.
    #[error("{0}")]
    Refused(String),
    /// There is no answer.
    #[error("no answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else.
    #[error(transparent)]
    Other(Box<kube::Error>),
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if !status.message.is_empty() => Self::Refused(status.message.clone()),
            kube::Error::Service(source) => Self::NoAnswer(source),
            other => Self::Other(Box::new(other)),
        }
    }
}
