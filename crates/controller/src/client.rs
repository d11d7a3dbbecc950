//! How the controller reaches the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may be silent. A watch may be for minutes, so it has a client of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The two ways to the API server.
#[derive(Clone)]
pub struct Clients {
    /// For watches, which are silent most of the time.
    pub watches: Client,
    /// For calls that answer at once: what hangs is an error soon.
    pub calls: Client,
}

impl Clients {
    /// Clients of the cluster that a kubeconfig file names; without one of that which KUBECONFIG, the user's own file or the Pod's
    /// ServiceAccount names.
    ///
    /// # Errors
    /// [`ClientError`] if no configuration is found or it can't be used. The API server isn't called.
    pub async fn new(kubeconfig: Option<&Path>) -> Result<Self, ClientError> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(ClientError::Kubeconfig)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(ClientError::Kubeconfig)?
            }
            None => Config::infer()
                .await
                .map_err(|error| ClientError::Infer(Box::new(error)))?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let watches = Client::try_from(config.clone()).map_err(ClientError::Client)?;
        config.read_timeout = Some(CALL_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        let calls = Client::try_from(config).map_err(ClientError::Client)?;
        Ok(Self { watches, calls })
    }
}

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file that --kubeconfig names.
    #[error("failed to read --kubeconfig")]
    Kubeconfig(#[source] KubeconfigError),
    /// Neither a kubeconfig nor a ServiceAccount.
    #[error("failed to find a cluster: neither KUBECONFIG nor a Pod's ServiceAccount names one")]
    Infer(#[source] Box<InferConfigError>),
    /// The configuration can't be used.
    #[error("failed to make a client")]
    Client(#[source] kube::Error),
}
