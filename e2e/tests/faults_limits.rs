//! Each limit: what is larger is refused with the numbers, and what was served before stays. *Faults*: the limits are flags of each test's own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_api::{RuleSet, RuleSource};
use coraza_e2e::{Fleet, Namespace, Size, until};
use serde_json::json;

/// A rule with a comment that makes its text this long.
fn rules(id: usize, bytes: usize) -> String {
    let rule = format!("SecRule ARGS \"@rx attack\" \"id:{id},phase:2,deny\"\n#");
    format!("{rule}{}", "x".repeat(bytes - rule.len()))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_over_its_limit_is_refused_and_the_last_good_one_stays() {
    let limits = ["--max-ruleset-bytes=4096"];
    let fleet = Fleet::start(Size::of(1, 1).controller_flags(&limits).cache_flags(&limits)).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &rules(1, 4096)).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let good = namespace.ready("waf").await;
    assert_eq!(good.bytes, 4096, "as large as allowed");

    namespace.source("rules", &rules(1, 4097)).await;
    let degraded = namespace
        .condition::<RuleSet>("waf", ("Degraded", "True", "OversizedRules"))
        .await;
    for number in ["4097", "4096", "--max-ruleset-bytes"] {
        assert!(degraded.message.contains(number), "{}", degraded.message);
    }
    namespace.served(&fleet.caches, "waf", &good.uuid).await;

    namespace.source("rules", &rules(2, 4000)).await;
    let mended = namespace.revised("waf", &good.uuid).await;
    namespace.served(&fleet.caches, "waf", &mended.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn data_files_count() {
    let fleet = Fleet::start(Size::of(1, 1).controller_flags(&["--max-ruleset-bytes=4096"])).await;
    let namespace = Namespace::create().await;
    namespace
        .source("rules", "SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny\"")
        .await;
    namespace.data("data", &[("words.data", &"w".repeat(5000))]).await;
    namespace.ruleset("waf", &["rules"], &["data"]).await;
    namespace
        .condition::<RuleSet>("waf", ("Degraded", "True", "OversizedRules"))
        .await;
    namespace.data("data", &[("words.data", "word")]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_namespace_has_a_limit_that_others_do_not_feel() {
    let fleet =
        Fleet::start(Size::of(1, 1).controller_flags(&["--max-ruleset-bytes=4096", "--max-namespace-bytes=6000"]))
            .await;
    let (full, other) = (Namespace::create().await, Namespace::create().await);
    for namespace in [&full, &other] {
        namespace.source("rules", &rules(1, 4000)).await;
        namespace.ruleset("first", &["rules"], &[]).await;
        namespace.ready("first").await;
    }
    full.source("more", &rules(2, 4000)).await;
    full.ruleset("second", &["more"], &[]).await;
    let degraded = full
        .condition::<RuleSet>("second", ("Degraded", "True", "OversizedRules"))
        .await;
    assert!(
        degraded.message.contains("--max-namespace-bytes") && degraded.message.contains("6000"),
        "{}",
        degraded.message
    );
    // Making room heals it.
    full.delete::<RuleSet>("first").await;
    let revision = full.ready("second").await;
    full.served(&fleet.caches, "second", &revision.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn all_rulesets_together_have_a_limit() {
    let limits = [
        "--max-ruleset-bytes=4096",
        "--max-namespace-bytes=4096",
        "--max-total-bytes=6000",
    ];
    let _fleet = Fleet::start(Size::of(1, 1).controller_flags(&limits)).await;
    let (one, other) = (Namespace::create().await, Namespace::create().await);
    one.source("rules", &rules(1, 4000)).await;
    one.ruleset("waf", &["rules"], &[]).await;
    one.ready("waf").await;
    other.source("rules", &rules(2, 4000)).await;
    other.ruleset("waf", &["rules"], &[]).await;
    let degraded = other
        .condition::<RuleSet>("waf", ("Degraded", "True", "OversizedRules"))
        .await;
    assert!(degraded.message.contains("--max-total-bytes"), "{}", degraded.message);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_with_a_lower_limit_refuses_with_both_numbers() {
    let fleet = Fleet::start(Size::of(1, 1).cache_flags(&["--max-ruleset-bytes=2048"])).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &rules(1, 3000)).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let rejected = namespace
        .condition::<RuleSet>("waf", ("Ready", "False", "CacheRejected"))
        .await;
    for number in ["3000", "2048"] {
        assert!(rejected.message.contains(number), "{}", rejected.message);
    }
    namespace.source("rules", &rules(1, 2000)).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_the_api_server_refuses_changes_nothing() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &rules(1, 1000)).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let good = namespace.ready("waf").await;
    let large = namespace
        .try_apply::<RuleSource>("rules", json!({"rules": rules(1, 2 << 20)}))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        large.contains("spec.rules") || large.contains("too large") || large.contains("limit"),
        "{large}"
    );
    let names: Vec<_> = (0..2049)
        .map(|index| json!({"name": format!("source-{index}")}))
        .collect();
    let many = namespace
        .try_apply::<RuleSet>("waf", json!({"sources": names}))
        .await
        .unwrap_err()
        .to_string();
    assert!(many.contains("spec.sources") && many.contains("2048"), "{many}");
    until("the good revision", async || {
        let now = namespace.ready("waf").await;
        if now == good { Ok(()) } else { Err(now.uuid) }
    })
    .await;
    namespace.served(&fleet.caches, "waf", &good.uuid).await;
}
