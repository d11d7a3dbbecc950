//! The chart on real nodes, with the images that `cargo xtask images` assembles: Helm's four commands, and the main job by the names of Services.
//! *Faults*: each test has a release of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use coraza_api::RuleSet;
use coraza_e2e::nodes::container;
use coraza_e2e::{ClientPod, Load, Namespace, Release, environment, until, until_within};
use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const RULES: &str = r#"SecRuleEngine On
SecRule ARGS "@contains attack" "id:1,phase:1,deny,status:403""#;

/// What the caches' Service answers to a Pod for a RuleSet.
fn asked(pod: &ClientPod<'_>, release: &Release, ruleset: &str, token: &str) -> Result<Value, String> {
    // As Envoy's cluster has it, and as people type it.
    let host = format!("{}.{}.svc.cluster.local:80", release.full_name(), release.namespace);
    let header = format!("authorization: Bearer {token}");
    let (status, body) = pod.get(&host, &format!("/rules/{ruleset}"), Some(&header))?;
    if status != 200 {
        return Err(format!("{status} {body}"));
    }
    serde_json::from_str(&body).map_err(|error| error.to_string())
}

/// A RuleSet of a namespace that is Ready: its revision, and a token that may read it.
async fn ruleset(namespace: &Namespace) -> (String, String) {
    namespace.source("rules", RULES).await;
    namespace.ruleset("shop", &["rules"], &[]).await;
    let uuid = namespace.ready("shop").await.uuid;
    (uuid, namespace.token("shop").await)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn helm_installs_what_works_upgrades_rolls_back_and_uninstalls() {
    let release = Release::install(&[]).await;
    let version = env!("CARGO_PKG_VERSION");
    let pods = [
        release.settled("controller", 2).await,
        release.settled("cache", 3).await,
    ]
    .concat();
    let nodes: BTreeSet<_> = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref())
        .collect();
    assert_eq!(nodes, BTreeSet::from(["n1", "n2"]), "they are spread");
    for pod in &pods {
        let container = container(pod);
        assert_eq!(container.restart_count, 0, "{}: {container:?}", pod.name_any());
        assert!(
            container
                .image
                .ends_with(&format!("coraza-{}:{version}", container.name)),
            "{container:?}"
        );
    }

    // The namespace takes nothing else than restricted Pods.
    let namespaces: Api<KubernetesNamespace> = Api::all(release.client.clone());
    let labels = namespaces.get(&release.namespace).await.unwrap().labels().clone();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let privileged = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "root" },
        "spec": { "containers": [{ "name": "root", "image": "localhost/pod:1", "securityContext": { "privileged": true } }] },
    });
    let privileged: Pod = serde_json::from_value(privileged).unwrap();
    let refused = release
        .api::<Pod>()
        .create(&kube::api::PostParams::default(), &privileged)
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("violates PodSecurity \"restricted")
    );

    // From rules to who asks for them by the Service's name.
    let namespace = Namespace::create().await;
    let (uuid, token) = ruleset(&namespace).await;
    let name = format!("{}/shop", namespace.name);
    let pod = ClientPod::start(&namespace, "gateway", json!({})).await;
    let rules = asked(&pod, &release, &name, &token).unwrap();
    assert_eq!(rules["uuid"], uuid);
    assert!(rules["rules"].as_str().unwrap().contains("@contains attack"));
    let nobody = asked(&pod, &release, &name, "none").unwrap_err();
    assert!(nobody.starts_with("401"), "{nobody}");
    // The plugin is the one in the image.
    let digest = format!("{:x}", Sha256::digest(std::fs::read(&environment().plugin).unwrap()));
    let host = format!("{}.{}:18081", release.full_name(), release.namespace);
    let (status, _) = pod.get(&host, &format!("/plugins/coraza-{digest}.wasm"), None).unwrap();
    assert_eq!(status, 200);

    // Another image, and back.
    let running = async |tag: &str| {
        let pods = [
            release.settled("controller", 2).await,
            release.settled("cache", 3).await,
        ]
        .concat();
        for pod in pods {
            let image = pod.spec.unwrap().containers[0].image.clone().unwrap();
            assert!(image.ends_with(&format!(":{tag}")), "{image}");
        }
    };
    release.helm("upgrade", &["--wait", "--set=image.tag=next"]);
    running("next").await;
    assert_eq!(asked(&pod, &release, &name, &token).unwrap()["uuid"], uuid);
    release.helm("rollback", &["--wait", "1"]);
    running(version).await;
    assert_eq!(asked(&pod, &release, &name, &token).unwrap()["uuid"], uuid);

    release.helm("uninstall", &["--wait"]);
    release.settled("cache", 0).await;
    let crds: Api<CustomResourceDefinition> = Api::all(release.client.clone());
    crds.get("rulesets.waf.k8s.coraza.io").await.expect("they are kept");
    let kept = namespace.api::<RuleSet>().get("shop").await.expect("and every RuleSet");
    assert_eq!(kept.status.unwrap().revision.unwrap().uuid, uuid);
}

/// Lives of certificates in which leaves are renewed each minute, and the CA after three. Processes have what a Secret holds within 15 s: kubelets look
/// each 5 to 7.5 s here, and processes each 5.
const SHORT_LIVES: [&str; 4] = [
    "--set=certificates.selfSigned.caLifetime=270s",
    "--set=certificates.selfSigned.certificateLifetime=90s",
    "--set=certificates.selfSigned.propagationDelay=15s",
    // For this test to read them.
    "--set=metrics.secure=false",
];
/// Until everybody shows a certificate by the CA's successor: it signs when the CA is 195 s old.
const SUCCESSION: Duration = Duration::from_secs(270);
/// Until when the certificate is good that a process shows the other end of a stream.
const SHOWN_UNTIL: &str = r#"coraza_certificate_expiry_timestamp_seconds{file="tls.crt",listener="grpc"}"#;
/// Until when the CA is good that it trusts longest.
const TRUSTED_UNTIL: &str = r#"coraza_certificate_expiry_timestamp_seconds{file="ca.crt",listener="grpc"}"#;

/// Edits the rules and waits until every Ready cache serves what became of them.
async fn edit(release: &Release, namespace: &Namespace, (uuid, token): (&str, &str), word: &str) -> String {
    namespace.source("rules", &RULES.replace("attack", word)).await;
    let edited = namespace.revised("shop", uuid).await.uuid;
    release
        .served(&format!("{}/shop", namespace.name), token, &edited)
        .await;
    edited
}

/// Nobody has refused anything, and each cache has a stream from the controller.
async fn connected(release: &Release) {
    until("both caches to be connected", async || {
        let connected = release.samples(&["cache"], "coraza_cache_connected").await?;
        connected
            .values()
            .eq(&[1, 1])
            .then_some(())
            .ok_or(format!("{connected:?}"))
    })
    .await;
    let nacks = release.samples(&["cache"], "coraza_cache_updates_nacked_total").await;
    assert!(nacks.as_ref().unwrap().values().eq(&[0, 0]), "{nacks:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn scaling_rolling_and_new_certificates_cost_nobody_a_poll() {
    let release = Release::install(&SHORT_LIVES).await;
    let namespace = Namespace::create().await;
    let (uuid, token) = ruleset(&namespace).await;
    let name = format!("{}/shop", namespace.name);
    release.served(&name, &token, &uuid).await;
    let first_ca = release.samples(&["controller", "cache"], TRUSTED_UNTIL).await.unwrap();
    let first_ca = *first_ca.values().max().unwrap();
    let first = release.certificates().await;
    let load = Load::start(release.rules().await, &name, &token);
    for replicas in [5, 2] {
        let replicas_flag = format!("--set=cache.replicas={replicas}");
        release.helm("upgrade", &["--wait", "--reuse-values", &replicas_flag]);
        release.settled("cache", replicas).await;
    }

    // No certificate outlives its CA: one that is good for longer than the first CA is by its successor.
    let streams = release.samples(&["cache"], "coraza_cache_subscriptions_total").await;
    until_within(
        SUCCESSION,
        "everybody to show a certificate by another CA",
        async || {
            let shown = release.samples(&["controller", "cache"], SHOWN_UNTIL).await?;
            let by_another = shown.values().filter(|&&until| until > first_ca).count();
            (by_another == 4)
                .then_some(())
                .ok_or(format!("{shown:?}, and the first CA's end is {first_ca}"))
        },
    )
    .await;
    for (before, after) in first.iter().zip(&release.certificates().await) {
        assert_ne!(before["tls.crt"], after["tls.crt"]);
    }
    assert_eq!(namespace.ready("shop").await.uuid, uuid, "nothing was reloaded");
    let uuid = edit(&release, &namespace, (&uuid, &token), "assault").await;
    connected(&release).await;
    assert_eq!(
        release.samples(&["cache"], "coraza_cache_subscriptions_total").await,
        streams,
        "the edit came by the streams that were there"
    );

    // Who connects from now on shows a certificate by the successor, and trusts it.
    release.restart("cache").await;
    release.restart("controller").await;
    release.served(&name, &token, &uuid).await;
    assert_eq!(namespace.ready("shop").await.uuid, uuid, "nothing was reloaded");
    edit(&release, &namespace, (&uuid, &token), "onslaught").await;
    connected(&release).await;
    let tally = load.stop().await;
    assert!(
        tally.failed.is_empty(),
        "of {} polls failed: {:#?}",
        tally.answered,
        tally.failed
    );
    assert!(tally.answered > 1000, "{} polls", tally.answered);
}
