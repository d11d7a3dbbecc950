//! Builds the process's parts, joins them and stops them in order. No logic of its own.
//!
//! | thread | runs |
//! |---|---|
//! | two of the control runtime | subscription, token reviews, probes, metrics, signals, the plugin file |
//! | `http`, one per core | requests |
//! | `compress` | gzip of what is served uncompressed so far |

use std::io;
use std::sync::Arc;
use std::time::Duration;

use coraza_runtime::admin::access::Access;
use coraza_runtime::admin::{self, Guard, Routes};
use coraza_runtime::drain;
use coraza_runtime::readiness::Readiness;
use coraza_runtime::tls::expiry::Expiries;
use coraza_runtime::tls::{ClientTls, InvalidPem, ServerTls};
use prometheus_client::registry::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use crate::args::Args;
use crate::auth::token_review::{self, KubeReview, NoCluster, plugin_account};
use crate::auth::{Grants, TokenReviews, Tokens};
use crate::http::{self, Settings, Timeouts, capacity};
use crate::pollers::Pollers;
use crate::subscribe::{self, Held, State};
use crate::{Store, metrics, plugin};

/// Threads for everything but requests: one may encode a RuleSet while the other answers a probe.
const CONTROL_THREADS: usize = 2;
/// The replica's name where nothing says it, as at a terminal: controllers accept none without one.
const UNNAMED: &str = "coraza-cache";
/// How long requests that are being answered may take once the drain's delay is over; the Go operator's value.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the process can't run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A thread, a runtime or a signal handler can't be had.
    #[error("failed to start")]
    Start(#[source] io::Error),
    /// There is nobody to ask about tokens.
    #[error(transparent)]
    NoCluster(#[from] NoCluster),
    /// The port for RuleSets is taken.
    #[error(transparent)]
    Serve(#[from] http::BindError),
    /// The plugin can't be served.
    #[error(transparent)]
    Plugin(#[from] plugin::PluginFileError),
    /// No certificate to serve metrics with.
    #[error("failed to make a certificate for metrics")]
    Metrics(#[from] InvalidPem),
    /// A port for probes or metrics is taken.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
}

/// Runs until the process is asked to stop.
///
/// # Errors
/// [`AppError`] if it can't start.
pub fn run(args: &Args) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(AppError::Start)?;
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> Result<(), AppError> {
    for flag in args.legacy.ignored() {
        tracing::warn!(flag, "a flag of the Go operator has no effect here");
    }
    let (store, compressor) = Store::new();
    std::thread::Builder::new()
        .name("compress".into())
        .spawn(|| compressor.run())
        .map_err(AppError::Start)?;
    let grants = Grants::default();
    let plugin: Option<Arc<str>> = operator_namespace(args).map(|namespace| plugin_account(&namespace).into());
    if plugin.is_none() {
        tracing::warn!("POD_NAMESPACE isn't set: without a controller no token of a plugin is let in");
    }
    let client = token_review::client().await?;
    let (reviews, reviewing) = TokenReviews::new(KubeReview::new(client.clone(), plugin.clone()));
    tokio::spawn(reviewing);
    let authenticate = Tokens {
        grants: grants.clone(),
        reviews,
        plugin,
    };

    let threads = std::thread::available_parallelism().map_err(AppError::Start)?.get();
    let readiness = Readiness::default();
    let expiries = Expiries::default();
    let tls = args.http_tls_dir.as_deref().map(|directory| {
        let tls = ServerTls::one_way(directory, readiness.latch("certificates to serve RuleSets with"));
        let shown = tls.clone();
        expiries.add("http", move || shown.expiry());
        tls
    });
    let server = http::Server::bind(args.cache_server_address(), threads, tls, settings(args))?;
    tracing::info!(address = %server.local_address(), threads, max_connections = server.gauges().connections.max(), "serving RuleSets");

    let module = args.plugin_file.as_deref().map(plugin::Module::read).transpose()?;
    let plugin_digest = module.as_ref().map(plugin::Module::digest);

    let running = readiness.latch("not draining");
    running.set();
    let mut registry = Registry::default();
    let (state, subscription) = watch::channel(State::default());
    let sources = metrics::Sources {
        store: store.clone(),
        http: server.gauges(),
        grants: grants.clone(),
        subscription,
        max_size: args
            .legacy
            .cache_max_size
            .unwrap_or_else(|| memory_limit().map_or(0, |limit| limit / 2)),
    };
    metrics::register(&mut registry, sources);
    let subscriber_tls = ClientTls::mutual(&args.tls_dir, readiness.latch("certificates"));
    let shown = subscriber_tls.clone();
    expiries.add("grpc", move || shown.expiry());
    expiries.register(&mut registry);
    // Probes must see the drain, so the admin server's own begins when the other is over.
    let (admin_signal, admin_drain) = drain::channel();
    // What kube says names neither a token nor a request's body.
    let access = Access::new(move |review| {
        let client = client.clone();
        async move { client.request(review).await }
    });
    let guard = Guard::new(&args.metrics, &replica(), access)?;
    if let Some(guard) = &guard {
        let shown = guard.tls.clone();
        expiries.add("metrics", move || shown.expiry());
    }
    for (address, routes, guard) in [
        (
            args.health_probe_bind_address,
            Routes::default().with_probes(readiness.clone()),
            None,
        ),
        (
            args.metrics.metrics_bind_address,
            Routes::default().with_metrics(registry),
            guard,
        ),
    ] {
        if let Some(address) = address.socket() {
            let server = admin::Server::bind(address, routes).await?.guarded(guard);
            tokio::spawn(server.serve(admin_drain.clone()));
        }
    }
    drop(admin_drain);

    let (signal, watch) = drain::channel();
    tokio::spawn(subscribe::run(
        subscription_options(args, plugin_digest, server.gauges().pollers),
        subscriber_tls,
        Held {
            store: store.clone(),
            grants,
        },
        readiness.latch("first snapshot"),
        state,
        watch.clone(),
    ));
    if let Some(module) = module {
        let path = module.path().to_owned();
        let server = plugin::Server::bind(args.plugin_address(), module, args.drain_delay).await?;
        tracing::info!(port = args.plugin_port, path, "serving the plugin");
        tokio::spawn(server.serve(watch.clone()));
    }
    let serving = tokio::spawn(server.serve(store, authenticate, watch));
    tokio::select! {
        requested = drain::requested() => requested.map_err(AppError::Start)?,
        served = serving => return served.map_err(io::Error::other).flatten().map_err(AppError::Start),
    }
    tracing::info!("draining");
    running.clear();
    if let Err(error) = signal.drain(args.drain_delay.saturating_add(DRAIN_TIMEOUT)).await {
        tracing::warn!(%error, "closing the connections that are left");
    }
    // Its requests are answered at once: nothing is waited for.
    let _ = admin_signal.drain(Duration::ZERO).await;
    Ok(())
}

fn subscription_options(args: &Args, plugin_digest: Option<[u8; 32]>, pollers: Pollers) -> subscribe::Options {
    subscribe::Options {
        addresses: args.controller_addresses.clone(),
        replica: replica(),
        max_ruleset_bytes: args.max_ruleset_bytes,
        plugin_digest,
        pollers,
    }
}

/// This replica's name: in a Pod both are its name; the first is there when the manifest says so, the second unless it has a host's network.
fn replica() -> String {
    let names = ["POD_NAME", "HOSTNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    let named = names.into_iter().find(|name| !name.is_empty());
    named.unwrap_or_else(|| UNNAMED.to_owned())
}

/// Where the operator runs, and with it this process: as the manifest says, else as every Pod with a ServiceAccount knows.
fn operator_namespace(args: &Args) -> Option<String> {
    let mounted = || std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok();
    let namespace = args.pod_namespace.clone().or_else(mounted)?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

fn settings(args: &Args) -> Settings {
    let files = raise_file_limit();
    Settings {
        max_wait: args.max_wait,
        timeouts: Timeouts::default(),
        drain_delay: args.drain_delay,
        max_connections: args
            .max_connections
            .unwrap_or_else(|| capacity::max_connections(memory_limit(), files)),
    }
}

/// The process may have as many files as it could ask for, as Go programs do; the number, if there is a limit.
fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    }
}

/// The container's memory limit in bytes, if it has one (cgroup v2).
fn memory_limit() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()?
        .trim()
        .parse()
        .ok()
}
