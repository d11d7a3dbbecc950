//! The API server goes away and comes back. *Faults*: one test at a time.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use coraza_api::RuleSource;
use coraza_e2e::cluster::{self, Outage};
use coraza_e2e::{Namespace, client};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_api_server_goes_and_comes_back_with_its_objects() {
    let namespace = Namespace::create().await;
    namespace.source("rules", "SecRuleEngine On").await;
    let outage = Outage::begin().await;
    assert!(client().await.apiserver_version().await.is_err());
    cluster::compact().await;
    outage.end().await;
    assert_eq!(client().await.apiserver_version().await.unwrap().git_version, "v1.37.2");
    assert!(namespace.api::<RuleSource>().get_opt("rules").await.unwrap().is_some());
}
