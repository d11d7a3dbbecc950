//! The TokenReview call: the one place of the cache that speaks to the Kubernetes API.

use std::future::Future;
use std::time::Duration;

use coraza_ruleset::RuleSetKey;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};

use super::Refusal;

/// How long a review may take: pollers give up after 2 s, but the next one profits from the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever can verify a token.
pub trait Review: Clone + Send + Sync + 'static {
    /// Whether `token` opens `key`.
    fn review(&self, token: String, key: RuleSetKey) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Asks the API server.
#[derive(Clone)]
pub struct KubeReview(Api<TokenReview>);

impl std::fmt::Debug for KubeReview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeReview")
    }
}

impl KubeReview {
    /// Finds the cluster as every Kubernetes client does: `KUBECONFIG`, else the pod's own ServiceAccount.
    ///
    /// # Errors
    /// [`NoCluster`] if neither leads to one.
    pub async fn from_environment() -> Result<Self, NoCluster> {
        let client = kube::Client::try_default().await.map_err(|source| NoCluster {
            source: Box::new(source),
        })?;
        Ok(Self(Api::all(client)))
    }
}

/// No Kubernetes API is configured.
#[derive(Debug, thiserror::Error)]
#[error("failed to find the Kubernetes API for token reviews: set KUBECONFIG or run in a pod")]
pub struct NoCluster {
    #[source]
    source: Box<kube::Error>,
}

impl Review for KubeReview {
    async fn review(&self, token: String, key: RuleSetKey) -> Result<(), Refusal> {
        let spec = TokenReviewSpec {
            audiences: Some(vec![key.audience()]),
            token: Some(token),
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let params = PostParams::default();
        match tokio::time::timeout(TIMEOUT, self.0.create(&params, &review)).await {
            Ok(Ok(review)) => judge(&review.status.unwrap_or_default(), &key),
            // What kube says names neither the token nor the request's body.
            Ok(Err(error)) => {
                tracing::warn!(%key, error = %coraza_runtime::log::chain(&error), "failed to review a token");
                Err(Refusal::Unavailable)
            }
            Err(_elapsed) => {
                tracing::warn!(%key, timeout = ?TIMEOUT, "failed to review a token in time");
                Err(Refusal::Unavailable)
            }
        }
    }
}

/// Whether the API server's answer opens `key`: the token is good, *for the RuleSet's audience*, which an API server that
/// knows no audiences doesn't return, and is of a ServiceAccount in the RuleSet's namespace.
fn judge(status: &TokenReviewStatus, key: &RuleSetKey) -> Result<(), Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::Unknown);
    }
    let audience = key.audience();
    if !status.audiences.iter().flatten().any(|returned| *returned == audience) {
        return Err(Refusal::OtherAudience);
    }
    let username = status.user.as_ref().and_then(|user| user.username.as_deref());
    let namespace = username
        .and_then(|username| username.strip_prefix("system:serviceaccount:"))
        .and_then(|account| account.split_once(':'))
        .filter(|(_, name)| !name.is_empty())
        .map(|(namespace, _)| namespace);
    if namespace == Some(key.namespace()) {
        Ok(())
    } else {
        Err(Refusal::OtherNamespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    #[test]
    fn only_a_service_account_of_the_namespace_with_the_audience_is_let_in() {
        let key = RuleSetKey::new("team", "crs").expect("key");
        let (right, other) = ("coraza-cache:team/crs", "coraza-cache:team/other");
        for (authenticated, audiences, username, expected) in [
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:team:gateway"),
                Ok(()),
            ),
            (
                Some(true),
                Some(vec![other, right]),
                Some("system:serviceaccount:team:gateway"),
                Ok(()),
            ),
            (
                Some(false),
                Some(vec![right]),
                Some("system:serviceaccount:team:gateway"),
                Err(Refusal::Unknown),
            ),
            (None, None, None, Err(Refusal::Unknown)),
            (
                Some(true),
                None,
                Some("system:serviceaccount:team:gateway"),
                Err(Refusal::OtherAudience),
            ),
            (
                Some(true),
                Some(vec![other]),
                Some("system:serviceaccount:team:gateway"),
                Err(Refusal::OtherAudience),
            ),
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:teams:gateway"),
                Err(Refusal::OtherNamespace),
            ),
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:team"),
                Err(Refusal::OtherNamespace),
            ),
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:team:"),
                Err(Refusal::OtherNamespace),
            ),
            (
                Some(true),
                Some(vec![right]),
                Some("team"),
                Err(Refusal::OtherNamespace),
            ),
            (Some(true), Some(vec![right]), None, Err(Refusal::OtherNamespace)),
        ] {
            let status = TokenReviewStatus {
                authenticated,
                audiences: audiences
                    .clone()
                    .map(|audiences| audiences.into_iter().map(String::from).collect()),
                user: Some(UserInfo {
                    username: username.map(String::from),
                    ..UserInfo::default()
                }),
                error: None,
            };
            assert_eq!(
                judge(&status, &key),
                expected,
                "{authenticated:?} {audiences:?} {username:?}"
            );
        }
    }
}
