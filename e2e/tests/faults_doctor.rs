//! `kubectl coraza status` and `doctor`, and what the issue calls bad input: each fault is said in a condition, by `doctor` and in the log once,
//! and nothing that worked stops. *Faults*: each test has a fleet of its own, and some take kinds away.
//!
//! The operator's processes aren't Pods here; its Deployments are there as the chart makes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_api::{Engine, RuleSet};
use coraza_e2e::certificates::{self, Identity};
use coraza_e2e::cluster::{self, install_mesh, kubectl};
use coraza_e2e::environment::checkout;
use coraza_e2e::fleet::QUICK_LEASE;
use coraza_e2e::kubectl_coraza::{self, Answer};
use coraza_e2e::manifests::{is, objects, render, values};
use coraza_e2e::object::GATEWAY;
use coraza_e2e::{Cache, Fleet, Namespace, Process, Size, environment, http, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const IMAGE: &str = "--default-wasm-image=oci://registry.example/plugin:1";

async fn world(size: Size) -> (Fleet, Namespace) {
    // First the fleet, which no other test has while this one does.
    let fleet = Fleet::start(size.controller_flags(&[IMAGE])).await;
    install_mesh().await;
    let namespace = Namespace::create().await;
    let listener = json!({"name": "http", "port": 8080, "protocol": "HTTP"});
    let gateway = json!({"gatewayClassName": "istio", "listeners": [listener]});
    GATEWAY
        .apply(&namespace.client, &namespace.name, "public", gateway)
        .await;
    (fleet, namespace)
}

async fn engine(namespace: &Namespace, name: &str, gateway: &str) {
    let spec = json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": gateway}});
    namespace.apply::<Engine>(name, spec).await;
}

/// How often a process has logged this.
fn logged(process: &Process, text: &str) -> usize {
    process.log().matches(text).count()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn status_shows_waits_and_says_plainly_what_it_may_not_know() {
    let (fleet, namespace) = world(Size::of(1, 2)).await;
    let ns = ["--namespace", &namespace.name];
    let coraza = |args: &[&str]| kubectl_coraza::run(&[args, &ns].concat());

    let nobody = coraza(&["status", "nobody"]);
    assert_eq!((nobody.code, nobody.err.contains("not found")), (1, true), "{nobody:?}");
    let nothing = coraza(&["status", "--wait-for", "ready", "--timeout", "5s"]);
    assert_eq!(
        (nothing.code, nothing.err.contains("there is no Engine")),
        (1, true),
        "{nothing:?}"
    );

    // It waits for what isn't so yet, and says for what.
    namespace.ruleset("crs", &["rules"], &[]).await;
    let degraded = ("Degraded", "True", "RuleSourceNotFound");
    namespace.condition::<RuleSet>("crs", degraded).await;
    let late = coraza(&["status", "crs", "--wait-for", "ready", "--timeout", "5s"]);
    assert_eq!(late.code, 1, "{late:?}");
    assert!(
        late.err.contains("timed out after 5s: RuleSet") && late.err.contains("(RuleSourceNotFound)"),
        "{late:?}"
    );
    let waiting = kubectl_coraza::start(
        &[
            &["status", "crs", "--wait-for", "ready", "--timeout", "60s", "-o", "json"],
            &ns[..],
        ]
        .concat(),
    );
    namespace
        .source(
            "rules",
            "SecRuleEngine On\nSecRule ARGS \"@contains evil\" \"id:1,phase:2,deny\"",
        )
        .await;
    let ready = waiting.await.unwrap();
    let revision = namespace.ready("crs").await;
    assert_eq!(
        (ready.code, &ready.json()["ruleSets"][0]["revision"]["uuid"]),
        (0, &json!(revision.uuid)),
        "{ready:?}"
    );
    let exactly = coraza(&[
        "status",
        "ruleset/crs",
        "--wait-for",
        "ready",
        "--revision",
        &revision.uuid,
    ]);
    assert_eq!(exactly.code, 0, "{exactly:?}");

    // An Engine, its RuleSet, and why the caches aren't known: no Pod has the leader's name.
    engine(&namespace, "waf", "public").await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "Unknown", "NoGatewayPods"))
        .await;
    let shown = coraza(&["status", "waf", "-o", "json", "--operator-namespace", &fleet.namespace]);
    let shown = shown.json();
    assert_eq!(shown["engines"][0]["ready"]["status"], "True", "{shown}");
    assert_eq!(shown["engines"][0]["enforced"]["reason"], "NoGatewayPods", "{shown}");
    assert_eq!(shown["ruleSets"][0]["engines"], json!(["waf"]));
    let why = shown["caches"]["why"].as_str().unwrap();
    assert!(
        why.contains(&format!(
            "failed to read /debug/caches of Pod {}/controller-0",
            fleet.namespace
        )),
        "{why}"
    );
    let text = kubectl_coraza::run(&["status", "--all-namespaces"]);
    assert_eq!(text.code, 0);
    for word in ["NAMESPACE", &namespace.name, "ENFORCED", "not known"] {
        assert!(text.out.contains(word), "{word}: {}", text.out);
    }
    assert!(!text.out.contains('\u{1b}'), "colours are for terminals");

    let stranger = kubectl_coraza::run_as(
        &environment().cluster.cache_kubeconfig,
        &[&["status"], &ns[..]].concat(),
    );
    assert_eq!(
        (stranger.code, stranger.err.contains("forbidden")),
        (2, true),
        "{stranger:?}"
    );
}

/// What the chart makes, as far as no Pod and no rights come of it.
async fn chart(fleet: &Fleet) {
    let namespace = &fleet.namespace;
    let rendered = render(
        &values()["default"],
        &["--namespace", namespace, "--set=createNamespace=false"],
    );
    for object in objects(&rendered) {
        if is(&object, "Deployment") || is(&object, "Service") {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), object.to_string()).unwrap();
            cluster::apply(&[file.path()]);
        }
    }
}

/// Puts certificates into the Secret that a component's Deployment mounts.
async fn secret(fleet: &Fleet, component: &str, identity: &Identity) {
    let client = coraza_e2e::client().await;
    let deployments: Api<Deployment> = Api::namespaced(client, &fleet.namespace);
    let name = format!("coraza-coraza-kubernetes-operator-{component}");
    let pod = deployments
        .get(&name)
        .await
        .unwrap()
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    let container = &pod.containers[0];
    let directory = container
        .args
        .iter()
        .flatten()
        .find_map(|arg| arg.strip_prefix("--tls-dir="))
        .unwrap();
    let mount = container
        .volume_mounts
        .iter()
        .flatten()
        .find(|mount| mount.mount_path == directory)
        .unwrap();
    let volume = pod
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == mount.name)
        .unwrap();
    fill(fleet, &volume.secret.clone().unwrap().secret_name.unwrap(), identity).await;
}

/// Puts certificates into a Secret.
async fn fill(fleet: &Fleet, name: &str, identity: &Identity) {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"tls.crt": identity.certificate, "tls.key": identity.key, "ca.crt": identity.authority},
    });
    let secrets: Api<Secret> = Api::namespaced(coraza_e2e::client().await, &fleet.namespace);
    let parameters = PatchParams::apply("e2e").force();
    secrets.patch(name, &parameters, &Patch::Apply(secret)).await.unwrap();
}

fn doctor(fleet: &Fleet, namespace: &Namespace) -> Answer {
    kubectl_coraza::run(&[
        "doctor",
        "-o",
        "json",
        "--operator-namespace",
        &fleet.namespace,
        "--namespace",
        &namespace.name,
    ])
}

/// All that it found, a line each.
fn found(answer: &Answer) -> String {
    let report: Value = answer.json();
    let mut lines = String::new();
    for check in report["checks"].as_array().unwrap() {
        for finding in check["findings"].as_array().unwrap() {
            let text = |field: &str| finding[field].as_str().unwrap().to_owned();
            assert!(!text("fix").is_empty() && !text("evidence").is_empty(), "{finding}");
            let line = [
                text("severity"),
                check["check"].as_str().unwrap().to_owned(),
                text("what"),
                text("evidence"),
            ]
            .join(" | ");
            lines.push_str(&format!("{line}\n"));
        }
    }
    lines
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn doctor_finds_each_fault_of_a_broken_cluster_and_nothing_that_worked_stops() {
    let (fleet, namespace) = world(Size::of(1, 1).controller_flags(&QUICK_LEASE)).await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let revision = namespace.ready("crs").await;
    engine(&namespace, "waf", "public").await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    let token = namespace.token("crs").await;
    let serves = async |when: &str| {
        let latest = fleet.caches[0].latest(&namespace.name, "crs", &token).await;
        assert_eq!(latest.map(|latest| latest.uuid), Ok(revision.uuid.clone()), "{when}");
    };

    // An Engine without its Gateway; Deployments without Pods, whose ServiceAccounts have no rights; a certificate that has expired, and none.
    engine(&namespace, "lost", "nowhere").await;
    namespace
        .condition::<Engine>("lost", ("Accepted", "False", "TargetNotFound"))
        .await;
    chart(&fleet).await;
    secret(
        &fleet,
        "controller",
        &fleet.authority.issue_expired(certificates::CONTROLLER),
    )
    .await;
    let answer = doctor(&fleet, &namespace);
    let said = found(&answer);
    assert_eq!(answer.code, 1, "{said}");
    for expected in [
        "problem | Istio | there is no Istio",
        "problem | Deployments | no controller is ready",
        "problem | Deployments | no cache is ready",
        "problem | Rights of the operator | ServiceAccount",
        "it may not create tokenreviews.authentication.k8s.io in all namespaces",
        "problem | Certificates | the certificate of the controller has expired",
        "was good until 2021-01-01T00:00:00Z",
        "problem | Certificates | the Secret with the certificate of the cache does not exist",
        "problem | Caches' Service | no cache is ready",
        "unchecked | Caches and controller |",
        "problem | Certificate authority | the Secret of the controller's own CA does not exist",
        &format!(
            "problem | Engines | the Gateway of Engine {}/lost does not exist",
            namespace.name
        ),
        "the Gateways of namespace",
        // The chart calls the caches' Service by the release's name; this controller was told of none.
        &format!(
            "problem | WasmPlugins | the WasmPlugin of Engine {}/waf does not point at the caches: its gateway gets no rules",
            namespace.name
        ),
        &format!(
            "is \"outbound|80||coraza-cache.{0}.svc.cluster.local\"; the caches' Service is {0}/coraza-coraza-kubernetes-operator, port 80",
            fleet.namespace
        ),
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    for good in ["Kubernetes |", "| CRDs |", "Leader |", "RuleSets |", "Go operator |"] {
        assert!(!said.contains(good), "{good}\n{said}");
    }
    serves("with a broken cluster").await;

    // A secret with another name; and a CA that signed none of them.
    secret(&fleet, "cache", &fleet.authority.issue("example.com")).await;
    let said = found(&doctor(&fleet, &namespace));
    assert!(
        said.contains("the certificate of the cache is not one that its peers accept"),
        "{said}"
    );
    assert!(said.contains("its names are example.com"), "{said}");
    secret(&fleet, "cache", &fleet.authority.issue(certificates::CACHE)).await;
    fill(
        &fleet,
        "coraza-coraza-kubernetes-operator-self-signed-ca",
        &certificates::Authority::new().itself(),
    )
    .await;
    let said = found(&doctor(&fleet, &namespace));
    for expected in [
        "problem | Certificate authority | the certificate of the cache is not by the controller's own CA",
        "tls.crt is not good for coraza-cache by ca.crt",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }

    // Nobody leads.
    fleet.controllers[0].process.kill();
    until("doctor to miss a leader", async || {
        let said = found(&doctor(&fleet, &namespace));
        if said.contains("problem | Leader | no controller leads") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    serves("without a controller").await;

    // A kind that is older than the tool, and one of others' that is gone.
    let ruledata = "ruledata.waf.k8s.coraza.io";
    let without_status = r#"[{"op": "remove", "path": "/spec/versions/0/subresources"}]"#;
    kubectl(&["patch", "crd", ruledata, "--type=json", "--patch", without_status]);
    kubectl(&["delete", "crd", "wasmplugins.extensions.istio.io"]);
    let said = found(&doctor(&fleet, &namespace));
    let restored = [checkout("deploy/crds"), environment().istio_crds.clone()];
    cluster::apply(&[&restored[0], &restored[1]]);
    for expected in [
        "problem | CRDs | the schema of RuleData is older than this tool",
        "CRD ruledata.waf.k8s.coraza.io lacks the subresource status",
        "problem | CRDs of others | wasmplugins.extensions.istio.io is not installed: no gateway gets a firewall",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    serves("without its kinds").await;

    // Who may see nothing is told so, with another exit code than who saw a problem.
    let stranger = kubectl_coraza::run_as(&environment().cluster.cache_kubeconfig, &["doctor"]);
    assert_eq!(stranger.code, 2, "{stranger:?}");
    assert!(
        stranger
            .out
            .contains("unchecked CRDs: custom resource definitions can't be read"),
        "{stranger:?}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_istio_an_engine_says_so_and_the_log_once() {
    let (fleet, namespace) = world(Size::of(1, 1)).await;
    let controller = &fleet.controllers[0].process;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let revision = namespace.ready("crs").await;
    // In a cluster that never had it, that was said when the controller began.
    until("WasmPlugins to be watched", async || {
        let page = http::get(fleet.controllers[0].metrics, "/metrics", None).await;
        let page = page.map_err(|error| format!("{error:#}"))?.text();
        let up = page.contains("coraza_watch_up{kind=\"WasmPlugin\"} 1\n");
        if up { Ok(()) } else { Err(page) }
    })
    .await;
    let before = logged(controller, "the kind is not installed");
    kubectl(&["delete", "crd", "wasmplugins.extensions.istio.io"]);
    engine(&namespace, "waf", "public").await;
    until("the Engine to say what to do", async || {
        let degraded = ("Degraded", "True", "ProvisioningFailed");
        let said = namespace.condition::<Engine>("waf", degraded).await.message;
        said.contains("install Istio").then_some(()).ok_or(said)
    })
    .await;
    // The kind is looked for again and again meanwhile.
    let edit = format!(
        "SecRuleEngine On\nSecRule ARGS \"@contains {}\" \"id:1,phase:2,deny\"",
        revision.uuid
    );
    namespace.source("rules", &edit).await;
    let next = namespace.revised("crs", &revision.uuid).await;
    namespace.served(&fleet.caches, "crs", &next.uuid).await;
    cluster::apply(&[&environment().istio_crds]);
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    assert_eq!(
        logged(controller, "the kind is not installed"),
        before + 1,
        "{}",
        controller.log()
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_whose_certificate_has_expired_is_told_apart_and_the_others_go_on() {
    let (mut fleet, namespace) = world(Size::of(1, 1)).await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let revision = namespace.ready("crs").await;

    // One that starts with it never gets in; the controller says why, once, although it comes again every few seconds.
    let mut settings = fleet.cache_settings();
    settings.identity = Some(fleet.authority.issue_expired(certificates::CACHE));
    let late = Cache::start(settings);
    let controller = &fleet.controllers[0].process;
    until("the controller to say why it is not let in", async || {
        if logged(controller, "tls handshake failed") > 0 && controller.log().to_lowercase().contains("expired") {
            Ok(())
        } else {
            Err(controller.log())
        }
    })
    .await;
    // One that runs keeps its connection, and a wrong Secret changes nothing.
    let wrong = Identity {
        key: "no key".to_owned(),
        ..fleet.authority.issue(certificates::CACHE)
    };
    wrong.write(&fleet.caches[0].tls_dir);
    namespace
        .source("rules", "SecRuleEngine On\nSecAction \"id:1,phase:1,pass\"")
        .await;
    let next = namespace.revised("crs", &revision.uuid).await;
    namespace.served(&fleet.caches, "crs", &next.uuid).await;
    until("the wrong files to be logged", async || {
        match logged(
            &fleet.caches[0].process,
            "certificates not reloaded; the last good ones stay in use",
        ) {
            0 => Err("not yet"),
            _ => Ok(()),
        }
    })
    .await;
    namespace
        .source("rules", "SecRuleEngine On\nSecAction \"id:2,phase:1,pass\"")
        .await;
    let last = namespace.revised("crs", &next.uuid).await;
    namespace.served(&fleet.caches, "crs", &last.uuid).await;
    assert_eq!(
        logged(
            &fleet.caches[0].process,
            "certificates not reloaded; the last good ones stay in use"
        ),
        1
    );
    // It tries every few seconds, and says each thing once, whatever the numbers in it. How the failure of a handshake reads depends on which end was
    // faster.
    let log = late.process.log();
    let mut said: Vec<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "not subscribed")
        .map(|line| {
            line["error"]
                .to_string()
                .replace(|letter: char| letter.is_ascii_digit(), "")
        })
        .collect();
    assert!(!said.is_empty(), "{log}");
    said.sort();
    assert!(!said.windows(2).any(|two| two[0] == two[1]), "{said:#?}");
    assert_eq!(logged(controller, "tls handshake failed"), 1, "{}", controller.log());
}
