//! `deploy/samples`, applied as they are. *Shared*.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use coraza_api::Engine;
use coraza_e2e::environment::checkout;
use coraza_e2e::{Fleet, Namespace, cluster};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_of_the_samples_is_ready_and_an_engine_is_taken() {
    let fleet = Fleet::shared().await;
    cluster::install_mesh().await;
    let namespace = Namespace::create().await;
    let samples = checkout("deploy/samples").display().to_string();
    cluster::kubectl(&["apply", "--namespace", &namespace.name, "--filename", &samples]);
    let revision = namespace.ready("shop").await;
    assert_eq!(revision.rules, 2);
    namespace.served(&fleet.caches, "shop", &revision.uuid).await;
    let engine = namespace.api::<Engine>().get("shop").await.unwrap();
    assert_eq!(engine.spec.rule_set.name, "shop");
}
