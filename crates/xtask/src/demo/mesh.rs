//! What the demo shows of an Engine, where there is a mesh: a Gateway of Istio's with a real Envoy, what the controller writes for it, what Envoy makes of that,
//! and what the Engine's token reads.
//!
//! The filter in Envoy is a small one that shows the configuration that it was given. It doesn't poll, so nothing is enforced, and the Engine says so.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::script::RULESET;
use super::shell::Shell;
use super::stage::{NAMESPACE, Stage};
use crate::cluster::this_program;
use crate::workspace;

/// The Gateway's proxy.
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 10);

/// Of the web server behind it, which the filter is fetched from too.
const ORIGIN_PORT: u16 = 8000;

/// The filter's file.
const FILTER: &str = "echo.wasm";

/// The caches' Service.
const CACHES: &str = "coraza-cache";

/// How long anything may take: all of it takes seconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the Gateway is asked: the resolution of what is measured.
const POLL: Duration = Duration::from_millis(20);

/// What the controller has to be told of a mesh.
pub(super) fn controller_flags(node: Ipv4Addr) -> [String; 3] {
    [
        format!("--default-wasm-image=http://{node}:{ORIGIN_PORT}/{FILTER}"),
        format!("--cache-service={CACHES}"),
        "--operator-name=coraza-controller".to_owned(),
    ]
}

/// Puts an Engine in front of a Gateway, and gives what was shown.
pub(super) async fn attach(stage: &Stage, shell: &mut Shell, node: Ipv4Addr) -> Result<Vec<String>> {
    let gateway = gateway(stage, shell, node).await?;
    let arrived = engine(shell).await?;
    let reach = token(stage, shell).await?;
    Ok(vec![gateway, arrived, reach])
}

async fn gateway(stage: &Stage, shell: &Shell, node: Ipv4Addr) -> Result<String> {
    println!("\n== A Gateway, which istiod makes a Deployment of, and a web server behind it");
    let files = stage.cluster_dir()?.join("web");
    fs::create_dir_all(&files)?;
    fs::write(files.join("index.html"), "hello\n")?;
    fs::write(
        files.join(FILTER),
        wat::parse_file(workspace::root().join("e2e/wasm/echo.wat"))?,
    )?;
    let server = stage
        .actor("python3")
        .args(["-m", "http.server", "--bind"])
        .arg(node.to_string());
    let server = server.arg(ORIGIN_PORT.to_string()).arg("--directory").arg(&files);
    stage.start("web-server", server)?;
    // There are no Pods behind these: they are processes of the node.
    let caches = stage.ports.caches.map(|ports| (node, ports.service));
    apply_quietly(shell, "coraza-system", &service(CACHES, &caches)).await?;
    apply_quietly(shell, NAMESPACE, &service("web", &[(node, ORIGIN_PORT)])).await?;
    shell
        .run(&format!(
            "kubectl apply --namespace {NAMESPACE} --filename - <<'EOF'\n{GATEWAY}EOF"
        ))
        .await?;
    let proxy = stage
        .actor(this_program())
        .args(["cluster", "gateway", "web", "--namespace", NAMESPACE]);
    let proxy = proxy
        .arg(format!("--address={PROXY}"))
        .arg("--dir")
        .arg(stage.cluster_dir()?);
    stage.start("gateway-proxy", proxy)?;
    shell
        .run(&format!(
            "kubectl wait --for=condition=Programmed gateway/web --namespace {NAMESPACE} --timeout=60s"
        ))
        .await?;
    until(shell, &format!("{} | tail -1", through("")), |answer| {
        answer.trim() == "hello"
    })
    .await?;
    shell.run(&through("")).await?;
    let pods = shell
        .run(&format!("kubectl get pods --namespace {NAMESPACE} --output wide"))
        .await?;
    ensure!(pods.contains("web-istio-"), "istiod made no Pod");
    Ok("a real istiod made a Gateway's Deployment, and a real Envoy answered for it".to_owned())
}

async fn engine(shell: &Shell) -> Result<String> {
    println!("\n== An Engine in front of it");
    let started = Instant::now();
    shell
        .run(&format!(
            "kubectl apply --namespace {NAMESPACE} --filename - <<'EOF'\n{ENGINE}EOF"
        ))
        .await?;
    let shown = format!(
        "{} | grep --ignore-case x-plugin-configuration | sed 's/\"cache_token\":\"[^\"]*\"/\"cache_token\":\"…\"/'",
        through(" --head")
    );
    until(shell, &shown, |answer| answer.contains("cache_server_instance")).await?;
    let took = started.elapsed();
    let configuration = shell.run(&shown).await?;
    ensure!(
        configuration.contains(&format!("{NAMESPACE}/{RULESET}")),
        "Envoy's filter is configured for another RuleSet"
    );
    shell
        .run(&format!(
            "kubectl wait --for=condition=Ready engine/web --namespace {NAMESPACE} --timeout=30s"
        ))
        .await?;
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
        "an Engine's filter ran in Envoy, configured as its WasmPlugin says, {took:.1?} after kubectl was started to make the Engine"
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

/// The line that asks the Gateway.
fn through(more: &str) -> String {
    format!("curl --silent --show-error --include{more} http://{PROXY}:8080/")
}

/// Runs a line until its answer is good.
async fn until(shell: &Shell, line: &str, good: impl Fn(&str) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A Gateway that has nothing yet refuses connections.
        let answer = shell.quietly(line).await;
        if answer.as_ref().is_ok_and(|answer| good(answer)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return answer
                .map(drop)
                .with_context(|| format!("waited {PATIENCE:?} for `{line}`"));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn apply_quietly(shell: &Shell, namespace: &str, manifest: &str) -> Result<()> {
    let line = format!("kubectl apply --namespace {namespace} --filename - <<'EOF'\n{manifest}EOF");
    shell.quietly(&line).await.map(drop)
}

/// A Service whose endpoints are processes of the node.
fn service(name: &str, endpoints: &[(Ipv4Addr, u16)]) -> String {
    let mut manifest = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec: {{ ports: [{{ name: http, port: 80 }}] }}
"
    );
    for (number, (address, port)) in endpoints.iter().enumerate() {
        manifest += &format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-{number}, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: IPv4
endpoints: [{{ addresses: [{address}] }}]
ports: [{{ name: http, port: {port} }}]
"
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
