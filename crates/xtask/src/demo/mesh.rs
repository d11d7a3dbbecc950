//! What the demo shows of an Engine, where there is a mesh: a Gateway of Istio's with a real Envoy, the plugin in it, which the caches serve, an attack that is
//! refused, and an edit that turns a verdict while all goes on.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::script::RULESET;
use super::shell::Shell;
use super::stage::{NAMESPACE, Stage};
use crate::cluster::this_program;

/// The Gateway's proxy.
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 10);

const PROXY_PROCESS: &str = "gateway-proxy";

/// Of the web server behind it.
const ORIGIN_PORT: u16 = 8000;

/// How long anything may take: all of it takes seconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the Gateway is asked: the resolution of what is measured.
const POLL: Duration = Duration::from_millis(20);

/// What the controller has to be told of a mesh. Which plugin it isn't told: the one that the caches serve is the default.
pub(super) const CONTROLLER_FLAGS: [&str; 2] = ["--cache-service=coraza-cache", "--operator-name=coraza-controller"];

/// Paths of requests. Encoded as a browser would.
const NORMAL: &str = "/?q=hello%20world";
const INJECTION: &str = "/?id=1%20UNION%20SELECT%20password%20FROM%20users";
const SCRIPT: &str = "/?name=%3Cscript%3Ealert(1)%3C/script%3E";
/// What the demo's own rule is about.
const BETA: &str = "/beta.html";

/// Puts an Engine in front of a Gateway, and gives what was shown.
pub(super) async fn protect(stage: &Stage, shell: &mut Shell, node: Ipv4Addr) -> Result<Vec<String>> {
    let gateway = gateway(stage, shell, node).await?;
    let blocked = engine(shell).await?;
    let reach = token(stage, shell).await?;
    let turned = turn(stage, shell).await?;
    Ok(vec![gateway, blocked, reach, turned])
}

async fn gateway(stage: &Stage, shell: &Shell, node: Ipv4Addr) -> Result<String> {
    println!("\n== A Gateway, which istiod makes a Deployment of, and a web server behind it");
    let files = stage.cluster_dir()?.join("web");
    fs::create_dir_all(&files)?;
    fs::write(files.join("index.html"), "hello\n")?;
    fs::write(files.join("beta.html"), "hello, too\n")?;
    let server = stage
        .actor("python3")
        .args(["-m", "http.server", "--bind"])
        .arg(node.to_string());
    let server = server.arg(ORIGIN_PORT.to_string()).arg("--directory").arg(&files);
    stage.start("web-server", server)?;
    // There are no Pods behind these: they are processes of the node.
    let caches = stage
        .ports
        .caches
        .map(|ports| vec![("http", ports.service), ("http-plugin", ports.plugin)]);
    let caches = service("coraza-cache", &[("http", 80), ("http-plugin", 18081)], node, &caches);
    apply_quietly(shell, "coraza-system", &caches).await?;
    let web = service("web", &[("http", 80)], node, &[vec![("http", ORIGIN_PORT)]]);
    apply_quietly(shell, NAMESPACE, &web).await?;
    apply(shell, GATEWAY).await?;
    let proxy = stage
        .actor(this_program())
        .args(["cluster", "gateway", "web", "--namespace", NAMESPACE]);
    let proxy = proxy
        .arg(format!("--address={PROXY}"))
        .arg("--dir")
        .arg(stage.cluster_dir()?);
    stage.start(PROXY_PROCESS, proxy)?;
    shell
        .run(&format!(
            "kubectl wait --for=condition=Programmed gateway/web --namespace {NAMESPACE} --timeout=60s"
        ))
        .await?;
    answers(shell, NORMAL, "200").await?;
    ask(shell, NORMAL, "200").await?;
    ask(shell, INJECTION, "200").await?;
    let pods = shell
        .run(&format!("kubectl get pods --namespace {NAMESPACE} --output wide"))
        .await?;
    ensure!(pods.contains("web-istio-"), "istiod made no Pod");
    Ok("a real istiod made a Gateway's Deployment, and a real Envoy let an attack through for it".to_owned())
}

async fn engine(shell: &Shell) -> Result<String> {
    println!("\n== An Engine in front of it");
    let started = Instant::now();
    apply(shell, ENGINE).await?;
    // Until the plugin is loaded Envoy refuses all, and then the plugin until it has rules: the Engine's failure policy.
    answers(shell, INJECTION, "403").await?;
    answers(shell, NORMAL, "200").await?;
    let took = started.elapsed();
    ask(shell, INJECTION, "403").await?;
    ask(shell, SCRIPT, "403").await?;
    ask(shell, NORMAL, "200").await?;
    for condition in ["Ready", "Enforced"] {
        shell
            .run(&format!(
                "kubectl wait --for=condition={condition} engine/web --namespace {NAMESPACE} --timeout=60s"
            ))
            .await?;
    }
    let engines = shell
        .run(&format!("kubectl get engines --namespace {NAMESPACE}"))
        .await?;
    ensure!(engines.contains(RULESET), "the Engine isn't listed");
    let made = shell
        .run("kubectl get wasmplugins,serviceentries,destinationrules,networkpolicies --all-namespaces")
        .await?;
    for name in ["coraza-engine-web", "coraza-controller-ruleset-cache", "networkpolicy"] {
        ensure!(made.contains(name), "there is no {name}");
    }
    Ok(format!(
        "with an Engine, that attack was answered with 403 and a normal request with 200, {took:.1?} after kubectl was started to make it; the plugin came from the caches"
    ))
}

async fn token(stage: &Stage, shell: &mut Shell) -> Result<String> {
    println!("\n== What the Engine's own token reads");
    shell
        .set(
            "ENGINE_TOKEN",
            &format!(
                "kubectl get wasmplugin coraza-engine-web --namespace {NAMESPACE} --output jsonpath='{{.spec.pluginConfig.cache_token}}'"
            ),
        )
        .await?;
    let header = "--header \"Authorization: Bearer $ENGINE_TOKEN\" ";
    for port in stage.ports.caches.map(|ports| ports.service) {
        let cache = format!("http://127.0.0.1:{port}/rules/{NAMESPACE}");
        let show = "--silent --output /dev/null --write-out '%{http_code}\\n'";
        for (header, path, wanted) in [
            (header, RULESET, "200"),
            (header, "another", "403"),
            ("", RULESET, "401"),
        ] {
            let status = shell.run(&format!("curl {show} {header}{cache}/{path}")).await?;
            ensure!(
                status.trim() == wanted,
                "the answer was {}, not {wanted}",
                status.trim()
            );
        }
    }
    Ok("the Engine's token read its own RuleSet from both caches (200) and no other (403); nobody reads without one (401)".to_owned())
}

async fn turn(stage: &Stage, shell: &Shell) -> Result<String> {
    println!("\n== A rule of one's own, beside the Core Rule Set");
    ask(shell, BETA, "200").await?;
    let before = proxy(stage, shell).await?;
    apply(shell, RULE).await?;
    let add = r#"[{"op": "add", "path": "/spec/sources/-", "value": {"name": "beta"}}]"#;
    shell
        .run(&format!(
            "kubectl patch ruleset {RULESET} --namespace {NAMESPACE} --type=json --patch '{add}'"
        ))
        .await?;
    answers(shell, BETA, "403").await?;
    ask(shell, BETA, "403").await?;
    println!("\n== An edit of it turns the verdict");
    let started = Instant::now();
    let edit = format!(
        "kubectl get rulesource beta --namespace {NAMESPACE} --output json | sed s/deny,status:403/pass/ | kubectl replace --filename -"
    );
    let (edited, turned) = tokio::join!(shell.run(&edit), answers(shell, BETA, "200"));
    edited?;
    turned?;
    let took = started.elapsed().as_millis();
    println!("  the Gateway let the request through {took} ms after kubectl was started");
    ask(shell, BETA, "200").await?;
    ask(shell, INJECTION, "403").await?;
    let after = proxy(stage, shell).await?;
    ensure!(after == before, "another proxy runs: {before} became {after}");
    shell
        .run(&format!(
            "kubectl wait --for=condition=Enforced engine/web --namespace {NAMESPACE} --timeout=60s"
        ))
        .await?;
    Ok(format!(
        "an edit of a rule turned the Gateway's verdict {took} ms after kubectl was started to make it, in the same Pod and the same Envoy"
    ))
}

/// The Gateway's Pod, how often it was restarted, and the Envoy in it with its process id.
async fn proxy(stage: &Stage, shell: &Shell) -> Result<String> {
    let pod = "{.items[*].metadata.name} restarted {.items[*].status.containerStatuses[*].restartCount} times";
    let pod = shell
        .run(&format!(
            "kubectl get pods --namespace {NAMESPACE} --output jsonpath='{pod}{{\"\\n\"}}'"
        ))
        .await?;
    // Its network is the namespace of a process that does nothing else.
    let log = fs::read_to_string(stage.log(PROXY_PROCESS))?;
    let pause = log.split("/proc/").nth(1).and_then(|rest| rest.split('/').next());
    let pause = pause.context("the Gateway's proxy doesn't say where its network is")?;
    let envoy = shell
        .run(&format!("pgrep --list-name --exact envoy --ns {pause} --nslist net"))
        .await?;
    ensure!(envoy.lines().count() == 1, "not one Envoy: {envoy}");
    Ok(format!("{}, {}", pod.trim(), envoy.trim()))
}

/// Asks the Gateway, and shows that it answers with this status.
async fn ask(shell: &Shell, path: &str, status: &str) -> Result<()> {
    let answer = shell.run(&through(path)).await?;
    let answer = answer.trim();
    ensure!(answer == status, "{path} was answered with {answer}, not {status}");
    Ok(())
}

/// Waits until the Gateway answers with this status.
async fn answers(shell: &Shell, path: &str, status: &str) -> Result<()> {
    let (line, deadline) = (through(path), Instant::now() + PATIENCE);
    loop {
        // A Gateway that has nothing yet refuses connections.
        let answer = shell.quietly(&line).await;
        if answer.as_ref().is_ok_and(|answer| answer.trim() == status) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let seen = answer.unwrap_or_else(|error| format!("{error:#}"));
            bail!("waited {PATIENCE:?} for {path} to be answered with {status}; seen last: {seen}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The line that asks the Gateway for the status of its answer.
fn through(path: &str) -> String {
    format!("curl --silent --show-error --output /dev/null --write-out '%{{http_code}}\\n' 'http://{PROXY}:8080{path}'")
}

async fn apply(shell: &Shell, manifest: &str) -> Result<()> {
    shell.run(&apply_line(NAMESPACE, manifest)).await.map(drop)
}

async fn apply_quietly(shell: &Shell, namespace: &str, manifest: &str) -> Result<()> {
    shell.quietly(&apply_line(namespace, manifest)).await.map(drop)
}

fn apply_line(namespace: &str, manifest: &str) -> String {
    format!("kubectl apply --namespace {namespace} --filename - <<'EOF'\n{manifest}EOF")
}

/// A Service whose endpoints are processes of the node, each with ports of its own.
fn service(name: &str, ports: &[(&str, u16)], node: Ipv4Addr, endpoints: &[Vec<(&str, u16)>]) -> String {
    let listed = |ports: &[(&str, u16)]| {
        let ports = ports
            .iter()
            .map(|(name, port)| format!("{{ name: {name}, port: {port} }}"));
        ports.collect::<Vec<_>>().join(", ")
    };
    let mut manifest = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec: {{ ports: [{}] }}
",
        listed(ports)
    );
    for (number, ports) in endpoints.iter().enumerate() {
        manifest += &format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-{number}, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: IPv4
endpoints: [{{ addresses: [{node}] }}]
ports: [{}]
",
            listed(ports)
        );
    }
    manifest
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: web }
spec:
  gatewayClassName: istio
  listeners: [{ name: http, port: 8080, protocol: HTTP }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec:
  parentRefs: [{ name: web }]
  rules: [{ backendRefs: [{ name: web, port: 80 }] }]
";

const ENGINE: &str = "apiVersion: waf.k8s.coraza.io/v1alpha1
kind: Engine
metadata: { name: web }
spec:
  ruleSet: { name: default-ruleset }
  target: { type: Gateway, name: web, provider: Istio }
";

const RULE: &str = "apiVersion: waf.k8s.coraza.io/v1alpha1
kind: RuleSource
metadata: { name: beta }
spec:
  rules: |
    SecRule REQUEST_URI \"@beginsWith /beta\" \"id:10001,phase:1,deny,status:403,msg:'not for everybody yet'\"
";
