//! The documentation's shell blocks are run, page by page, in a cluster that has the operator; those that need more than an API server are run by
//! `istio_docs` and `node_docs`. *Shared*, and one test: pages use the names that they tell.

use coraza_e2e::pages::{Place, pages, run};
use coraza_e2e::{Fleet, Release, cluster};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_shell_block_works() {
    Fleet::shared().await;
    cluster::install_mesh().await;
    let mut ran = 0;
    let mut failed = Vec::new();
    for page in pages() {
        // What there is to come from.
        let _go_operator = match page.name.as_str() {
            "migration.md" => Some(go_operator().await),
            _ => None,
        };
        match run(&page, Place::Anywhere) {
            Ok(blocks) => ran += blocks,
            Err(said) => failed.push(said),
        }
        // What a reader would keep.
        for namespace in ["shop", "tuning"] {
            cluster::kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--wait=false"]);
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(ran > 30, "only {ran} blocks were run");
}

async fn go_operator() -> Release {
    let release = Release::of_the_documentation().await;
    release.install_the_go_operator();
    release
}
