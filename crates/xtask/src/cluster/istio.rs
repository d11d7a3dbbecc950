//! istiod as a plain process beside the API server, with what it needs in the cluster: the CRDs, its Service, its template for Gateways, and its validation.
//!
//! It has the administrator's rights: what Istio's own charts give it isn't what is tested here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::kubectl::Kubectl;
use super::network::NODE;
use crate::program::{Program, Running};
use crate::tools;
use crate::tools::istio::IstioTools;

/// The one node's name.
pub(super) const NODE_NAME: &str = "node-0";

/// istiod's namespace.
const NAMESPACE: &str = "istio-system";

/// Where it says what it has sent to which proxy, on loopback.
pub(super) const DEBUG_PORT: u16 = 15014;

/// Where it says that it is ready.
const READY_PORT: u16 = 18_080;

/// How long a debounce waits for more changes before it pushes: as long as Istio's default. Measured times have it in them.
const DEBOUNCE: &str = "100ms";

/// A line for each request, with what the plugin says of those that it blocked.
const ACCESS_LOG: &str = "ACCESS %REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% request=%REQ(X-REQUEST-ID)% \
rule=%FILTER_STATE(wasm.io.coraza.waf.rule_id:PLAIN)% phase=%FILTER_STATE(wasm.io.coraza.waf.phase:PLAIN)% \
category=%FILTER_STATE(wasm.io.coraza.waf.category:PLAIN)% action=%FILTER_STATE(wasm.io.coraza.waf.action:PLAIN)% \
status=%FILTER_STATE(wasm.io.coraza.waf.status:PLAIN)%\n";

/// What the plugin tells access logs of a block.
const FILTER_STATE: [&str; 8] = [
    "event",
    "rule_id",
    "phase",
    "action",
    "status",
    "severity",
    "category",
    "client_ip",
];

/// How often it is asked whether it is ready: that takes it 1 to 3 s.
const POLL: Duration = Duration::from_millis(50);

/// Installs what istiod needs.
pub(super) async fn install(kubectl: &Kubectl) -> Result<()> {
    for crds in [tools::istio::gateway_api_crds().await?, tools::istio::crds().await?] {
        let filename = format!("--filename={}", crds.display());
        kubectl.stdout(&["apply", "--server-side", &filename]).await?;
    }
    let established = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
    kubectl.stdout(&established).await?;
    let chart = tools::istio::module()
        .await?
        .join("manifests/charts/istio-control/istio-discovery");
    kubectl.apply(&objects(&chart)?).await?;
    let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is made up" });
    let address = json!({ "type": "InternalIP", "address": NODE });
    kubectl
        .patch_status(
            &["node", NODE_NAME],
            &json!({ "addresses": [address], "conditions": [ready] }),
        )
        .await
}

/// Starts istiod in a folder of its own, and waits until it is ready.
pub(super) async fn start(tools: &IstioTools, dir: &Path, kubeconfig: &Path, log: &Path) -> Result<Running> {
    let config = dir.join("etc/istio/config");
    fs::create_dir_all(&config).with_context(|| format!("failed to create {}", config.display()))?;
    fs::write(config.join("mesh"), format!("{:#}\n", mesh()))?;
    let mut istiod = environment(Program::new(&tools.istiod), dir)
        .dir(dir)
        .arg("discovery")
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--monitoringAddr=127.0.0.1:{DEBUG_PORT}"))
        .arg(format!("--httpAddr=127.0.0.1:{READY_PORT}"))
        .args([
            "--httpsAddr=0.0.0.0:15017",
            "--grpcAddr=127.0.0.1:15010",
            "--secureGRPCAddr=0.0.0.0:15012",
        ])
        .args(["--ctrlz_port=0", "--domain=cluster.local"])
        .start_logged(log)?;
    while !answers(READY_PORT, "/ready").await {
        if let Some(status) = istiod.ended() {
            bail!("istiod ended: {status}");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(istiod)
}

/// The variables that its Deployment gives it, and those that make it send only what a plain Envoy knows: `istio.alpn`, `istio.metadata_exchange` and
/// `istio.stats` are filters of Istio's own build.
fn environment(istiod: Program, home: &Path) -> Program {
    [
        ("POD_NAME", "istiod-0"),
        ("POD_NAMESPACE", NAMESPACE),
        ("SERVICE_ACCOUNT", "istiod"),
        ("CLUSTER_ID", "Kubernetes"),
        ("REVISION", "default"),
        ("PILOT_CERT_PROVIDER", "istiod"),
        ("CLOUD_PLATFORM", "none"),
        ("PILOT_ENABLE_ANALYSIS", "false"),
        ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
        ("PILOT_ENABLE_ALPN_FILTER", "false"),
        ("PILOT_ENABLE_TELEMETRY_LABEL", "false"),
        ("PILOT_ENDPOINT_TELEMETRY_LABEL", "false"),
        ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
        ("VALIDATION_WEBHOOK_CONFIG_NAME", "istio-validator"),
        ("PILOT_DEBOUNCE_AFTER", DEBOUNCE),
    ]
    .into_iter()
    .fold(istiod.clean(home), |istiod, (name, value)| istiod.env(name, value))
}

/// The mesh's configuration. Without default providers and Prometheus' merge, again for the sake of a plain Envoy.
fn mesh() -> Value {
    json!({
        "accessLogFile": "/dev/stdout",
        "accessLogFormat": ACCESS_LOG,
        "enableTracing": false,
        "enablePrometheusMerge": false,
        "defaultProviders": {},
        "extensionProviders": [log_collector()],
        "trustDomain": "cluster.local",
        "defaultConfig": { "discoveryAddress": "istiod.istio-system.svc:15012", "tracing": {} },
    })
}

/// Who takes the access logs of gateways whose Engines ask for it: as `docs/monitoring.md` has it, under the name that the controller's Telemetries use. A test
/// makes the Service; nobody else selects the provider.
fn log_collector() -> Value {
    let mut labels: serde_json::Map<String, Value> = FILTER_STATE
        .iter()
        .map(|key| {
            let operator = format!("%FILTER_STATE(wasm.io.coraza.waf.{key}:PLAIN)%");
            (format!("coraza.{key}"), operator.into())
        })
        .collect();
    labels.extend([
        ("path".to_owned(), "%REQ(:PATH)%".into()),
        ("request_id".to_owned(), "%REQ(X-REQUEST-ID)%".into()),
        ("response_code".to_owned(), "%RESPONSE_CODE%".into()),
    ]);
    json!({
        "name": "waf-log-collector",
        "envoyOtelAls": {
            "service": "access-logs.observability.svc.cluster.local",
            "port": 4317,
            "logFormat": { "text": "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%", "labels": labels },
        },
    })
}

/// What the chart of istiod has, as far as Gateways need it.
fn objects(chart: &Path) -> Result<[Value; 7]> {
    let name = |name: &str| json!({ "name": name, "namespace": NAMESPACE });
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "TCP" });
    let webhook_port = json!({ "name": "https-webhook", "port": 443, "targetPort": 15017, "protocol": "TCP" });
    let ports = json!([port("https-dns", 15012), webhook_port]);
    Ok([
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE_NAME, "labels": { "kubernetes.io/hostname": NODE_NAME } } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": name("istiod") }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": name("istiod"), "spec": { "ports": ports } }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": "istiod", "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": "istiod" } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [NODE] }],
            "ports": [port("https-dns", 15012), port("https-webhook", 15017)],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": name("istio-sidecar-injector"),
            "data": { "values": values(chart)?.to_string(), "config": templates(chart)?.to_string() },
        }),
        validation(),
    ])
}

/// The template that istiod makes a Gateway's Deployment, Service and ServiceAccount from.
fn templates(chart: &Path) -> Result<Value> {
    let gateway = read(&chart.join("files/kube-gateway.yaml"))?;
    Ok(json!({ "policy": "disabled", "templates": { "kube-gateway": gateway } }))
}

/// The chart's default values, as far as templates may use them.
fn values(chart: &Path) -> Result<Value> {
    let path = chart.join("values.yaml");
    let all: Value =
        serde_saphyr::from_str(&read(&path)?).with_context(|| format!("failed to read {}", path.display()))?;
    let value = |name: &str| all.pointer(&format!("/_internal_defaults_do_not_set/{name}")).cloned();
    let all = ["global", "sidecarInjectorWebhook", "revision", "gateways"].map(|name| (name.to_owned(), value(name)));
    let mut values: serde_json::Map<_, _> = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    values.insert("pilot".to_owned(), json!({ "cni": value("cni"), "env": {} }));
    Ok(values.into())
}

/// istiod's say in what is written. Its label makes istiod add its authority, and refuse what it can't ask about.
fn validation() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "istio-validator", "labels": { "istio.io/rev": "default" } },
        "webhooks": [{
            "name": "rev.validation.istio.io",
            "clientConfig": { "service": { "name": "istiod", "namespace": NAMESPACE, "path": "/validate" } },
            "rules": [{
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"],
                "apiVersions": ["*"],
                "resources": ["*"],
            }],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Whether a server on our loopback answers a path well.
async fn answers(port: u16, path: &str) -> bool {
    let url = format!("http://127.0.0.1:{port}{path}");
    let curl = ["--silent", "--fail", "--max-time", "2"];
    Program::new("curl").args(curl).arg(url).stdout().await.is_ok()
}
