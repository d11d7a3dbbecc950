//! From the edit of a RuleSource to the last of four workers that enforces it, with everything real: API server, controller, mTLS, caches,
//! Envoy and the plugin.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Tools;
use super::load::answer;
use super::proxy::{Proxy, Setup};
use crate::bench::delivery::percentile;
use crate::bench::figure::{Figure, Target};
use crate::bench::fleet::{Fleet, Mesh, Profile};
use crate::bench::objects::{self, RULESET};

const NAMESPACE: &str = "bench-plugin";
const SOURCE: &str = "edited";
const WORKERS: u32 = 4;
/// Envoy spreads connections evenly, so each worker has two.
const CONNECTIONS: u32 = 2 * WORKERS;
/// What the edited rule answers, and no other.
const STATUS: u16 = 418;
/// An edit takes less than a second, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn measure(tools: &Tools, upstream: u16, dir: &Path, profile: Profile, edits: usize) -> Result<()> {
    let mut fleet = Fleet::start(Mesh::Nothing, profile).await?;
    fleet.add_cache().await?;
    fleet.add_cache().await?;
    let namespace = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": NAMESPACE } });
    fleet.api.create(vec![namespace]).await?;
    fleet.api.create(rules(&fleet).await?).await?;
    for cache in &fleet.caches {
        cache.serves(1, PATIENCE).await?;
    }
    let authorization = fleet.authorization(NAMESPACE, RULESET).await?;
    let token = authorization.trim().rsplit(' ').next().context("no token")?;
    let caches: Vec<u16> = fleet.caches.iter().map(|cache| cache.ports.service).collect();
    let instance = format!("{NAMESPACE}/{RULESET}");
    let setup = Setup {
        workers: WORKERS,
        rules: (&instance, token),
        ..Setup::new(tools, &caches, upstream)
    };
    let proxy = Proxy::start(dir, &setup).await?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect(("127.0.0.1", proxy.filtered)).await?);
    }
    let mut times = Vec::new();
    for edit in 1..=edits {
        fleet.api.edit(NAMESPACE, SOURCE, &rule(edit)).await?;
        let written = Instant::now();
        for client in &mut clients {
            until_enforced(client, edit).await?;
        }
        times.push(written.elapsed());
    }
    times.sort_unstable();
    for (name, percent) in [("plugin/edit-to-enforced-p50", 50), ("plugin/edit-to-enforced-p99", 99)] {
        let time = percentile(&times, percent)?.as_secs_f64() * 1_000.0;
        println!("{}", Figure::alone(name, time, "ms", Target::AtMost(1_000.0)));
    }
    Ok(())
}

/// The Core Rule Set's objects, its RuleSet with one source more.
async fn rules(fleet: &Fleet) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for object in objects::core_rule_set(|| fleet.kubectl()).await? {
        let object = objects::in_namespace(&object, NAMESPACE);
        objects.push(if object.get("kind").and_then(Value::as_str) == Some("RuleSet") {
            objects::with_source(&object, RULESET, SOURCE)?
        } else {
            object
        });
    }
    objects.push(objects::source(NAMESPACE, SOURCE, &rule(0)));
    Ok(objects)
}

fn rule(edit: usize) -> String {
    format!("SecRule REQUEST_HEADERS:x-edit \"@streq {edit}\" \"id:1000000,phase:1,deny,status:{STATUS}\"\n")
}

/// Asks a worker until it blocks what this edit blocks.
async fn until_enforced(client: &mut TcpStream, edit: usize) -> Result<()> {
    let request = format!(
        "GET / HTTP/1.1\r\nhost: shop.example.com\r\nuser-agent: bench\r\naccept: */*\r\nx-edit: {edit}\r\n\r\n"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        client.write_all(request.as_bytes()).await?;
        if answer(client).await? == STATUS {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "edit {edit} isn't enforced after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
