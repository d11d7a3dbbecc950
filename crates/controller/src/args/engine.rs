//! The flags about Engines. Types and checks, no IO.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use coraza_runtime::flag::duration;

use crate::engine::settings::{CacheAuthority, DefaultModule, RenewAfter, Settings, TokenSettings, subject};

/// The Service of the caches if no flag names one.
const DEFAULT_SERVICE: &str = "coraza-cache";
/// The longest URL of a plugin, as an Engine may name one.
const MAX_URL: usize = 1024;
/// The shortest life that the API server gives a token.
const MIN_LIFETIME: Duration = Duration::from_secs(600);
/// The longest: what the API server takes in seconds fits into 32 bits.
const MAX_LIFETIME: Duration = Duration::from_secs(1 << 32);

/// The flags about Engines.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// The port of the caches' Pods with the rules.
    #[arg(long, env = "CORAZA_CACHE_SERVER_PORT", value_name = "PORT", default_value_t = 18080, value_parser = clap::value_parser!(u16).range(1..))]
    pub cache_server_port: u16,
    /// The port of the caches' Pods with the plugin.
    #[arg(long, env = "CORAZA_PLUGIN_PORT", value_name = "PORT", default_value_t = 18081, value_parser = clap::value_parser!(u16).range(1..))]
    pub plugin_port: u16,
    /// The name of the caches' Service [default: the one that --envoy-cluster-name names, else coraza-cache].
    #[arg(long, env = "CORAZA_CACHE_SERVICE", value_name = "NAME")]
    pub cache_service: Option<String>,
    /// The labels of the caches' Pods.
    #[arg(
        long,
        env = "CORAZA_CACHE_POD_SELECTOR",
        value_name = "KEY=VALUE,...",
        default_value = "app.kubernetes.io/component=cache"
    )]
    pub cache_pod_selector: PodLabels,
    /// Envoy's name of the cluster that reaches the caches [default: port 80 of the caches' Service].
    #[arg(long, env = "CORAZA_ENVOY_CLUSTER_NAME", value_name = "NAME")]
    pub envoy_cluster_name: Option<String>,
    /// The DNS domain of the cluster.
    #[arg(
        long,
        env = "CORAZA_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    pub cluster_domain: String,
    /// The name of the controller's Deployment; with it, the mesh is told of the caches by a ServiceEntry and a DestinationRule.
    #[arg(long, env = "CORAZA_OPERATOR_NAME", value_name = "NAME")]
    pub operator_name: Option<String>,
    /// The Istio revision to label created Istio objects with.
    #[arg(long, env = "CORAZA_ISTIO_REVISION", value_name = "REVISION")]
    pub istio_revision: Option<String>,
    /// The plugin of Engines that name none: oci://, http:// or https://, or the one that the caches serve (embedded).
    #[arg(long, env = "CORAZA_DEFAULT_WASM_IMAGE", value_name = "URL", default_value = "embedded", value_parser = module)]
    pub default_wasm_image: DefaultModule,
    /// Whether Engines with failurePolicy fail start a failed plugin anew, where Istio can.
    #[arg(long, env = "CORAZA_FAIL_RELOAD", value_enum, default_value_t = FailReload::Auto)]
    pub fail_reload: FailReload,
    /// The ConfigMap that the CA of the caches' certificate is kept in for gateways, which poll over TLS then; it is the ca.crt of --tls-dir.
    /// Needs Istio 1.26.
    #[arg(
        long,
        env = "CORAZA_CACHE_TLS_CA_CONFIGMAP",
        value_name = "NAME",
        group = "cache_authority"
    )]
    pub cache_tls_ca_configmap: Option<String>,
    /// The same by a credential that gateways have: `credentialName` of a DestinationRule.
    #[arg(
        long,
        env = "CORAZA_CACHE_TLS_CREDENTIAL_NAME",
        value_name = "NAME",
        group = "cache_authority"
    )]
    pub cache_tls_credential_name: Option<String>,
    /// The same by a file in gateways' Pods: `caCertificates` of a DestinationRule.
    #[arg(
        long,
        env = "CORAZA_CACHE_TLS_CA_CERTIFICATES",
        value_name = "FILE",
        group = "cache_authority"
    )]
    pub cache_tls_ca_certificates: Option<String>,
    /// For how long tokens of gateways are requested.
    #[arg(long, env = "CORAZA_TOKEN_LIFETIME", value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub token_lifetime: Duration,
    /// When a token is renewed: after a share of the life that it was granted, or after a time.
    #[arg(long, env = "CORAZA_TOKEN_RENEW_AFTER", value_name = "PERCENT|DURATION", value_parser = renew_after, default_value = "80%")]
    pub token_renew_after: RenewAfter,
}

/// Whether a failed plugin is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailReload {
    /// Where Istio can.
    Auto,
    /// Never.
    Never,
}

/// Labels that select Pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLabels(pub BTreeMap<String, String>);

impl FromStr for PodLabels {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let label = |pair: &str| {
            let (name, value) = pair.trim().split_once('=').ok_or(InvalidValue::Labels)?;
            if name.is_empty() || value.starts_with('=') || name.ends_with('!') {
                return Err(InvalidValue::Labels);
            }
            Ok((name.to_owned(), value.to_owned()))
        };
        text.split(',').map(label).collect::<Result<_, _>>().map(Self)
    }
}

fn module(text: &str) -> Result<DefaultModule, InvalidValue> {
    let schemes = ["oci://", "http://", "https://"];
    if text == "embedded" {
        Ok(DefaultModule::Embedded)
    } else if text.len() <= MAX_URL
        && schemes
            .iter()
            .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
    {
        Ok(DefaultModule::Url(text.to_owned()))
    } else {
        Err(InvalidValue::Module)
    }
}

fn renew_after(text: &str) -> Result<RenewAfter, InvalidValue> {
    let Some(percent) = text.strip_suffix('%') else {
        return duration(text)
            .ok()
            .filter(|age| !age.is_zero())
            .map(RenewAfter::Age)
            .ok_or(InvalidValue::RenewAfter);
    };
    let percent: u8 = percent.trim().parse().map_err(|_| InvalidValue::RenewAfter)?;
    if !(1..=95).contains(&percent) {
        return Err(InvalidValue::RenewAfter);
    }
    Ok(RenewAfter::Share(f64::from(percent) / 100.0))
}

/// A value that a flag can't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Of `--cache-pod-selector`.
    #[error("labels have the form name=value, with commas between them")]
    Labels,
    /// Of `--default-wasm-image`.
    #[error(
        "a plugin is embedded, or a URL of at most {MAX_URL} characters that begins with oci://, http:// or https://"
    )]
    Module,
    /// Of `--token-renew-after`.
    #[error("a token is renewed after 1% to 95% of its life, or after a time, as in 80% or 30m")]
    RenewAfter,
    /// Of `--token-lifetime`.
    #[error("--token-lifetime must be from 10m to 2^32 seconds: the API server gives no other")]
    Lifetime,
}

impl EngineArgs {
    /// What clap can't check by itself.
    ///
    /// # Errors
    /// [`InvalidValue`] says which flag and how to set it.
    pub fn check(&self) -> Result<(), InvalidValue> {
        if (MIN_LIFETIME..=MAX_LIFETIME).contains(&self.token_lifetime) {
            Ok(())
        } else {
            Err(InvalidValue::Lifetime)
        }
    }

    /// What the flags say, in a namespace. A flag that is empty, as charts write one that isn't set, is as if it weren't there.
    #[must_use]
    pub fn settings(&self, namespace: &str) -> Settings {
        let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
        let cluster = given(&self.envoy_cluster_name);
        let named = cluster
            .as_deref()
            .and_then(|cluster| Some(cluster.rsplit_once("||")?.1.to_owned()));
        let host = |service: &str| format!("{service}.{namespace}.svc.{}", self.cluster_domain);
        let cache_host = match (given(&self.cache_service), named) {
            (Some(service), _) => host(&service),
            (None, Some(named)) if !named.is_empty() => named,
            (None, _) => host(DEFAULT_SERVICE),
        };
        Settings {
            namespace: namespace.to_owned(),
            operator_name: given(&self.operator_name),
            envoy_cluster: cluster.unwrap_or_else(|| format!("outbound|80||{cache_host}")),
            cache_host,
            cache_pods: self.cache_pod_selector.0.clone(),
            rules_port: self.cache_server_port,
            plugin_port: self.plugin_port,
            istio_revision: given(&self.istio_revision),
            default_module: self.default_wasm_image.clone(),
            fail_reload: self.fail_reload == FailReload::Auto,
            tokens: TokenSettings {
                subject: subject(namespace),
                lifetime: self.token_lifetime,
                renew_after: self.token_renew_after,
            },
            cache_tls: given(&self.cache_tls_ca_configmap)
                .map(CacheAuthority::ConfigMap)
                .or_else(|| given(&self.cache_tls_credential_name).map(CacheAuthority::Credential))
                .or_else(|| given(&self.cache_tls_ca_certificates).map(CacheAuthority::File)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: EngineArgs,
    }

    fn settings(flags: &[&str]) -> Settings {
        let command = Command::try_parse_from(["x"].iter().chain(flags)).expect("accepted");
        command.args.check().expect("checked");
        command.args.settings("coraza-system")
    }

    #[test]
    fn without_flags_the_caches_serve_rules_and_plugin() {
        let expected = Settings {
            operator_name: None,
            ..crate::engine::settings::tests::settings()
        };
        assert_eq!(settings(&[]), expected);
        assert_eq!(
            settings(&["--operator-name=", "--istio-revision=", "--envoy-cluster-name="]),
            expected
        );
    }

    #[test]
    fn the_host_is_the_service_or_the_one_that_the_cluster_names() {
        let host = "caches.coraza-system.svc.example.org";
        for (flags, host, cluster) in [
            (
                vec!["--cache-service=caches", "--cluster-domain=example.org"],
                host,
                format!("outbound|80||{host}"),
            ),
            (
                vec!["--envoy-cluster-name=outbound|80||x.y.svc.z"],
                "x.y.svc.z",
                "outbound|80||x.y.svc.z".to_owned(),
            ),
            (
                vec![
                    "--cache-service=caches",
                    "--cluster-domain=example.org",
                    "--envoy-cluster-name=own",
                ],
                host,
                "own".to_owned(),
            ),
        ] {
            let settings = settings(&flags);
            assert_eq!(
                (settings.cache_host.as_str(), settings.envoy_cluster),
                (host, cluster),
                "{flags:?}"
            );
        }
    }

    #[test]
    fn gateways_verify_caches_by_what_is_named() {
        assert_eq!(settings(&[]).cache_tls, None);
        for (flag, authority) in [
            ("--cache-tls-ca-configmap=a", CacheAuthority::ConfigMap("a".to_owned())),
            (
                "--cache-tls-credential-name=a",
                CacheAuthority::Credential("a".to_owned()),
            ),
            ("--cache-tls-ca-certificates=/a", CacheAuthority::File("/a".to_owned())),
        ] {
            assert_eq!(settings(&[flag]).cache_tls, Some(authority), "{flag}");
        }
    }

    #[test]
    fn values_that_can_not_be_are_refused() {
        for flag in [
            "--cache-pod-selector=",
            "--cache-pod-selector=a",
            "--cache-pod-selector=a==b",
            "--default-wasm-image=",
            "--default-wasm-image=oci://",
            "--default-wasm-image=file:///plugin.wasm",
            "--token-renew-after=0",
            "--token-renew-after=99%",
            "--token-renew-after=x%",
            "--fail-reload=always",
            "--plugin-port=0",
        ] {
            assert!(Command::try_parse_from(["x", flag]).is_err(), "{flag}");
        }
        let two = ["x", "--cache-tls-ca-configmap=a", "--cache-tls-credential-name=b"];
        assert!(Command::try_parse_from(two).is_err(), "{two:?}");
        let command = Command::try_parse_from(["x", "--token-lifetime=5m"]).expect("parsed");
        assert_eq!(command.args.check(), Err(InvalidValue::Lifetime));
    }
}
