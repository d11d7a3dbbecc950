//! `Settings`: what the flags say about Engines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use coraza_api::metadata::PLUGIN_SERVICE_ACCOUNT;

/// What the flags say about Engines.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The namespace that the controller and the caches run in.
    pub namespace: String,
    /// The name of the controller's Deployment, if the mesh is to be told of the caches.
    pub operator_name: Option<String>,
    /// The DNS name of the caches' Service.
    pub cache_host: String,
    /// Envoy's name of the cluster that reaches the caches.
    pub envoy_cluster: String,
    /// The labels of the caches' Pods.
    pub cache_pods: BTreeMap<String, String>,
    /// The port of the caches' Pods with the rules.
    pub rules_port: u16,
    /// The port of the caches' Pods with the plugin.
    pub plugin_port: u16,
    /// The Istio control plane that objects are for.
    pub istio_revision: Option<String>,
    /// The plugin of Engines that name none.
    pub default_module: DefaultModule,
    /// Whether `FAIL_RELOAD` is used where Istio has it.
    pub fail_reload: bool,
    /// How tokens are requested and renewed.
    pub tokens: TokenSettings,
    /// How gateways verify the caches' certificate, if those serve rules over TLS.
    pub cache_tls: Option<CacheAuthority>,
}

/// Where gateways have the CA from that they verify caches by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheAuthority {
    /// From a ConfigMap in the operator's namespace, which the controller keeps. Istio has this since 1.26.
    ConfigMap(String),
    /// From what Istio calls a credential: a Secret in each gateway's namespace, or whatever else it takes.
    Credential(String),
    /// From a file in each gateway's Pod.
    File(String),
}

/// The plugin of Engines that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultModule {
    /// The one that the caches serve.
    Embedded,
    /// The one at this URL.
    Url(String),
}

/// How tokens are requested and renewed.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenSettings {
    /// The user that a token is for.
    pub subject: String,
    /// For how long one is asked for.
    pub lifetime: Duration,
    /// When one is renewed.
    pub renew_after: RenewAfter,
}

/// When a token is renewed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RenewAfter {
    /// After this share of the life that it was granted.
    Share(f64),
    /// After this long.
    Age(Duration),
}

impl RenewAfter {
    /// The age at which a token of this life is renewed; at least a second, so that a token of no life is no endless loop.
    #[must_use]
    pub fn age(self, life: Duration) -> Duration {
        let age = match self {
            Self::Share(share) => life.mul_f64(share),
            Self::Age(age) => age,
        };
        age.max(Duration::from_secs(1))
    }
}

/// The user that the plugins' tokens are for.
#[must_use]
pub fn subject(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{PLUGIN_SERVICE_ACCOUNT}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the flags of the chart make.
    pub(crate) fn settings() -> Settings {
        Settings {
            namespace: "coraza-system".to_owned(),
            operator_name: Some("coraza".to_owned()),
            cache_host: "coraza-cache.coraza-system.svc.cluster.local".to_owned(),
            envoy_cluster: "outbound|80||coraza-cache.coraza-system.svc.cluster.local".to_owned(),
            cache_pods: [("app.kubernetes.io/component".to_owned(), "cache".to_owned())].into(),
            rules_port: 18080,
            plugin_port: 18081,
            istio_revision: None,
            default_module: DefaultModule::Embedded,
            fail_reload: true,
            tokens: TokenSettings {
                subject: subject("coraza-system"),
                lifetime: Duration::from_secs(86_400),
                renew_after: RenewAfter::Share(0.8),
            },
            cache_tls: None,
        }
    }

    #[test]
    fn a_token_is_renewed_after_a_share_of_its_life_or_after_a_time() {
        let hour = Duration::from_secs(3600);
        for (after, life, age) in [
            (RenewAfter::Share(0.8), hour, Duration::from_secs(2880)),
            (RenewAfter::Share(0.8), hour / 2, Duration::from_secs(1440)),
            (RenewAfter::Share(0.8), Duration::ZERO, Duration::from_secs(1)),
            (RenewAfter::Age(Duration::from_secs(5)), hour, Duration::from_secs(5)),
        ] {
            assert_eq!(after.age(life), age, "{after:?} {life:?}");
        }
    }
}
