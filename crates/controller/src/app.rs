//! Builds the controller's tasks and joins them. No logic.
//!
//! | task | does |
//! |---|---|
//! | one watch per kind | [`watch`](crate::watch): follows the API server into the index, fills the queue |
//! | grants | [`worker`]: tells the publisher which tokens are in use, once that is known |
//! | Kubernetes | [`kubernetes`](crate::kubernetes): says once whether the API server is too old |
//! | workers | [`worker`]: reconcile what the queue gives them, once all kinds were listed |
//! | authorities | [`bundle`](crate::certificates::bundle): tells gateways whom to trust, when they poll over TLS |
//! | certificates | [`certificates`](crate::certificates): fills and renews the Secrets of the controller's own CA |
//! | election | [`lease`](crate::lease): takes, renews and releases the Lease |
//! | distribution | [`publish`](crate::publish): serves the caches |
//! | leadership, deliveries, pollers | [`worker`]: what they change goes into the queue |
//! | admin servers | probes, metrics, `/debug/caches` |

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coraza_api::istio::{DestinationRule, ServiceEntry, Telemetry, WasmPlugin};
use coraza_api::metadata::label;
use coraza_compiler::{Compiler, Profile};
use coraza_runtime::admin::access::Access;
use coraza_runtime::admin::{self, Answer, BindError, Guard, Routes};
use coraza_runtime::drain;
use coraza_runtime::readiness::{Latch, Readiness};
use coraza_runtime::tls::expiry::Expiries;
use coraza_runtime::tls::{InvalidPem, ServerTls};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::args::{ControllerArgs, EngineProfile, InvalidArgs};
use crate::certificates::Keeper;
use crate::certificates::bundle::Bundle;
use crate::client::{ClientError, Clients};
use crate::context::Context;
use crate::engine::fail_reload::FailReload;
use crate::engine::settings::CacheAuthority;
use crate::lease::elector::InvalidTimings;
use crate::lease::{Candidate, Leadership};
use crate::metrics::Metrics;
use crate::publish::{self, Publisher};
use crate::queue::Queue;
use crate::ruleset::memory::Memory;
use crate::status::events::Recorder;
use crate::watch::foreign::{ChildView, DeploymentView, GatewayClassView, GatewayView};
use crate::watch::index::Indexed;
use crate::watch::object::{DataView, EngineView, RuleSetView, SourceView};
use crate::watch::pod::PodView;
use crate::watch::{self, Scope, Watched};
use crate::{caches, kubernetes, worker};

/// How many items are worked on at once for each processor: while some wait for the API server, others compile.
const WORKERS_PER_PROCESSOR: usize = 4;
/// How long the tasks may take to finish after SIGTERM: the Lease's release, the streams' ends, the status write under way.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// Runs the controller until it is asked to stop.
///
/// # Errors
/// [`AppError`] if it can't start, or a task ended that never should.
pub async fn run(args: ControllerArgs) -> Result<(), AppError> {
    args.check()?;
    tracing::info!(args = ?args, "flags");
    for flag in args.compat.without_effect() {
        tracing::warn!(flag, "this flag of the Go operator has no effect here");
    }
    let clients = Clients::new(args.kubeconfig.as_deref()).await?;
    let address = args.grpc_bind_address.socket().ok_or(InvalidArgs::GrpcBindAddress)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Listen { address, source })?;

    let readiness = Readiness::default();
    let running = readiness.latch("running");
    let tls = ServerTls::mutual(&args.tls_dir, readiness.latch("certificates"));
    let (stop, drain) = drain::channel();
    let mut tasks = JoinSet::new();
    let mut registry = Registry::default();
    let expiries = Expiries::default();
    let shown = tls.clone();
    expiries.add("grpc", move || shown.expiry());
    expiries.register(&mut registry);
    let workers = processors().saturating_mul(WORKERS_PER_PROCESSOR);
    let leadership = stand_for_election(&mut tasks, &args, &clients, &drain)?;
    let watches = readiness.latch("watches");
    let context = context(&args, &clients, leadership.clone(), watches, workers, &mut registry)?;
    let publisher = context.publisher.clone();
    if let Some(CacheAuthority::ConfigMap(name)) = &context.settings.cache_tls {
        let client = clients.calls.clone();
        let bundle = Bundle::new(client, &args.pod_namespace, name, &args.tls_dir, leadership.clone());
        tasks.spawn(bundle.run(drain.clone()));
    }
    if let Some(secrets) = args.certificates.secrets() {
        let (client, policy) = (clients.calls.clone(), args.certificates.policy(&context.settings));
        let keeper = Keeper::new(client, &args.pod_namespace, secrets, policy, leadership.clone());
        keeper.metrics().register(&mut registry);
        tasks.spawn(keeper.run(drain.clone()));
    }

    watch_all(&mut tasks, &context, &clients);
    tasks.spawn(worker::open_grants(context.clone(), drain.clone()));
    for _ in 0..workers {
        tasks.spawn(worker::work(context.clone(), drain.clone()));
    }
    tasks.spawn(worker::follow_leadership(context.clone(), drain.clone()));
    tasks.spawn(worker::follow_deliveries(context.clone(), drain.clone()));
    // Not one of the tasks that must never end.
    tokio::spawn(kubernetes::look(context.clone()));
    tasks.spawn(worker::follow_pollers(context, drain.clone()));
    tasks.spawn(publish::serve(
        publisher.clone(),
        listener,
        tls,
        args.limits.max_ruleset_bytes,
        drain,
    ));

    // The admin servers have a drain of their own, which starts last: a probe must see that the process stops.
    let (stop_admin, admin_drain) = drain::channel();
    let reviews = clients.calls.clone();
    // What kube says names neither a token nor a request's body.
    let access = Access::new(move |review| {
        let client = reviews.clone();
        async move { client.request(review).await }
    });
    let guard = Guard::new(&args.metrics, &replica(&args), access)?;
    if let Some(guard) = &guard {
        let shown = guard.tls.clone();
        expiries.add("metrics", move || shown.expiry());
    }
    let probes = Routes::default().with_probes(readiness);
    let debug = move || Answer::json(caches::document(&publisher, &leadership));
    let metrics = Routes::default()
        .with_metrics(registry)
        .with("/debug/caches", debug.clone());
    let debug = Routes::default().with("/debug/caches", debug);
    for (address, routes, guard) in [
        (args.health_probe_bind_address, probes, None),
        (args.debug_bind_address, debug, None),
        (args.metrics.metrics_bind_address, metrics, guard),
    ] {
        if let Some(address) = address.socket() {
            let server = admin::Server::bind(address, routes).await?.guarded(guard);
            tokio::spawn(server.serve(admin_drain.clone()));
        }
    }
    drop(admin_drain);
    running.set();

    tokio::select! {
        requested = drain::requested() => requested.map_err(AppError::Signal)?,
        Some(ended) = tasks.join_next() => return Err(ended.map_or_else(AppError::Panicked, |()| AppError::Ended)),
    }
    tracing::info!("stopping");
    running.clear();
    if stop.drain(DRAIN_DEADLINE).await.is_err() {
        tracing::warn!("tasks were still at work at the deadline");
    }
    // A scrape that is under way is nothing to wait for.
    let _ = stop_admin.drain(Duration::ZERO).await;
    tracing::info!("stopped");
    Ok(())
}

/// What every reconciliation works with, its metrics registered.
fn context(
    args: &ControllerArgs,
    clients: &Clients,
    leadership: Leadership,
    watches: Latch,
    workers: usize,
    registry: &mut Registry,
) -> Result<Context, AppError> {
    let publisher = Publisher::new(args.election.timings()?.lease_duration);
    let (metrics, watch_metrics) = (Metrics::default(), watch::metrics::Metrics::default());
    metrics.register(registry);
    watch_metrics.register(registry);
    registry.register_collector(Box::new(caches::Metrics::new(publisher.clone())));
    let settings = args.engine.settings(&args.pod_namespace);
    let compiler = Arc::new(Compiler::new());
    let queue = Queue::new(workers);
    queue.register(registry);
    Ok(Context {
        client: clients.calls.clone(),
        watched: Watched::new(queue.clone(), Arc::clone(&compiler), watch_metrics, watches),
        queue,
        compiler,
        profile: match args.engine_profile {
            EngineProfile::Native => Profile::Native,
            EngineProfile::Wasm => Profile::Wasm,
        },
        limits: args.limits(),
        publisher,
        metrics,
        recorder: Recorder::new(clients.calls.clone(), replica(args)),
        leadership,
        processors: Arc::new(Semaphore::new(processors())),
        stock: Arc::default(),
        started: Instant::now(),
        memory: Arc::new(Mutex::new(Memory::new(args.limits()))),
        fail_reload: Arc::new(FailReload::new(settings.fail_reload)),
        settings: Arc::new(settings),
        engines: Arc::default(),
    })
}

fn stand_for_election(
    tasks: &mut JoinSet<()>,
    args: &ControllerArgs,
    clients: &Clients,
    drain: &drain::Watch,
) -> Result<Leadership, AppError> {
    if !args.election.leader_elect {
        return Ok(Leadership::unopposed());
    }
    let identity = format!("{}_{}", replica(args), Uuid::new_v4());
    let timings = args.election.timings()?;
    let (candidate, leadership) = Candidate::new(clients, &args.pod_namespace, identity, timings);
    tasks.spawn(candidate.run(drain.clone()));
    Ok(leadership)
}

/// One watch per kind: our own and those of our Engines' surroundings everywhere, what only concerns the operator where that is.
fn watch_all(tasks: &mut JoinSet<()>, context: &Context, clients: &Clients) {
    let settings = &context.settings;
    watch::<RuleSetView>(tasks, context, clients, Scope::Cluster);
    watch::<SourceView>(tasks, context, clients, Scope::Cluster);
    watch::<DataView>(tasks, context, clients, Scope::Cluster);
    watch::<EngineView>(tasks, context, clients, Scope::Cluster);
    watch::<GatewayView>(tasks, context, clients, Scope::Cluster);
    watch::<GatewayClassView>(tasks, context, clients, Scope::Cluster);
    watch::<PodView>(tasks, context, clients, Scope::Labelled(label::GATEWAY_NAME));
    watch::<ChildView<WasmPlugin>>(tasks, context, clients, Scope::Cluster);
    watch::<ChildView<Telemetry>>(tasks, context, clients, Scope::Cluster);
    let own = Scope::Namespace(settings.namespace.clone());
    watch::<ChildView<NetworkPolicy>>(tasks, context, clients, own.clone());
    if let Some(operator) = &settings.operator_name {
        watch::<ChildView<ServiceEntry>>(tasks, context, clients, own.clone());
        watch::<ChildView<DestinationRule>>(tasks, context, clients, own);
        let deployment = Scope::Object(settings.namespace.clone(), operator.clone());
        watch::<DeploymentView>(tasks, context, clients, deployment);
    }
}

fn watch<V: Indexed>(tasks: &mut JoinSet<()>, context: &Context, clients: &Clients, scope: Scope) {
    let (watched, client) = (context.watched.clone(), clients.watches.clone());
    tasks.spawn(async move { watched.pump::<V>(client, scope).await });
}

/// This replica's name: a container's host name is its Pod's.
fn replica(args: &ControllerArgs) -> String {
    let name = args.pod_name.clone().or_else(|| std::env::var("HOSTNAME").ok());
    name.unwrap_or_else(|| "coraza-controller".to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Why the controller can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Flags that can't be worked with.
    #[error(transparent)]
    Args(#[from] InvalidArgs),
    /// No way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The caches' listener.
    #[error("failed to listen for caches on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The admin servers' listeners.
    #[error(transparent)]
    Admin(#[from] BindError),
    /// No certificate to serve metrics with.
    #[error("failed to make a certificate for metrics")]
    Metrics(#[from] InvalidPem),
    /// Signals can't be listened for.
    #[error("failed to listen for signals")]
    Signal(#[source] io::Error),
    /// A fault of ours.
    #[error("a task ended that never should")]
    Ended,
    /// A fault of ours.
    #[error("a task panicked")]
    Panicked(#[source] JoinError),
}

impl From<InvalidTimings> for AppError {
    fn from(error: InvalidTimings) -> Self {
        Self::Args(error.into())
    }
}
