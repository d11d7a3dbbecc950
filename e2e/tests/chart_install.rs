//! What the API server makes of the chart, and what Helm does with it there. *Faults*: one test starts processes of its own.
//!
//! No Pod runs: there is no node. The rules for Pods are checked by asking the API server for each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use coraza_e2e::manifests::{chart, helm, is, objects, render, try_helm, values};
use coraza_e2e::{Controller, Namespace, cluster, controller, environment, until};
use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::{Value, json};

/// The API server has IPv4 only, and takes a preference for more, but no name of another family.
const ONE_STACK: &str = "--set-json=service.ipFamilies=[]";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_object_passes_strict_validation_and_restricted_admission() {
    let namespace = restricted().await;
    let monitors = ["servicemonitors", "podmonitors", "prometheusrules"].map(|plural| {
        environment()
            .prometheus_operator_crds
            .join(format!("monitoring.coreos.com_{plural}.yaml"))
    });
    cluster::apply(&[
        &environment().cert_manager_crds,
        &monitors[0],
        &monitors[1],
        &monitors[2],
    ]);
    cluster::kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]);
    for (name, file) in values() {
        let flags = ["--namespace", &namespace.name, "--set=createNamespace=false", ONE_STACK];
        let rendered = render(&file, &flags);
        let rendered = objects(&rendered);
        let accounts: Vec<Value> = rendered
            .iter()
            .filter(|object| is(object, "ServiceAccount"))
            .cloned()
            .collect();
        let pods: Vec<Value> = rendered
            .iter()
            .filter(|object| is(object, "Deployment"))
            .map(pod)
            .collect();
        assert_eq!(pods.len(), 2, "{name}");
        assert_taken(&rendered, &["--dry-run=server"], &name);
        // Those of others aren't the chart's to make, and Pods must have one that is there.
        let others = ["controller", "cache"].map(|account| service_account(account, &namespace.name));
        assert_taken(&others, &[], &name);
        assert_taken(&accounts, &[], &name);
        assert_taken(&pods, &["--dry-run=server"], &name);
    }
    // The namespace refuses what it should: else the Pods above would have passed anywhere.
    let mut privileged = pod(&objects(&render(&values()["least"], &["--namespace", &namespace.name]))
        .into_iter()
        .find(|object| is(object, "Deployment"))
        .unwrap());
    privileged["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let (taken, said) = kubectl_apply(&[privileged], &["--dry-run=server"]);
    assert!(!taken && said.contains("violates PodSecurity \"restricted"), "{said}");
}

/// A namespace of restricted Pod Security, as the chart makes it.
async fn restricted() -> Namespace {
    let namespace = Namespace::create().await;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}});
    let namespaces: Api<KubernetesNamespace> = Api::all(namespace.client.clone());
    namespaces
        .patch(&namespace.name, &PatchParams::default(), &Patch::Merge(&labels))
        .await
        .unwrap();
    namespace
}

fn service_account(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

/// The Pod that a Deployment would make. Of the classes that it may name, this API server has none.
fn pod(deployment: &Value) -> Value {
    let template = &deployment["spec"]["template"];
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = deployment["metadata"]["name"].clone();
    pod["metadata"]["namespace"] = deployment["metadata"]["namespace"].clone();
    pod["spec"].as_object_mut().unwrap().remove("runtimeClassName");
    pod
}

fn assert_taken(objects: &[Value], flags: &[&str], values: &str) {
    let (taken, said) = kubectl_apply(objects, flags);
    assert!(taken && !said.contains("Warning"), "with {values} values: {said}");
}

/// Whether the API server takes these objects, and all that is said about them.
fn kubectl_apply(objects: &[Value], flags: &[&str]) -> (bool, String) {
    let mut kubectl = Command::new(&environment().cluster.kubectl)
        .env("KUBECONFIG", &environment().cluster.kubeconfig)
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=strict",
            "--filename=-",
        ])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    kubectl
        .stdin
        .take()
        .unwrap()
        .write_all(list.to_string().as_bytes())
        .unwrap();
    let output = kubectl.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A release in a namespace of its own. Dropping it takes both away.
struct Release {
    name: String,
    client: Client,
}

impl Release {
    async fn new() -> Self {
        cluster::install().await;
        let unique = uuid::Uuid::new_v4().simple().to_string();
        Self {
            name: format!("waf-{}", unique.get(..8).unwrap()),
            client: coraza_e2e::client().await,
        }
    }

    /// What its objects' names begin with.
    fn full_name(&self) -> String {
        format!("{}-coraza-kubernetes-operator", self.name)
    }

    /// Runs a command of Helm on it, with our chart if the command wants one.
    fn helm(&self, command: &str, more: &[&str]) -> String {
        let chart = chart();
        let chart = ["install", "upgrade"].contains(&command).then_some(chart.as_path());
        self.helm_with(command, chart, more)
    }

    fn helm_with(&self, command: &str, chart: Option<&Path>, more: &[&str]) -> String {
        let chart = chart.map(|chart| chart.display().to_string());
        let mut args = vec![command, &self.name, "--namespace", &self.name];
        args.extend(chart.as_deref());
        args.extend(more);
        helm(&args)
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The replicas that a component's Deployment wants.
    async fn replicas(&self, component: &str) -> i32 {
        let deployment = self
            .api::<Deployment>()
            .get(&format!("{}-{component}", self.full_name()))
            .await
            .unwrap();
        deployment.spec.unwrap().replicas.unwrap()
    }

    /// What is in the Secrets of the CA, of the controller and of the caches.
    async fn certificates(&self) -> [BTreeMap<String, ByteString>; 3] {
        let secret = async |name: &str| {
            let name = format!("{}-{name}", self.full_name());
            let secret = self.api::<Secret>().get(&name).await.unwrap();
            secret.data.unwrap_or_default()
        };
        [
            secret("self-signed-ca").await,
            secret("controller-tls").await,
            secret("cache-tls").await,
        ]
    }

    /// The same, as soon as all have something in them.
    async fn filled(&self) -> [BTreeMap<String, ByteString>; 3] {
        until("the controller to fill the Secrets", async || {
            let found = self.certificates().await;
            let has = found.each_ref().map(|data| data.contains_key("tls.key"));
            if has == [true; 3] {
                Ok(found)
            } else {
                Err(format!("{has:?}"))
            }
        })
        .await
    }

    /// A controller with the flags about certificates that the release gives its own.
    async fn controller(&self) -> Controller {
        let name = format!("{}-controller", self.full_name());
        let deployment = self.api::<Deployment>().get(&name).await.unwrap();
        let container = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
        let flags = container.args.unwrap().into_iter();
        let flags: Vec<String> = flags.filter(|flag| flag.starts_with("--self-signed-")).collect();
        assert_eq!(flags.len(), 3, "{flags:?}");
        Controller::start(controller::Settings {
            name: "controller-of-a-release".to_owned(),
            namespace: self.name.clone(),
            identity: None,
            kubeconfig: environment().cluster.kubeconfig.clone(),
            flags: [flags, vec!["--leader-elect=false".to_owned()]].concat(),
        })
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = try_helm(&["uninstall", &self.name, "--namespace", &self.name, "--ignore-not-found"]);
        cluster::kubectl(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let release = Release::new().await;
    let namespaces: Api<KubernetesNamespace> = Api::all(release.client.clone());

    // The CRDs are there, and not Helm's.
    let notes = release.helm("install", &["--create-namespace", "--take-ownership"]);
    assert!(notes.contains("The controller makes and renews"), "{notes}");
    assert_eq!(
        (release.replicas("controller").await, release.replicas("cache").await),
        (2, 3)
    );
    let labels = namespaces.get(&release.name).await.unwrap().labels().clone();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(
        release.certificates().await,
        [const { BTreeMap::new() }; 3],
        "Helm makes no keys"
    );

    // There is no node: a controller of the test's does what the release's would.
    let controller = release.controller().await;
    let issued = release.filled().await;
    let [ca, controllers, caches] = &issued;
    assert_ne!(controllers["tls.key"], caches["tls.key"]);
    assert!(ca["ca.crt"] == controllers["ca.crt"] && ca["ca.crt"] == caches["ca.crt"]);

    release.helm("upgrade", &["--set=cache.replicas=5"]);
    assert_eq!(release.replicas("cache").await, 5);
    assert_eq!(
        release.certificates().await,
        issued,
        "an upgrade leaves certificates alone"
    );

    release.helm("rollback", &["1"]);
    assert_eq!(release.replicas("cache").await, 3);
    assert_eq!(
        release.certificates().await,
        issued,
        "a rollback leaves certificates alone"
    );

    let lost = format!("{}-cache-tls", release.full_name());
    release
        .api::<Secret>()
        .delete(&lost, &DeleteParams::default())
        .await
        .unwrap();
    until("the loss to be said", async || {
        let log = controller.process.log();
        if log.contains("it is part of the installation") {
            Ok(())
        } else {
            Err("nothing")
        }
    })
    .await;
    release.helm("upgrade", &[]);
    let [same_ca, _, renewed] = release.filled().await;
    assert_eq!(&same_ca, ca);
    assert_ne!(renewed["tls.key"], caches["tls.key"]);
    controller.process.kill();

    release.helm("uninstall", &[]);
    let name = format!("{}-cache", release.full_name());
    assert!(release.api::<Deployment>().get_opt(&name).await.unwrap().is_none());
    assert_eq!(
        release.certificates().await[0],
        same_ca,
        "a new release goes on with this CA"
    );
    release.helm("install", &[]);
    assert_eq!(release.certificates().await[0], same_ca);
    release.helm("uninstall", &[]);
    let crds: Api<CustomResourceDefinition> = Api::all(release.client.clone());
    crds.get("rulesets.waf.k8s.coraza.io")
        .await
        .expect("crds.keep keeps them, and every RuleSet");
    namespaces
        .get(&release.name)
        .await
        .expect("the namespace may have other things in it");
}

/// What a release of the Go operator's chart leaves, as far as names, selectors and ports matter.
const GO_RELEASE: &str = r#"
{{- $name := printf "%s-%s" .Release.Name .Chart.Name }}
{{- $labels := dict "app.kubernetes.io/name" .Chart.Name "app.kubernetes.io/instance" .Release.Name "control-plane" "coraza-controller-manager" | toJson }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec:
  replicas: 1
  selector: {matchLabels: {{ $labels }}}
  template:
    metadata: {labels: {{ $labels }}}
    spec:
      serviceAccountName: {{ $name }}
      containers: [{name: manager, image: example.com/go}]
---
apiVersion: v1
kind: Service
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec:
  selector: {{ $labels }}
  ports:
    - {name: http-ruleset-cache-server, port: 80, targetPort: 18080}
    - {name: metrics, port: 8443, targetPort: 8443}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ $name }}, labels: {{ $labels }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: {{ $name }}, labels: {{ $labels }}}
rules: [{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: {{ $name }}-default-deny, labels: {{ $labels }}}
spec: {podSelector: {matchLabels: {{ $labels }}}, policyTypes: [Ingress]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec: {minAvailable: 1, selector: {matchLabels: {{ $labels }}}}
"#;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_release_of_the_go_operator_is_upgraded() {
    let release = Release::new().await;
    let go_chart = tempfile::tempdir().unwrap();
    std::fs::create_dir(go_chart.path().join("templates")).unwrap();
    std::fs::write(go_chart.path().join("templates/all.yaml"), GO_RELEASE).unwrap();
    let about = "{apiVersion: v2, name: coraza-kubernetes-operator, version: 0.5.0}";
    std::fs::write(go_chart.path().join("Chart.yaml"), about).unwrap();
    release.helm_with("install", Some(go_chart.path()), &["--create-namespace"]);
    let full_name = release.full_name();
    let service = release.api::<Service>().get(&full_name).await.unwrap().spec.unwrap();

    let values = values()["go"].display().to_string();
    let notes = release.helm("upgrade", &["--take-ownership", "--values", &values]);
    assert!(
        notes.contains("have no effect: cache.gcInterval, logging.development"),
        "{notes}"
    );
    assert_eq!(
        (release.replicas("controller").await, release.replicas("cache").await),
        (2, 3)
    );
    let upgraded = release.api::<Service>().get(&full_name).await.unwrap().spec.unwrap();
    assert_eq!(
        upgraded.cluster_ip, service.cluster_ip,
        "what WasmPlugins point at stays"
    );
    let selector = upgraded.selector.unwrap();
    assert_eq!(selector.get("control-plane"), None);
    assert_eq!(selector["app.kubernetes.io/component"], "cache");
    let ports: Vec<_> = upgraded
        .ports
        .unwrap()
        .into_iter()
        .map(|port| (port.name.unwrap(), port.port))
        .collect();
    assert!(
        ports.contains(&("http-ruleset-cache-server".to_owned(), 80)),
        "{ports:?}"
    );

    assert!(release.api::<Deployment>().get_opt(&full_name).await.unwrap().is_none());
    assert!(
        release
            .api::<ServiceAccount>()
            .get_opt(&full_name)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        release
            .api::<NetworkPolicy>()
            .get_opt(&format!("{full_name}-default-deny"))
            .await
            .unwrap()
            .is_none()
    );
    let roles: Api<ClusterRole> = Api::all(release.client.clone());
    assert!(
        roles.get_opt(&full_name).await.unwrap().is_none(),
        "nobody keeps the right to any token"
    );
}
