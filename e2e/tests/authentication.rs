//! Who may read a RuleSet from a cache, and what everybody else is told. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_e2e::{Fleet, Namespace, http, token};
use serde_json::Value;

const RULES: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";

/// Who calls, and what it must get.
struct Case<'a> {
    who: &'a str,
    token: Option<&'a str>,
    status: u16,
    reason: &'a str,
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn only_a_token_for_this_ruleset_from_its_namespace_reads_it() {
    let fleet = Fleet::shared().await;
    let (namespace, elsewhere) = (Namespace::create().await, Namespace::create().await);
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    namespace.ready("waf").await;

    let audience = token::audience(&namespace.name, "waf");
    let genuine = namespace.token("waf").await;
    let other_ruleset = namespace.token("other").await;
    let api_server = token::request(
        &namespace.client,
        &namespace.name,
        "caller",
        "https://kubernetes.default.svc",
    )
    .await;
    let other_namespace = token::request(&elsewhere.client, &elsewhere.name, "caller", &audience).await;
    let expired = token::expired(&genuine, 60);
    let forged = token::forged(&genuine);
    let no_account = {
        let mut claims = token::claims(&genuine);
        claims["sub"] = format!("system:serviceaccount:{}:nobody", namespace.name).into();
        claims["kubernetes.io"]["serviceaccount"]["name"] = "nobody".into();
        token::sign(&genuine, &claims)
    };

    for case in [
        Case {
            who: "nobody",
            token: None,
            status: 401,
            reason: "send a token",
        },
        Case {
            who: "garbage",
            token: Some("garbage"),
            status: 401,
            reason: "JSON Web Token",
        },
        Case {
            who: "two dots",
            token: Some("a.b.c"),
            status: 401,
            reason: "JSON Web Token",
        },
        Case {
            who: "an expired token",
            token: Some(&expired),
            status: 401,
            reason: "expired",
        },
        Case {
            who: "a forged token",
            token: Some(&forged),
            status: 401,
            reason: "API server doesn't accept",
        },
        Case {
            who: "an account that is gone",
            token: Some(&no_account),
            status: 401,
            reason: "API server doesn't accept",
        },
        Case {
            who: "a token for another RuleSet",
            token: Some(&other_ruleset),
            status: 403,
            reason: "audience",
        },
        Case {
            who: "a token for the API server",
            token: Some(&api_server),
            status: 403,
            reason: "audience",
        },
        Case {
            who: "an account of another namespace",
            token: Some(&other_namespace),
            status: 403,
            reason: "namespace",
        },
        Case {
            who: "the right caller",
            token: Some(&genuine),
            status: 200,
            reason: "",
        },
    ] {
        for cache in &fleet.caches {
            for path in [
                format!("/rules/{}/waf", namespace.name),
                format!("/rules/{}/waf/latest", namespace.name),
            ] {
                let answer = http::get(cache.http, &path, case.token).await.unwrap();
                assert_eq!(
                    answer.status.as_u16(),
                    case.status,
                    "{} at {path}: {}",
                    case.who,
                    answer.text()
                );
                if case.status == 200 {
                    continue;
                }
                let body: Value = answer.json();
                let reason = body["reason"].as_str().unwrap();
                assert!(reason.contains(case.reason), "{}: {reason}", case.who);
                assert_eq!(
                    answer.header("www-authenticate").starts_with("Bearer"),
                    case.status == 401,
                    "{}",
                    case.who
                );
                assert!(!answer.text().contains("SecRule"), "{} is shown rules", case.who);
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_that_is_not_there_is_not_found_after_authentication_only() {
    let fleet = Fleet::shared().await;
    let namespace = Namespace::create().await;
    let token = namespace.token("absent").await;
    let path = format!("/rules/{}/absent", namespace.name);
    for cache in &fleet.caches {
        assert_eq!(http::get(cache.http, &path, None).await.unwrap().status, 401);
        assert_eq!(http::get(cache.http, &path, Some(&token)).await.unwrap().status, 404);
    }
}
