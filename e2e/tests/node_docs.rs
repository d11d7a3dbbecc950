//! The documentation's shell blocks that need nodes, with the others of their pages. *Faults*, and one test: pages use the names that they tell.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use coraza_e2e::Release;
use coraza_e2e::cluster::{self, kubectl};
use coraza_e2e::nodes::POD_IMAGE;
use coraza_e2e::pages::{Page, Place, pages, run};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_page_works_on_nodes() {
    cluster::install_mesh().await;
    istiod();
    let release = Release::of_the_documentation().await;
    let pages = pages().into_iter().filter(|page| page.needs(Place::Nodes));
    let (installing, others): (Vec<Page>, Vec<Page>) = pages.partition(|page| page.name == "install.md");
    let mut ran = 0;
    let mut failed = Vec::new();
    let mut read = |page: &Page| match tokio::task::block_in_place(|| run(page, Place::Nodes)) {
        Ok(blocks) => ran += blocks,
        Err(said) => failed.push(said),
    };
    installing.iter().for_each(&mut read);
    // The page ends with what takes it away.
    release.helm(
        "upgrade",
        &["--install", "--create-namespace", "--take-ownership", "--wait"],
    );
    release.settled("controller", 2).await;
    release.settled("cache", 3).await;
    others.iter().for_each(&mut read);
    kubectl(&[
        "delete",
        "clusterrolebinding",
        "prometheus-coraza",
        "--ignore-not-found",
    ]);
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(ran > 20, "only {ran} blocks were run");
}

/// What stands for Istio: `kubectl coraza doctor` looks for a Deployment of this label. Nothing here needs what it does.
fn istiod() {
    let labels = json!({ "app": "istiod" });
    let container = json!({ "name": "discovery", "image": POD_IMAGE, "imagePullPolicy": "Never" });
    let objects = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "istio-system" } },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": { "name": "istiod", "namespace": "istio-system", "labels": labels },
                "spec": {
                    "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
                },
            },
        ],
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), objects.to_string()).expect("written");
    cluster::apply(&[file.path()]);
}
