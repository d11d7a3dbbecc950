//! Certificates that appear, are replaced, lost and wrong, while data planes poll. *Faults*: each test with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use coraza_e2e::fleet::QUICK_LEASE;
use coraza_e2e::wait::until_within;
use coraza_e2e::{Fleet, Namespace, Size, http, until};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const RULES: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";
const OTHER_RULES: &str = "SecRule ARGS \"@rx attacks\" \"id:1,phase:2,deny\"";
/// Processes read their files every five seconds, and a CA's successor waits for eight.
const ROTATION: Duration = Duration::from_secs(60);

/// Somebody who polls without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    polls: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    fn start(cache: SocketAddr, namespace: &Namespace, token: &str) -> Self {
        let (stop, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (path, token) = (format!("/rules/{}/waf/latest", namespace.name), token.to_owned());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&polls));
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match http::get(cache, &path, Some(&token)).await {
                    Ok(answer) if answer.status.is_success() => {}
                    Ok(answer) => failures.push(format!("{} {}", answer.status, answer.text())),
                    Err(error) => failures.push(format!("{error:#}")),
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        Self { stop, polls, task }
    }

    /// Ends it: none has failed.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.unwrap();
        assert_eq!(failures, [""; 0]);
        assert!(self.polls.load(Ordering::Relaxed) > 100);
    }
}

async fn secrets(fleet: &Fleet) -> Api<Secret> {
    Api::namespaced(coraza_e2e::client().await, &fleet.namespace)
}

async fn data(secrets: &Api<Secret>, name: &str) -> BTreeMap<String, ByteString> {
    secrets.get(name).await.unwrap().data.unwrap_or_default()
}

async fn merge(secrets: &Api<Secret>, name: &str, patch: Value) {
    secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// Until when a process's certificate is good, by its own metric.
async fn expiry(metrics: SocketAddr) -> String {
    let page = http::get(metrics, "/metrics", None).await.unwrap().text();
    let sample = page.lines().find_map(|line| {
        line.strip_prefix(r#"coraza_certificate_expiry_timestamp_seconds{file="tls.crt",listener="grpc"} "#)
    });
    sample.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_controller_s_own_ca_is_made_and_replaced_under_load() {
    let mut fleet = Fleet::start(Size::of(2, 2).own_ca().controller_flags(&QUICK_LEASE)).await;
    // Nobody else is started before it has filled the Secrets.
    let log = fleet.controllers[0].process.log();
    assert_eq!(log.matches("waiting for certificates").count(), 1);
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let token = namespace.token("waf").await;
    let load = Load::start(fleet.caches[1].http, &namespace, &token);

    // The CA is lost; peers go on, and trust its successor before anybody shows a certificate by it.
    let secrets = secrets(&fleet).await;
    let before = data(&secrets, "coraza-cache-tls").await;
    let expires = expiry(fleet.caches[1].metrics).await;
    assert!(!expires.is_empty());
    let emptied = json!({"data": {"tls.crt": null, "tls.key": null, "ca.crt": null}});
    merge(&secrets, "coraza-self-signed-ca", emptied).await;
    until("both to be trusted", async || {
        let now = data(&secrets, "coraza-cache-tls").await;
        let trusted = String::from_utf8(now["ca.crt"].0.clone())
            .unwrap()
            .matches("BEGIN")
            .count();
        if trusted == 2 && now["tls.crt"] == before["tls.crt"] {
            Ok(())
        } else {
            Err(trusted)
        }
    })
    .await;
    until_within(ROTATION, "a certificate by the new CA, and its use", async || {
        let now = data(&secrets, "coraza-cache-tls").await;
        if now["tls.crt"] == before["tls.crt"] {
            return Err("the old one".to_owned());
        }
        let used = expiry(fleet.caches[1].metrics).await;
        if used == expires { Err(used) } else { Ok(()) }
    })
    .await;

    // Who has the files of now connects: a cache that starts anew, and caches that need another controller.
    fleet.caches[0].restart();
    fleet.caches[0].ready().await;
    fleet.controllers[0].process.kill();
    namespace.source("rules", OTHER_RULES).await;
    let edited = namespace.revised("waf", &revision.uuid).await;
    namespace.served(&fleet.caches, "waf", &edited.uuid).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn certificates_of_others_are_replaced_under_load() {
    let mut fleet = Fleet::start(Size::of(2, 2).controller_flags(&QUICK_LEASE)).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let token = namespace.token("waf").await;
    let load = Load::start(fleet.caches[1].http, &namespace, &token);

    // As their issuer would: both are trusted, then certificates are the new one's.
    let new = coraza_e2e::certificates::Authority::new();
    let loaded = |fleet: &Fleet| -> Vec<usize> {
        let controllers = fleet.controllers.iter().map(|controller| &controller.process);
        let processes = controllers.chain(fleet.caches.iter().map(|cache| &cache.process));
        processes
            .map(|process| process.log().matches("certificates loaded").count())
            .collect()
    };
    for (step, issuer) in [(2, &fleet.authority), (3, &new)] {
        let controllers = fleet
            .controllers
            .iter()
            .map(|controller| ("coraza-controller", &controller.tls_dir));
        let folders = controllers.chain(fleet.caches.iter().map(|cache| ("coraza-cache", &cache.tls_dir)));
        for (name, folder) in folders {
            let mut identity = issuer.issue(name);
            identity.authority = format!("{}{}", fleet.authority.issue(name).authority, new.issue(name).authority);
            identity.write(folder);
        }
        until("everybody to have read the files", async || {
            let loaded = loaded(&fleet);
            // Files are written one after another, so that they may be read between.
            if loaded.iter().all(|&count| count >= step) {
                Ok(())
            } else {
                Err(format!("{loaded:?}"))
            }
        })
        .await;
    }
    fleet.caches[0].restart();
    fleet.caches[0].ready().await;
    fleet.controllers[0].process.kill();
    namespace.source("rules", OTHER_RULES).await;
    let edited = namespace.revised("waf", &revision.uuid).await;
    namespace.served(&fleet.caches, "waf", &edited.uuid).await;
    load.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_secret_of_somebody_else_is_left_alone_and_said_once() {
    let fleet = Fleet::start(Size::of(1, 1).own_ca()).await;
    let secrets = secrets(&fleet).await;
    let theirs = json!({
        "metadata": {"annotations": {"waf.k8s.coraza.io/certificates": null}},
        "stringData": {"tls.crt": "theirs"},
    });
    merge(&secrets, "coraza-cache-tls", theirs).await;
    let controller = &fleet.controllers[0];
    let failures = async || {
        let page = controller.page("/metrics").await.unwrap().text();
        let sample = page
            .lines()
            .find_map(|line| line.strip_prefix("coraza_certificate_rotation_failures_total "));
        sample.unwrap().parse::<u64>().unwrap()
    };
    until("several attempts", async || {
        let failures = failures().await;
        if failures > 2 { Ok(()) } else { Err(failures) }
    })
    .await;
    assert_eq!(
        controller
            .process
            .log()
            .matches("it is somebody else's, and left alone")
            .count(),
        1
    );
    assert_eq!(data(&secrets, "coraza-cache-tls").await["tls.crt"].0, b"theirs");

    // What is in use stays, and is repaired when the Secret may be.
    fleet.caches[0].ready().await;
    let cache = &fleet.caches[0].process;
    until("the cache to say what it has read", async || {
        if cache.log().contains("the last good ones stay in use") {
            Ok(())
        } else {
            Err("nothing")
        }
    })
    .await;
    let ours = json!({"metadata": {"annotations": {"waf.k8s.coraza.io/certificates": "self-signed"}}});
    merge(&secrets, "coraza-cache-tls", ours).await;
    until("the Secret to be made good", async || {
        let now = data(&secrets, "coraza-cache-tls").await;
        if now["tls.crt"].0.starts_with(b"-----BEGIN") {
            Ok(())
        } else {
            Err("theirs")
        }
    })
    .await;
    until("that to be said", async || {
        let log = controller.process.log();
        if log.contains("certificates are kept again") {
            Ok(())
        } else {
            Err("nothing")
        }
    })
    .await;
}
