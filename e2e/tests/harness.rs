//! The harness itself: an API server with our CRDs, and tokens as the API server makes them.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use coraza_api::RuleSource;
use coraza_e2e::{Namespace, token};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_api_server_has_our_kinds_and_the_namespace_is_the_tests_own() {
    let namespace = Namespace::create().await;
    let made = namespace.source("rules", "SecRuleEngine On").await;
    assert_eq!(&*made.spec.rules, "SecRuleEngine On");
    let other = Namespace::create().await;
    assert!(other.api::<RuleSource>().get_opt("rules").await.unwrap().is_none());
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_the_test_signs_is_what_the_api_server_would_have_signed() {
    let namespace = Namespace::create().await;
    let audience = token::audience(&namespace.name, "rules");
    let genuine = namespace.token("rules").await;
    let again = token::sign(&genuine, &token::claims(&genuine));
    assert_eq!(
        review(&namespace.client, &again, &audience).await,
        Ok(vec![audience.clone()])
    );
    let mut other = token::claims(&genuine);
    other["aud"] = json!(["https://elsewhere"]);
    assert!(
        review(&namespace.client, &token::sign(&genuine, &other), &audience)
            .await
            .is_err()
    );
    let expired = review(&namespace.client, &token::expired(&genuine, 60), &audience)
        .await
        .unwrap_err();
    assert!(expired.contains("expired"), "{expired}");
}

/// The audiences that a review returns, or its error.
async fn review(client: &Client, token: &str, audience: &str) -> Result<Vec<String>, String> {
    let spec = TokenReviewSpec {
        token: Some(token.to_owned()),
        audiences: Some(vec![audience.to_owned()]),
    };
    let review = TokenReview {
        spec,
        ..TokenReview::default()
    };
    let status = Api::<TokenReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .unwrap()
        .status
        .unwrap();
    if status.authenticated == Some(true) {
        Ok(status.audiences.unwrap_or_default())
    } else {
        Err(status.error.unwrap_or_default())
    }
}
