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
use std::process::{Command, Stdio};

use coraza_e2e::manifests::{is, objects, render, values};
use coraza_e2e::{Namespace, Release, cluster, environment, until};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
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

/// What is in the Secrets of the CA, of the controller and of the caches, as soon as all have something in them.
async fn filled(release: &Release) -> [BTreeMap<String, ByteString>; 3] {
    until("the controller to fill the Secrets", async || {
        let found = release.certificates().await;
        let has = found.each_ref().map(|data| data.contains_key("tls.key"));
        if has == [true; 3] {
            Ok(found)
        } else {
            Err(format!("{has:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    cluster::install().await;
    let release = Release::new().await;
    let namespaces: Api<KubernetesNamespace> = Api::all(release.client.clone());

    // The CRDs are there, and not Helm's.
    let notes = release.helm("install", &["--create-namespace", "--take-ownership"]);
    assert!(notes.contains("The controller makes and renews"), "{notes}");
    assert_eq!(
        (release.replicas("controller").await, release.replicas("cache").await),
        (2, 3)
    );
    let labels = namespaces.get(&release.namespace).await.unwrap().labels().clone();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(
        release.certificates().await,
        [const { BTreeMap::new() }; 3],
        "Helm makes no keys"
    );

    // There is no node: a controller of the test's does what the release's would.
    let controller = release.controller(None).await;
    let issued = filled(&release).await;
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
    let [same_ca, _, renewed] = filled(&release).await;
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
        .get(&release.namespace)
        .await
        .expect("the namespace may have other things in it");
}
