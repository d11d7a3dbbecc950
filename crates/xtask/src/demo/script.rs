//! What the demo does, step by step, and what it claims of each.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::mesh;
use super::poll::Target;
use super::shell::Shell;
use super::stage::{NAMESPACE, Stage};

/// The RuleSet that `kubectl coraza generate coreruleset` writes.
pub(super) const RULESET: &str = "default-ruleset";

/// The RuleSource to edit: short, and with a rule that reads a data file.
const SOURCE: &str = "request-913-scanner-detection";

/// Runs every step, and gives what was shown, a claim a line.
pub(super) async fn run(stage: &Stage) -> Result<Vec<String>> {
    let mut shell = stage.shell.clone();
    let mut claims = Vec::new();
    install(stage, &shell).await?;
    claims.push(serve(stage, &shell).await?);
    claims.push(read(stage, &mut shell).await?);
    claims.push(edit(stage, &shell).await?);
    claims.push(break_and_mend(stage, &shell).await?);
    claims.push(lose_the_controller(stage, &shell).await?);
    if let Some(node) = stage.node() {
        claims.extend(mesh::protect(stage, &mut shell, node).await?);
    }
    Ok(claims)
}

async fn install(stage: &Stage, shell: &Shell) -> Result<()> {
    shell.run("kubectl version").await?;
    println!("\n== The custom resources, one controller and two caches");
    let rights = if stage.own_cluster() {
        " --filename deploy/rbac.yaml"
    } else {
        ""
    };
    shell
        .run(&format!("kubectl apply --server-side --filename deploy/crds{rights}"))
        .await?;
    shell
        .run("kubectl wait --for=condition=Established --filename deploy/crds")
        .await?;
    shell.run(&format!("kubectl create namespace {NAMESPACE}")).await?;
    stage.start_controller().await?;
    stage.start_caches().await
}

async fn serve(stage: &Stage, shell: &Shell) -> Result<String> {
    println!("\n== The Core Rule Set as RuleSources, a RuleData and a RuleSet");
    let started = Instant::now();
    let generate = "kubectl coraza generate coreruleset --rules-dir \"$CORE_RULE_SET\" --version 4.25.0";
    shell
        .run(&format!(
            "{generate} --namespace {NAMESPACE} | kubectl apply --server-side --filename -"
        ))
        .await?;
    shell
        .run(&format!(
            "kubectl wait --for=condition=Ready ruleset/{RULESET} --namespace {NAMESPACE} --timeout=60s"
        ))
        .await?;
    let took = started.elapsed();
    let rulesets = shell
        .run(&format!("kubectl get rulesets --namespace {NAMESPACE}"))
        .await?;
    let uuid = ruleset(shell, "{.status.revision.uuid}").await?;
    ensure!(
        !uuid.is_empty() && rulesets.contains(&uuid),
        "RuleSet {RULESET} shows no revision"
    );
    let caches = shell
        .run(&format!(
            "curl --silent --show-error --fail http://127.0.0.1:{}/debug/caches",
            stage.ports.controller.metrics
        ))
        .await?;
    for cache in ["coraza-cache-0", "coraza-cache-1"] {
        ensure!(caches.contains(cache), "{cache} isn't subscribed");
    }
    Ok(format!(
        "CRS 4.25.0 was Ready as revision {uuid} {took:.1?} after its first object was made, held by both caches"
    ))
}

async fn read(stage: &Stage, shell: &mut Shell) -> Result<String> {
    println!("\n== A caller with a token of its own reads it from both");
    shell
        .run(&format!("kubectl create serviceaccount caller --namespace {NAMESPACE}"))
        .await?;
    let audience = format!("--audience coraza-cache:{NAMESPACE}/{RULESET}");
    shell
        .set(
            "TOKEN",
            &format!("kubectl create token caller --namespace {NAMESPACE} {audience}"),
        )
        .await?;
    let mut answers = Vec::new();
    for port in stage.ports.caches.map(|ports| ports.service) {
        let latest = shell.run(&curl(port, "/latest", "")).await?;
        let digest = shell.run(&curl(port, "", " | sha256sum")).await?;
        let size = shell.run(&curl(port, "", " | wc -c")).await?;
        answers.push((latest, digest, size));
    }
    let uuid = ruleset(shell, "{.status.revision.uuid}").await?;
    let [(latest, digest, size), other] = answers.as_slice() else {
        anyhow::bail!("there are not two caches")
    };
    ensure!(
        (latest, digest, size) == (&other.0, &other.1, &other.2),
        "the caches differ"
    );
    ensure!(latest.contains(&uuid), "the caches serve another revision than {uuid}");
    Ok(format!(
        "both caches gave an authenticated caller the same {} bytes",
        size.trim()
    ))
}

async fn edit(stage: &Stage, shell: &Shell) -> Result<String> {
    println!("\n== An edit of one RuleSource");
    let before = latest(stage, shell, "an answer", |_| true).await?.1;
    let started = Instant::now();
    let line = replace(
        "Found User-Agent associated with security scanner",
        "User-Agent of a security scanner",
    );
    let changed = |answer: &str| answer != before;
    let (edited, served) = tokio::join!(shell.run(&line), latest(stage, shell, "the edited revision", changed));
    edited?;
    let (at, _) = served?;
    let all = at.duration_since(started).as_millis();
    println!("  both caches served it {all} ms after kubectl was started");
    Ok(format!(
        "an edit of one RuleSource of it was served by both caches {all} ms after kubectl was started to make it"
    ))
}

async fn break_and_mend(stage: &Stage, shell: &Shell) -> Result<String> {
    println!("\n== A broken edit");
    let before = latest(stage, shell, "an answer", |_| true).await?.1;
    shell
        .run(&replace("@pmFromFile scanners", "@pmFromFiles scanners"))
        .await?;
    shell
        .run(&format!(
            "kubectl wait --for=condition=Degraded ruleset/{RULESET} --namespace {NAMESPACE} --timeout=30s"
        ))
        .await?;
    let degraded = r#"{.status.conditions[?(@.type=="Degraded")].message}{"\n"}"#;
    let message = shell
        .run(&format!(
            "kubectl get ruleset {RULESET} --namespace {NAMESPACE} --output jsonpath='{degraded}'"
        ))
        .await?;
    ensure!(
        message.contains(SOURCE) && message.contains('^'),
        "the message doesn't show where the error is"
    );
    for port in stage.ports.caches.map(|ports| ports.service) {
        let served = shell.run(&curl(port, "/latest", "")).await?;
        ensure!(served == before, "the last good revision isn't served any more");
    }
    println!("\n== Mended");
    shell
        .run(&replace("@pmFromFiles scanners", "@pmFromFile scanners"))
        .await?;
    shell
        .run(&format!(
            "kubectl wait --for=condition=Ready ruleset/{RULESET} --namespace {NAMESPACE} --timeout=30s"
        ))
        .await?;
    latest(stage, shell, "the revision from before", |answer| answer == before).await?;
    Ok(
        "a broken edit was refused with RuleSource, line, column and caret, and changed nothing that was served"
            .to_owned(),
    )
}

async fn lose_the_controller(stage: &Stage, shell: &Shell) -> Result<String> {
    println!("\n== The controller is killed");
    let version = ruleset(shell, "{.metadata.resourceVersion}").await?;
    let before = latest(stage, shell, "an answer", |_| true).await?.1;
    let mut controller = stage.dismiss("coraza-controller-0")?;
    let pid = controller.pid().context("the controller has ended")?;
    shell.run(&format!("kill -9 {pid}")).await?;
    controller.wait().await?;
    for port in stage.ports.caches.map(|ports| ports.service) {
        let served = shell.run(&curl(port, "/latest", "")).await?;
        ensure!(served == before, "a cache serves something else without its controller");
    }
    println!("\n== The controller is started again");
    stage.start_controller().await?;
    let metrics = stage.ports.controller.metrics;
    let both = |answer: &str| answer.contains("coraza-cache-0") && answer.contains("coraza-cache-1");
    Target {
        port: metrics,
        path: "/debug/caches",
        token: "",
    }
    .until("both caches to subscribe again", both)
    .await?;
    shell
        .run(&format!(
            "curl --silent --show-error --fail http://127.0.0.1:{metrics}/debug/caches"
        ))
        .await?;
    shell
        .run(&format!("kubectl get rulesets --namespace {NAMESPACE}"))
        .await?;
    let after = latest(stage, shell, "an answer", |_| true).await?.1;
    ensure!(
        after == before,
        "a restart changed what is served: {before} became {after}"
    );
    ensure!(
        ruleset(shell, "{.metadata.resourceVersion}").await? == version,
        "a restart wrote to the RuleSet"
    );
    Ok("the caches went on without their controller, whose restart wrote nothing and reloaded nothing".to_owned())
}

/// Waits until both caches give the same good answer, and gives it with the moment of the later one.
async fn latest(stage: &Stage, shell: &Shell, what: &str, good: impl Fn(&str) -> bool) -> Result<(Instant, String)> {
    let token = shell.get("TOKEN")?;
    let path = format!("/rules/{NAMESPACE}/{RULESET}/latest");
    let [one, other] = stage.ports.caches.map(|ports| Target {
        port: ports.service,
        path: &path,
        token,
    });
    let (one, other) = tokio::try_join!(one.until(what, &good), other.until(what, &good))?;
    ensure!(one.1 == other.1, "the caches differ: {} and {}", one.1, other.1);
    Ok((one.0.max(other.0), one.1))
}

/// A field of the RuleSet.
async fn ruleset(shell: &Shell, field: &str) -> Result<String> {
    shell
        .quietly(&format!(
            "kubectl get ruleset {RULESET} --namespace {NAMESPACE} --output jsonpath='{field}'"
        ))
        .await
}

/// The line that asks a cache.
fn curl(port: u16, suffix: &str, pipe: &str) -> String {
    let header = "--header \"Authorization: Bearer $TOKEN\"";
    format!(
        "curl --silent --show-error --fail {header} http://127.0.0.1:{port}/rules/{NAMESPACE}/{RULESET}{suffix}{pipe}"
    )
}

/// The line that edits the RuleSource.
fn replace(old: &str, new: &str) -> String {
    let get = format!("kubectl get rulesource {SOURCE} --namespace {NAMESPACE} --output json");
    format!("{get} | sed \"s/{old}/{new}/\" | kubectl replace --filename -")
}
