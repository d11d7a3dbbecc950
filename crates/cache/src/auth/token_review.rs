//! The TokenReview call of those who poll.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coraza_ruleset::RuleSetKey;
use coraza_runtime::log::chain;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};

use super::Refusal;

/// What the user names of ServiceAccounts begin with.
const USER_PREFIX: &str = "system:serviceaccount:";
/// How long a review may take: pollers give up after 2 s, but the next one profits from the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever can verify a token.
pub trait Review: Clone + Send + Sync + 'static {
    /// Whether `token` opens `key`.
    fn review(&self, token: String, key: RuleSetKey) -> impl Future<Output = Result<Bearer, Refusal>> + Send;
}

/// Whose a token is that opens a RuleSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// A ServiceAccount of the RuleSet's namespace.
    Account,
    /// The one ServiceAccount whose tokens the controller gives to the plugins, which is in the operator's namespace: its tokens are good
    /// by a grant, and by a review only while there is nobody to grant them.
    Plugin,
}

/// The user name of the plugins' ServiceAccount, when the operator runs in this namespace.
#[must_use]
pub fn plugin_account(namespace: &str) -> String {
    format!("{USER_PREFIX}{namespace}:coraza-plugin")
}

/// Asks the API server.
#[derive(Clone)]
pub struct KubeReview {
    api: Api<TokenReview>,
    plugin: Option<Arc<str>>,
}

impl std::fmt::Debug for KubeReview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeReview")
    }
}

impl KubeReview {
    /// Asks over a client. `plugin` is the [`plugin_account`], where it is known.
    #[must_use]
    pub fn new(client: kube::Client, plugin: Option<Arc<str>>) -> Self {
        let api = Api::all(client);
        Self { api, plugin }
    }
}

/// Finds the cluster as every Kubernetes client does: `KUBECONFIG`, else the pod's own ServiceAccount.
///
/// # Errors
/// [`NoCluster`] if neither leads to one.
pub async fn client() -> Result<kube::Client, NoCluster> {
    kube::Client::try_default().await.map_err(|source| NoCluster {
        source: Box::new(source),
    })
}

/// No Kubernetes API is configured.
#[derive(Debug, thiserror::Error)]
#[error("failed to find the Kubernetes API for token reviews: set KUBECONFIG or run in a pod")]
pub struct NoCluster {
    #[source]
    source: Box<kube::Error>,
}

impl Review for KubeReview {
    async fn review(&self, token: String, key: RuleSetKey) -> Result<Bearer, Refusal> {
        let spec = TokenReviewSpec {
            audiences: Some(vec![key.audience()]),
            token: Some(token),
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let params = PostParams::default();
        match tokio::time::timeout(TIMEOUT, self.api.create(&params, &review)).await {
            Ok(Ok(review)) => judge(&review.status.unwrap_or_default(), &key, self.plugin.as_deref()),
            // What kube says names neither the token nor the request's body.
            Ok(Err(error)) => {
                tracing::warn!(%key, error = %chain(&error), "failed to review a token");
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
/// knows no audiences doesn't return, and is of a ServiceAccount in the RuleSet's namespace, or of the plugins' own.
fn judge(status: &TokenReviewStatus, key: &RuleSetKey, plugin: Option<&str>) -> Result<Bearer, Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::Unknown);
    }
    let audience = key.audience();
    if !status.audiences.iter().flatten().any(|returned| *returned == audience) {
        return Err(Refusal::OtherAudience);
    }
    let username = status.user.as_ref().and_then(|user| user.username.as_deref());
    if username.is_some() && username == plugin {
        return Ok(Bearer::Plugin);
    }
    let namespace = username
        .and_then(|username| username.strip_prefix(USER_PREFIX))
        .and_then(|account| account.split_once(':'))
        .filter(|(_, name)| !name.is_empty())
        .map(|(namespace, _)| namespace);
    if namespace == Some(key.namespace()) {
        Ok(Bearer::Account)
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
                Ok(Bearer::Account),
            ),
            (
                Some(true),
                Some(vec![other, right]),
                Some("system:serviceaccount:team:gateway"),
                Ok(Bearer::Account),
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
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:operator:coraza-plugin"),
                Ok(Bearer::Plugin),
            ),
            (
                Some(true),
                Some(vec![right]),
                Some("system:serviceaccount:operator:other"),
                Err(Refusal::OtherNamespace),
            ),
            (
                Some(true),
                Some(vec![other]),
                Some("system:serviceaccount:operator:coraza-plugin"),
                Err(Refusal::OtherAudience),
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
                judge(&status, &key, Some(&plugin_account("operator"))),
                expected,
                "{authenticated:?} {audiences:?} {username:?}"
            );
        }
    }

    #[test]
    fn where_the_plugins_account_is_not_known_its_tokens_are_like_any_other() {
        let username = "system:serviceaccount:operator:coraza-plugin";
        let status = TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec!["coraza-cache:team/crs".into(), "coraza-cache:operator/crs".into()]),
            user: Some(UserInfo {
                username: Some(username.into()),
                ..UserInfo::default()
            }),
            error: None,
        };
        for (namespace, plugin, expected) in [
            ("team", None, Err(Refusal::OtherNamespace)),
            ("operator", None, Ok(Bearer::Account)),
            ("operator", Some(username), Ok(Bearer::Plugin)),
        ] {
            let key = RuleSetKey::new(namespace, "crs").expect("key");
            assert_eq!(judge(&status, &key, plugin), expected, "{namespace} {plugin:?}");
        }
    }
}
