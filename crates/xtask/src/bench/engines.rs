//! Many Engines: how soon all are Ready, what they ask of the API server at first, at rest and by what happens, and the controller's memory.
//!
//! Nobody acts on what the controller writes: there is no Istio in it, so what is measured is the controller's and the API server's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::audit::{Mark, Requests};
use super::figure::{Figure, Target};
use super::fleet::{Fleet, Mesh, Profile};
use super::objects;

/// How many of everything.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Engines in all, each with a Gateway
    #[arg(long, default_value_t = 500)]
    engines: usize,
    /// Namespaces that they are spread over
    #[arg(long, default_value_t = 50)]
    namespaces: usize,
    /// RuleSets in all; a namespace's Engines share its own
    #[arg(long, default_value_t = 100)]
    rulesets: usize,
    /// Seconds of rest that are looked at
    #[arg(long, default_value_t = 120)]
    rest: u64,
    /// With the programs of the dev build: requests are the same, times and memory aren't
    #[arg(long)]
    dev: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            engines: 500,
            namespaces: 50,
            rulesets: 100,
            rest: 120,
            dev: false,
        }
    }
}

const ENGINES: &str = "/apis/waf.k8s.coraza.io/v1alpha1/engines";

/// How long it may take until all are Ready.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often it is looked whether they are: an answer has a megabyte.
const LOOK: Duration = Duration::from_millis(250);

/// What happened has no more consequences when nothing is asked for so long: longer than the 5 s that a status may wait for caches.
const QUIET: Duration = Duration::from_secs(8);

pub(super) async fn measure(args: &Args) -> Result<()> {
    ensure!(
        args.namespaces > 0 && args.rulesets >= args.namespaces,
        "every namespace needs a RuleSet"
    );
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    let mut fleet = Fleet::start(Mesh::Crds, profile).await?;
    fleet.add_cache().await?;
    fleet.add_cache().await?;
    let namespace = |index: usize| format!("team-{}", index % args.namespaces);
    prepare(&fleet, args, namespace).await?;
    let figure = |name: &str, value: f64, unit, target: Target| {
        let name = format!("engines-{}/{name}", args.engines);
        println!("{}", Figure::alone(&name, value, unit, target));
    };
    let engines = (0..args.engines).map(|index| {
        // Of the RuleSets, which go round the namespaces, the one of this namespace and of this round.
        let rounds = args.rulesets / args.namespaces;
        let ruleset = index % args.namespaces + (index / args.namespaces) % rounds * args.namespaces;
        objects::engine(&namespace(index), &format!("web-{index}"), &format!("waf-{ruleset}"))
    });
    let mark = Mark::now(fleet.audit())?;
    let started = Instant::now();
    fleet.api.create(engines.collect()).await?;
    let created = started.elapsed();
    ready(&fleet, args.engines).await?;
    figure(
        "all-ready",
        started.elapsed().as_secs_f64() * 1_000.0,
        "ms",
        Target::None,
    );
    let cold = settled(&mark).await?;
    eprintln!("created in {created:.1?}; {cold}");
    figure(
        "cold-requests-per-engine",
        ratio(cold.total(), args.engines),
        "requests",
        Target::None,
    );
    figure(
        "cold-writes-per-engine",
        ratio(cold.writes(), args.engines),
        "requests",
        Target::None,
    );
    figure(
        "controller-memory",
        fleet.controller_mebibytes()?,
        "MiB",
        Target::AtMost(1_024.0),
    );

    let mark = Mark::now(fleet.audit())?;
    tokio::time::sleep(Duration::from_secs(args.rest)).await;
    let rest = mark.since()?;
    eprintln!("at rest: {rest}");
    let hourly = ratio(rest.total(), args.engines) * 3_600.0 / args.rest as f64;
    figure("requests-per-engine-and-hour", hourly, "requests", Target::None);

    let pod = replaced_pod(&fleet, &namespace(0), "web-0").await?;
    eprintln!("a Gateway's Pod: {pod}");
    figure(
        "gateway-pod-restart-writes",
        count(pod.writes()),
        "requests",
        Target::None,
    );

    let mark = Mark::now(fleet.audit())?;
    let sharing = args.engines / args.rulesets;
    fleet
        .api
        .edit(&namespace(0), "own-0", &rules(args.rulesets + 1))
        .await?;
    let edit = settled(&mark).await?;
    eprintln!("an edit of a RuleSet with {sharing} Engines: {edit}");
    figure("ruleset-edit-writes", count(edit.writes()), "requests", Target::None);

    let mark = Mark::now(fleet.audit())?;
    fleet.restart_controller().await?;
    ready(&fleet, args.engines).await?;
    let restart = settled(&mark).await?;
    eprintln!("a restart of the controller: {restart}");
    figure(
        "controller-restart-writes",
        count(restart.writes()),
        "requests",
        Target::AtMost(0.0),
    );
    figure(
        "controller-memory-after-restart",
        fleet.controller_mebibytes()?,
        "MiB",
        Target::AtMost(1_024.0),
    );
    Ok(())
}

/// Everything but the Engines; returns when the controller has seen to it.
async fn prepare(fleet: &Fleet, args: &Args, namespace: impl Fn(usize) -> String) -> Result<()> {
    let namespaces = (0..args.namespaces).map(|index| {
        let name = namespace(index);
        json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": name } })
    });
    fleet.api.create(namespaces.collect()).await?;
    let sources = (0..args.rulesets).map(|index| {
        let name = format!("own-{index}");
        objects::source(&namespace(index), &name, &rules(index))
    });
    fleet.api.create(sources.collect()).await?;
    let rulesets = (0..args.rulesets).map(|index| {
        json!({
            "apiVersion": "waf.k8s.coraza.io/v1alpha1",
            "kind": "RuleSet",
            "metadata": { "namespace": namespace(index), "name": format!("waf-{index}") },
            "spec": { "sources": [{ "name": format!("own-{index}") }] },
        })
    });
    fleet.api.create(rulesets.collect()).await?;
    let gateways = (0..args.engines).map(|index| objects::gateway(&namespace(index), &format!("web-{index}")));
    fleet.api.create(gateways.collect()).await?;
    for cache in &fleet.caches {
        cache.serves(args.rulesets, PATIENCE).await?;
    }
    settled(&Mark::now(fleet.audit())?).await.map(drop)
}

fn rules(number: usize) -> String {
    format!("SecRule ARGS \"@rx ^own{number}$\" \"id:1,phase:2,deny\"\n")
}

/// Waits until so many Engines are Ready as they are specified.
async fn ready(fleet: &Fleet, wanted: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = fleet.kubectl().args(["get", "--raw", ENGINES]).stdout().await?;
        let list: Value = serde_json::from_str(&list).context("the list of Engines")?;
        let engines = list.get("items").and_then(Value::as_array).context("no list")?;
        let ready = engines.iter().filter(|engine| is_ready(engine)).count();
        if ready == wanted {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{ready} of {wanted} Engines are Ready; the first says {}",
            engines
                .first()
                .and_then(|engine| engine.pointer("/status/conditions"))
                .unwrap_or(&Value::Null)
        );
        tokio::time::sleep(LOOK).await;
    }
}

fn is_ready(engine: &Value) -> bool {
    let generation = engine.pointer("/metadata/generation");
    let conditions = engine.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let field = |name: &str| condition.get(name).and_then(Value::as_str);
        field("type") == Some("Ready")
            && field("status") == Some("True")
            && condition.get("observedGeneration") == generation
    })
}

/// Waits until nothing more is asked, and gives what was asked since the mark.
async fn settled(mark: &Mark) -> Result<Requests> {
    let mut seen = (mark.since()?, Instant::now());
    while seen.1.elapsed() < QUIET {
        tokio::time::sleep(LOOK).await;
        let now = mark.since()?;
        if now.total() != seen.0.total() {
            seen = (now, Instant::now());
        }
    }
    Ok(seen.0)
}

/// What it costs that a Gateway's Pod is replaced by another.
async fn replaced_pod(fleet: &Fleet, namespace: &str, gateway: &str) -> Result<Requests> {
    start_pod(fleet, namespace, "web-before", gateway).await?;
    settled(&Mark::now(fleet.audit())?).await?;
    let mark = Mark::now(fleet.audit())?;
    fleet.api.delete_pod(namespace, "web-before").await?;
    start_pod(fleet, namespace, "web-after", gateway).await?;
    settled(&mark).await
}

/// Makes a Pod as a kubelet does: there, running, ready.
async fn start_pod(fleet: &Fleet, namespace: &str, name: &str, gateway: &str) -> Result<()> {
    let pod = objects::gateway_pod(namespace, name, gateway);
    fleet.api.create(vec![pod]).await.context("a Pod of a Gateway")?;
    for ready in ["False", "True"] {
        let status = json!({
            "phase": "Running",
            "podIP": "10.0.0.9",
            "podIPs": [{ "ip": "10.0.0.9" }],
            "conditions": [{ "type": "Ready", "status": ready }],
        });
        fleet.api.report(namespace, name, &status).await?;
    }
    Ok(())
}

fn ratio(of: usize, to: usize) -> f64 {
    count(of) / count(to)
}

fn count(number: usize) -> f64 {
    number as f64
}
