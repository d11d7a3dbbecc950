//! The documentation's shell blocks that need a Gateway's proxy, with the others of their pages. *Shared*, and one test: pages use the names that they tell.
#![allow(clippy::panic, clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use coraza_e2e::cluster::{kubectl, try_kubectl};
use coraza_e2e::environment::checkout;
use coraza_e2e::mesh::Mesh;
use coraza_e2e::object::{GATEWAY, HTTP_ROUTE};
use coraza_e2e::pages::{Page, Place, pages, run};
use coraza_e2e::{Gateway, Kubelet, Upstream, service, until_within};
use serde_json::json;

/// The Gateway of `deploy/samples`, which all pages have.
const NAME: &str = "shop";
/// How long a page may take to come to its Gateway, and a namespace to go.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_page_works_before_a_gateway() {
    Mesh::shared_with_plugin().await;
    let _kubelet = Kubelet::start().await;
    let mut ran = Vec::new();
    let mut failed = Vec::new();
    for page in pages().into_iter().filter(|page| page.needs(Place::Mesh)) {
        let name = page.name.clone();
        let read = match name.as_str() {
            "quickstart.md" => read_from_the_start(page, "shop").await,
            "tuning.md" => read_from_the_start(page, "tuning").await,
            // These are for those who have the quickstart's shop.
            _ => read_with_a_shop(page).await,
        };
        match read {
            Ok(blocks) => ran.push((name, blocks)),
            Err(said) => failed.push(said),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(ran.len() > 3, "only {ran:?} were run");
}

/// Reads a page that makes its Gateway itself, in this namespace.
async fn read_from_the_start(page: Page, namespace: &'static str) -> Result<usize, String> {
    let mut reading = tokio::task::spawn_blocking(move || run(&page, Place::Mesh));
    let site = tokio::select! {
        site = Site::open(namespace) => site,
        read = &mut reading => return read.expect("no panic").and_then(|_| Err("it makes no Gateway".to_owned())),
    };
    let read = reading.await.expect("no panic");
    site.close().await;
    read
}

/// Reads a page in a namespace with all of `deploy/samples`, where an attack was blocked.
async fn read_with_a_shop(page: Page) -> Result<usize, String> {
    kubectl(&["create", "namespace", NAME]);
    let samples = checkout("deploy/samples").display().to_string();
    kubectl(&["apply", "--namespace", NAME, "--filename", &samples]);
    let site = Site::open(NAME).await;
    until_within(PATIENCE, "an attack to be blocked", async || {
        let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let answer = site
            .gateway
            .curl(&[&status[..], &["http://127.0.0.1/?q=evil"]].concat())?;
        if answer == "403" { Ok(()) } else { Err(answer) }
    })
    .await;
    let read = tokio::task::spawn_blocking(move || run(&page, Place::Mesh)).await;
    site.close().await;
    read.expect("no panic")
}

/// What a page doesn't make, but has: a route from its Gateway to a server, and a machine that runs its proxy.
struct Site {
    namespace: &'static str,
    gateway: Gateway,
    _server: Upstream,
}

impl Site {
    /// Opens it as soon as the Gateway is there.
    async fn open(namespace: &'static str) -> Self {
        let client = coraza_e2e::client().await;
        until_within(PATIENCE, "the page to make a Gateway", async || {
            GATEWAY
                .get(&client, namespace, NAME)
                .await
                .map(drop)
                .ok_or("there is none")
        })
        .await;
        let server = Upstream::start_on_node().await;
        service::create(&client, namespace, "site", 80, &[server.address()]).await;
        let route = json!({
            "parentRefs": [{ "name": NAME }],
            "rules": [{ "backendRefs": [{ "name": "site", "port": 80 }] }],
        });
        HTTP_ROUTE.apply(&client, namespace, "site", route).await;
        Self {
            namespace,
            gateway: Gateway::run(namespace, NAME).await,
            _server: server,
        }
    }

    /// Takes it and the namespace away, and waits until both are gone: the next page may make them again.
    async fn close(self) {
        drop(self.gateway);
        let of = format!("--namespace={}", self.namespace);
        kubectl(&[
            "delete",
            "namespace",
            self.namespace,
            "--ignore-not-found",
            "--wait=false",
        ]);
        until_within(PATIENCE, "the namespace to be gone", async || {
            // Nobody else ends Pods of a node without a kubelet.
            let pods = ["delete", "pods", "--all", "--grace-period=0", "--force", &of];
            try_kubectl(&pods).map(drop)?;
            match try_kubectl(&["get", "namespace", self.namespace]) {
                Err(said) if said.contains("NotFound") => Ok(()),
                Err(said) | Ok(said) => Err(said),
            }
        })
        .await;
    }
}
