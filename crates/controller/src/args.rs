//! The controller's flags, each with an environment twin. Types and checks, no IO.

pub mod certificates;
pub mod compat;
pub mod engine;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use coraza_ruleset::{Limits, limits};
use coraza_runtime::admin::args::MetricsArgs;
use coraza_runtime::flag::{BindAddress, duration};
use coraza_runtime::log::LogArgs;

use crate::args::certificates::{CertificateArgs, InvalidLives};
use crate::args::compat::CompatArgs;
use crate::args::engine::{EngineArgs, InvalidValue};
use crate::lease::elector::{InvalidTimings, Timings};

/// Reconciles Engine, RuleSet, RuleSource and RuleData, and publishes compiled RuleSets to the caches.
#[derive(Debug, Clone, Parser)]
#[command(name = "coraza-controller", version)]
pub struct ControllerArgs {
    /// Where the caches subscribe (gRPC over mTLS).
    #[arg(long, env = "CORAZA_GRPC_BIND_ADDRESS", default_value = ":9444")]
    pub grpc_bind_address: BindAddress,
    /// Where /healthz and /readyz are answered; 0 turns them off.
    #[arg(long, env = "CORAZA_HEALTH_PROBE_BIND_ADDRESS", default_value = ":8081")]
    pub health_probe_bind_address: BindAddress,
    /// The flags about metrics.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Where /debug/caches is answered in plain, to anybody who gets there: an address of the loopback, which those reach who may forward ports
    /// to the Pod. 0 is nowhere.
    #[arg(long, env = "CORAZA_DEBUG_BIND_ADDRESS", value_name = "ADDRESS", default_value = "0")]
    pub debug_bind_address: BindAddress,
    /// The directory with tls.crt, tls.key and ca.crt for the caches' streams; read again when the files change.
    #[arg(long, env = "CORAZA_TLS_DIR", value_name = "DIR")]
    pub tls_dir: PathBuf,
    /// The kubeconfig file to use instead of the one that KUBECONFIG names or the Pod's ServiceAccount.
    #[arg(long, env = "CORAZA_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that the controller runs in, where its Lease is.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: String,
    /// The name of this replica in the Lease and in logs; the host's name if absent.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// The plugin that rules must be able to run on.
    #[arg(long, env = "CORAZA_ENGINE_PROFILE", value_enum, default_value_t = EngineProfile::Native)]
    pub engine_profile: EngineProfile,
    /// How large RuleSets may be.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The flags about Engines.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The flags about the controller's own CA.
    #[command(flatten)]
    pub certificates: CertificateArgs,
    /// The leader election's flags.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// What is logged and how.
    #[command(flatten)]
    pub log: LogArgs,
    /// Flags of the Go operator.
    #[command(flatten)]
    pub compat: CompatArgs,
}

/// What runs the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineProfile {
    /// This project's plugin.
    Native,
    /// The Go plugin, coraza-proxy-wasm.
    Wasm,
}

/// How large RuleSets may be, in bytes of rules and data files.
#[derive(Debug, Clone, Copy, Args)]
pub struct LimitArgs {
    /// The most bytes of one RuleSet; the caches must be given the same.
    #[arg(long, env = "CORAZA_MAX_RULESET_BYTES", value_name = "BYTES", default_value_t = limits::DEFAULT_MAX_RULESET_BYTES)]
    pub max_ruleset_bytes: u64,
    /// The most bytes of all RuleSets of a namespace.
    #[arg(long, env = "CORAZA_MAX_NAMESPACE_BYTES", value_name = "BYTES", default_value_t = limits::DEFAULT_MAX_NAMESPACE_BYTES)]
    pub max_namespace_bytes: u64,
    /// The most bytes of all RuleSets.
    #[arg(long, env = "CORAZA_MAX_TOTAL_BYTES", value_name = "BYTES", default_value_t = limits::DEFAULT_MAX_TOTAL_BYTES)]
    pub max_total_bytes: u64,
}

/// The leader election's flags.
#[derive(Debug, Clone, Copy, Args)]
pub struct ElectionArgs {
    /// Whether to take the Lease before publishing and writing. Without it there must be one controller only; unlike the Go
    /// operator, which has it off, one that is started without any flag is safe beside another.
    #[arg(long, env = "CORAZA_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// How long others wait after the leader's last sign of life.
    #[arg(long, env = "CORAZA_LEADER_ELECT_LEASE_DURATION", value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub leader_elect_lease_duration: Duration,
    /// How long the leader leads after its last successful renewal.
    #[arg(long, env = "CORAZA_LEADER_ELECT_RENEW_DEADLINE", value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub leader_elect_renew_deadline: Duration,
    /// How often the Lease is looked at or renewed.
    #[arg(long, env = "CORAZA_LEADER_ELECT_RETRY_PERIOD", value_name = "DURATION", value_parser = duration, default_value = "2s")]
    pub leader_elect_retry_period: Duration,
}

impl ElectionArgs {
    /// The Lease's timings.
    ///
    /// # Errors
    /// [`InvalidTimings`] if they would allow two leaders or none.
    pub fn timings(&self) -> Result<Timings, InvalidTimings> {
        Timings {
            lease_duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry_period: self.leader_elect_retry_period,
        }
        .checked()
    }
}

impl ControllerArgs {
    /// What clap can't check by itself.
    ///
    /// # Errors
    /// [`InvalidArgs`] says which flag and how to set it.
    pub fn check(&self) -> Result<(), InvalidArgs> {
        if self.pod_namespace.is_empty() {
            return Err(InvalidArgs::PodNamespace);
        }
        if self.grpc_bind_address.socket().is_none() {
            return Err(InvalidArgs::GrpcBindAddress);
        }
        if self
            .debug_bind_address
            .socket()
            .is_some_and(|address| !address.ip().is_loopback())
        {
            return Err(InvalidArgs::DebugBindAddress);
        }
        self.election.timings()?;
        self.engine.check()?;
        self.certificates.check()?;
        let LimitArgs {
            max_ruleset_bytes,
            max_namespace_bytes,
            max_total_bytes,
        } = self.limits;
        if max_ruleset_bytes == 0 || max_ruleset_bytes > max_namespace_bytes || max_namespace_bytes > max_total_bytes {
            return Err(InvalidArgs::Limits);
        }
        Ok(())
    }

    /// How large RuleSets may be.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        let LimitArgs {
            max_ruleset_bytes,
            max_namespace_bytes,
            max_total_bytes,
        } = self.limits;
        Limits {
            ruleset: max_ruleset_bytes,
            namespace: max_namespace_bytes,
            total: max_total_bytes,
        }
    }
}

/// Flags that can't be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgs {
    /// There is no default that would be safe.
    #[error("POD_NAMESPACE is empty: set it to the namespace that the controller runs in")]
    PodNamespace,
    /// A controller that nobody can subscribe to is of no use.
    #[error("--grpc-bind-address can't be 0: the caches subscribe there")]
    GrpcBindAddress,
    /// Nobody who asks there is asked who he is.
    #[error(
        "--debug-bind-address must be an address of the loopback, as 127.0.0.1:8082, or 0: whoever reaches it is let in"
    )]
    DebugBindAddress,
    /// The Lease's durations.
    #[error(transparent)]
    Timings(#[from] InvalidTimings),
    /// A flag about Engines.
    #[error(transparent)]
    Engine(#[from] InvalidValue),
    /// A flag about the controller's own CA.
    #[error(transparent)]
    Lives(#[from] InvalidLives),
    /// The limits contain each other.
    #[error(
        "--max-ruleset-bytes must be more than 0, at most --max-namespace-bytes, and that at most --max-total-bytes"
    )]
    Limits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const REQUIRED: [&str; 5] = [
        "coraza-controller",
        "--tls-dir",
        "/tls",
        "--pod-namespace",
        "coraza-system",
    ];

    fn parse(more: &[&str]) -> Result<ControllerArgs, clap::Error> {
        ControllerArgs::try_parse_from(REQUIRED.iter().chain(more))
    }

    #[test]
    fn defaults_are_checked_and_the_lease_is_taken() {
        let args = parse(&[]).expect("accepted");
        assert_eq!(args.check(), Ok(()));
        assert_eq!(args.limits(), Limits::default());
        assert!(args.election.leader_elect);
        assert_eq!(args.grpc_bind_address.to_string(), "[::]:9444");
        assert!(args.compat.without_effect().is_empty());
        for loopback in ["127.0.0.1:8082", "[::1]:8082"] {
            let args = parse(&["--debug-bind-address", loopback]).expect("accepted");
            assert_eq!(args.check(), Ok(()), "{loopback}");
        }
    }

    #[test]
    fn each_flag_has_a_twin_in_the_environment() {
        // Given by Kubernetes, or to the Go operator only, which had none.
        let without = ["help", "version", "pod-namespace", "pod-name"];
        for flag in ControllerArgs::command()
            .get_arguments()
            .filter(|flag| !flag.is_hide_set())
        {
            let name = flag.get_long().expect("a flag");
            let twin = format!("CORAZA_{}", name.to_uppercase().replace('-', "_"));
            let env = flag.get_env().map(|env| env.to_string_lossy().into_owned());
            assert!(
                without.contains(&name) || env.as_deref() == Some(&twin),
                "{name}: {env:?}"
            );
        }
    }

    #[test]
    fn leader_election_is_a_go_flag() {
        for (flag, leads) in [
            ("--leader-elect", true),
            ("--leader-elect=true", true),
            ("--leader-elect=false", false),
        ] {
            assert_eq!(parse(&[flag]).expect("accepted").election.leader_elect, leads, "{flag}");
        }
    }

    #[test]
    fn flags_of_the_go_operator_are_accepted_and_those_without_effect_are_named() {
        let args = parse(&[
            "--leader-elect",
            "--metrics-bind-address=:8443",
            "--health-probe-bind-address=:8081",
            "--cache-gc-interval=5m",
            "--cache-max-age",
            "24h",
            "--cache-max-size=104857600",
            "--cache-server-port=18080",
            "--envoy-cluster-name=outbound|80||cache.coraza-system.svc.cluster.local",
            "--istio-revision=",
            "--operator-name=coraza",
            "--default-wasm-image=oci://example.com/plugin:1",
            "--zap-devel=true",
            "--zap-encoder=json",
            "--zap-log-level=info",
            "--zap-stacktrace-level=error",
            "--zap-time-encoding=epoch",
            "--kubeconfig=/root/.kube/config",
        ])
        .expect("accepted");
        let ignored = args.compat.without_effect();
        assert!(
            ignored.contains(&"--cache-gc-interval") && ignored.contains(&"--zap-devel"),
            "{ignored:?}"
        );
        assert!(parse(&["--zap-devel"]).is_ok(), "a Go flag without a value is true");
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (flags, part) in [
            (&["--max-ruleset-bytes=0"][..], "--max-ruleset-bytes must be"),
            (&["--max-namespace-bytes=1"], "--max-namespace-bytes"),
            (&["--max-total-bytes=1"], "--max-total-bytes"),
            (&["--grpc-bind-address=0"], "--grpc-bind-address"),
            (&["--debug-bind-address=:8082"], "--debug-bind-address"),
            (&["--debug-bind-address=10.0.0.1:8082"], "--debug-bind-address"),
            (&["--leader-elect-lease-duration=10s"], "--leader-elect-renew-deadline"),
            (&["--leader-elect-retry-period=0"], "--leader-elect-retry-period"),
        ] {
            let message = parse(flags).expect("parsed").check().expect_err("refused").to_string();
            assert!(message.contains(part), "{message}");
        }
        for (flag, part) in [
            ("--grpc-bind-address=nowhere", "--grpc-bind-address"),
            ("--max-ruleset-bytes=8MB", "--max-ruleset-bytes"),
            ("--engine-profile=lua", "native, wasm"),
            ("--cache-server-port=0", "--cache-server-port"),
            ("--log-format=xml", "--log-format"),
        ] {
            let message = parse(&[flag]).expect_err("refused").to_string();
            assert!(message.contains(part), "{flag}: {message}");
        }
        let args = ControllerArgs::try_parse_from(["coraza-controller", "--tls-dir=/tls", "--pod-namespace="])
            .expect("parsed");
        assert_eq!(args.check(), Err(InvalidArgs::PodNamespace));
        assert!(
            parse(&["--leader-elect-lease-duration=15"])
                .expect_err("no unit")
                .to_string()
                .contains("15s")
        );
    }
}
