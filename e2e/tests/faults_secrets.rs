//! Logs name what happened and to whom, and show neither tokens nor rules, however much is logged. *Faults*: with processes that log more than others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_api::RuleSet;
use coraza_e2e::{Fleet, Namespace, Size, http, token, until};

/// A word that stands in the rules and nowhere else.
const WORD: &str = "a-word-of-the-rules";

/// What is logged for developers of this operator: everything of its own, and of its dependencies what they call debugging.
const VERBOSE: [&str; 1] = ["--log-level=debug,coraza_cache=trace,coraza_controller=trace"];

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn no_log_has_a_token_or_a_rule_in_it() {
    let fleet = Fleet::start(Size::of(1, 1).controller_flags(&VERBOSE).cache_flags(&VERBOSE)).await;
    let namespace = Namespace::create().await;
    let rule = format!("SecRule ARGS \"@rx {WORD}\" \"id:1,phase:2,deny\"");
    namespace.source("rules", &rule).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;

    let genuine = namespace.token("waf").await;
    let expired = token::expired(&genuine, 60);
    let forged = token::forged(&genuine);
    let path = format!("/rules/{}/waf", namespace.name);
    for (token, status) in [
        (genuine.as_str(), 200),
        (&expired, 401),
        (&forged, 401),
        ("a-word-that-is-no-token", 401),
    ] {
        let answer = http::get(fleet.caches[0].http, &path, Some(token)).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    // Broken rules are told in the status, for those who may read it.
    namespace.source("rules", &format!("{rule}\nSecNonsense {WORD}")).await;
    let wanted = ("Degraded", "True", "ReferencedRuleSourceInvalid");
    namespace.condition::<RuleSet>("waf", wanted).await;

    let [controller, cache] = [&fleet.controllers[0].process, &fleet.caches[0].process];
    until("the refusals to be logged", async || {
        let refusals = cache.log().matches("refused a request").count();
        if refusals == 3 { Ok(()) } else { Err(refusals) }
    })
    .await;
    // The part of a token that nobody else has.
    let signature = |token: &str| {
        token
            .rsplit_once('.')
            .map_or(token, |(_, signature)| signature)
            .to_owned()
    };
    for process in [controller, cache] {
        for secret in [&genuine, &expired, &forged, "a-word-that-is-no-token"].map(signature) {
            assert!(!process.log().contains(&secret), "{} logs a token", process.name());
        }
        assert!(!process.log().contains(WORD), "{} logs rules", process.name());
    }
}
