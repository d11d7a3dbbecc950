//! The documentation's shell blocks are run, page by page, in a cluster that has the operator. *Shared*, and one test: pages use the names that they tell.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it doesn't run"
)]

use coraza_e2e::pages::{blocks, pages, run};
use coraza_e2e::{Fleet, cluster};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_shell_block_works() {
    Fleet::shared().await;
    cluster::install_mesh().await;
    let mut ran = 0;
    let mut failed = Vec::new();
    for (page, text) in pages() {
        let blocks = blocks(&text);
        for block in &blocks {
            match &block.skip {
                Some(reason) => println!("NOT RUN: docs/{page}:{}: {reason}", block.line),
                None => ran += 1,
            }
        }
        if let Err(said) = run(&page, &blocks) {
            failed.push(format!("docs/{page}: {said}"));
        }
        // What a reader would keep.
        for namespace in ["shop", "tuning"] {
            cluster::kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--wait=false"]);
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(ran > 20, "only {ran} blocks were run");
}
