//! The command line: types and checks only. Every flag has an environment twin, `CORAZA_` and its name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use coraza_ruleset::limits::DEFAULT_MAX_RULESET_BYTES;
use coraza_runtime::admin::args::MetricsArgs;
use coraza_runtime::flag::{BindAddress, duration};
use coraza_runtime::log::LogArgs;

use crate::subscribe::ControllerAddress;

/// Serves compiled RuleSets to the data planes that poll them.
#[derive(Debug, Clone, Parser)]
#[command(name = "coraza-cache", version)]
pub struct Args {
    /// Controller to subscribe to, as host:port; a name stands for all of its addresses. May be given several times.
    #[arg(
        long = "controller-address",
        env = "CORAZA_CONTROLLER_ADDRESS",
        value_name = "HOST:PORT",
        required = true,
        value_delimiter = ','
    )]
    pub controller_addresses: Vec<ControllerAddress>,
    /// Directory with ca.crt, tls.crt and tls.key for the connection to the controller.
    #[arg(long, env = "CORAZA_TLS_DIR", value_name = "DIRECTORY")]
    pub tls_dir: PathBuf,
    /// Directory with tls.crt and tls.key to serve RuleSets over TLS; without it they are served in plain.
    #[arg(long, env = "CORAZA_HTTP_TLS_DIR", value_name = "DIRECTORY")]
    pub http_tls_dir: Option<PathBuf>,
    /// Namespace of the operator, where the ServiceAccount coraza-plugin is; a Pod knows its own.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// Port on which RuleSets are served.
    #[arg(
        long,
        env = "CORAZA_CACHE_SERVER_PORT",
        value_name = "PORT",
        default_value_t = 18_080
    )]
    pub cache_server_port: u16,
    /// Address on which RuleSets are served.
    #[arg(long, env = "CORAZA_CACHE_SERVER_BIND_ADDRESS", value_name = "IP", default_value_t = Ipv6Addr::UNSPECIFIED.into())]
    pub cache_server_bind_address: IpAddr,
    /// WebAssembly module of the WAF plugin, to be served to gateways; without it none is.
    #[arg(long, env = "CORAZA_PLUGIN_FILE", value_name = "FILE")]
    pub plugin_file: Option<PathBuf>,
    /// Port on which the plugin file is served, in plain.
    #[arg(long, env = "CORAZA_PLUGIN_PORT", value_name = "PORT", default_value_t = 18_081)]
    pub plugin_port: u16,
    /// Longest wait that a waiting poll (Prefer: wait=N) is granted.
    #[arg(long, env = "CORAZA_MAX_WAIT", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub max_wait: Duration,
    /// How long requests are still served after the request to stop, so that load balancers can learn of it.
    #[arg(long, env = "CORAZA_DRAIN_DELAY", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub drain_delay: Duration,
    /// Most connections that are served at once [default: what fits half of the memory limit, 16384 at most].
    #[arg(long, env = "CORAZA_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<usize>,
    /// Largest RuleSet that is taken, in bytes of rules and data files. Must be the controller's.
    #[arg(long, env = "CORAZA_MAX_RULESET_BYTES", value_name = "BYTES", default_value_t = DEFAULT_MAX_RULESET_BYTES)]
    pub max_ruleset_bytes: u64,
    /// Where /healthz and /readyz are served.
    #[arg(
        long,
        env = "CORAZA_HEALTH_PROBE_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
    pub health_probe_bind_address: BindAddress,
    /// The flags about metrics.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// What is logged and how.
    #[command(flatten)]
    pub log: LogArgs,
    /// Flags of the Go operator that have no effect here.
    #[command(flatten)]
    pub legacy: LegacyArgs,
}

/// The Go operator's flags for its cache. Only the latest revision of a RuleSet is kept here, so there is nothing to collect.
#[derive(Debug, Clone, clap::Args)]
pub struct LegacyArgs {
    /// Without effect.
    #[arg(long, hide = true)]
    cache_gc_interval: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    cache_max_age: Option<String>,
    /// Shown as the metric `coraza_cache_config_max_size_bytes`, which an alert compares with what is held; nothing is dropped.
    #[arg(long, hide = true)]
    pub cache_max_size: Option<u64>,
}

impl LegacyArgs {
    /// The flags that were given in vain.
    pub fn ignored(&self) -> impl Iterator<Item = &'static str> {
        let interval = self.cache_gc_interval.is_some().then_some("--cache-gc-interval");
        let age = self.cache_max_age.is_some().then_some("--cache-max-age");
        interval.into_iter().chain(age)
    }
}

impl Args {
    /// Where RuleSets are served.
    #[must_use]
    pub const fn cache_server_address(&self) -> SocketAddr {
        SocketAddr::new(self.cache_server_bind_address, self.cache_server_port)
    }

    /// Where the plugin file is served.
    #[must_use]
    pub const fn plugin_address(&self) -> SocketAddr {
        SocketAddr::new(self.cache_server_bind_address, self.plugin_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    const REQUIRED: [&str; 5] = [
        "coraza-cache",
        "--controller-address",
        "controller:9444",
        "--tls-dir",
        "/tls",
    ];

    fn parse(more: &[&str]) -> Result<Args, String> {
        Args::try_parse_from(REQUIRED.iter().chain(more)).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        Args::command().debug_assert();
        let args = parse(&[]).expect("accepted");
        assert_eq!(args.cache_server_address().to_string(), "[::]:18080");
        assert_eq!((args.plugin_file.clone(), args.plugin_address().port()), (None, 18_081));
        assert_eq!(args.max_wait, Duration::from_secs(60));
        assert_eq!(args.max_ruleset_bytes, 8 << 20);
        assert_eq!(args.health_probe_bind_address.to_string(), "[::]:8081");
        assert_eq!(args.metrics.metrics_bind_address, BindAddress::Off);
        assert_eq!(args.legacy.ignored().count(), 0);
    }

    #[test]
    fn controllers_add_up() {
        let args = parse(&["--controller-address", "10.0.0.1:9444,[::1]:9444"]).expect("accepted");
        assert_eq!(
            args.controller_addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["controller:9444", "10.0.0.1:9444", "[::1]:9444"]
        );
    }

    #[test]
    fn every_flag_that_people_set_has_an_environment_twin() {
        let command = Args::command();
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
        for (flag, twin) in flags
            .filter_map(|arg| Some((arg.get_long()?, arg.get_env())))
            .filter(|(flag, _)| !["help", "version", "pod-namespace"].contains(flag))
        {
            let expected = format!("CORAZA_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(twin, Some(expected.as_ref()), "{flag}");
        }
    }

    #[test]
    fn flags_of_the_go_operator_are_accepted() {
        let args =
            parse(&["--cache-gc-interval=5m", "--cache-max-age=24h", "--cache-max-size=1000"]).expect("accepted");
        assert_eq!(
            args.legacy.ignored().collect::<Vec<_>>(),
            ["--cache-gc-interval", "--cache-max-age"]
        );
        assert_eq!(args.legacy.cache_max_size, Some(1_000));
    }

    #[test]
    fn wrong_values_are_named() {
        for (flag, value) in [
            ("--controller-address", "controller"),
            ("--controller-address", ":9444"),
            ("--controller-address", "controller:0"),
            ("--controller-address", "controller:http"),
            ("--max-wait", "60"),
            ("--max-wait", "1.5s"),
            ("--max-wait", "s"),
            ("--max-wait", "-1s"),
            ("--max-wait", "99999999999999999999s"),
            ("--cache-server-port", "70000"),
            ("--cache-server-bind-address", "localhost"),
            ("--metrics-bind-address", "8081"),
            ("--max-ruleset-bytes", "8MiB"),
        ] {
            let error = parse(&[&format!("{flag}={value}")]).expect_err("refused");
            assert!(error.contains(flag) && error.contains(value), "{error}");
        }
        assert!(
            Args::try_parse_from(["coraza-cache"])
                .expect_err("refused")
                .to_string()
                .contains("--controller-address")
        );
    }
}
