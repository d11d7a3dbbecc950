//! Who may read metrics, by the real API server. *Faults*: the test has processes of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_e2e::certificates::{Authority, Tls};
use coraza_e2e::{Fleet, Namespace, Size, cluster, http, port, token, until};

/// What tokens are for that the API server itself takes.
const API_SERVER: &str = "https://kubernetes.default.svc";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn metrics_are_for_those_who_may_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let served = authority.issue("metrics");
    served.write(folder.path());
    let path = format!("--metrics-cert-path={}", folder.path().display());
    let debug = port::free();
    let size = Size::of(1, 1)
        .controller_flags(&["--metrics-secure", &path, &format!("--debug-bind-address={debug}")])
        .cache_flags(&["--metrics-secure=true"]);
    let fleet = Fleet::start(size).await;
    let namespace = Namespace::create().await;
    let scraper = token::request(&namespace.client, &namespace.name, "scraper", API_SERVER).await;
    let stranger = token::request(&namespace.client, &namespace.name, "stranger", API_SERVER).await;
    let other_audience = token::request(&namespace.client, &namespace.name, "scraper", "somebody").await;
    let account = format!("--serviceaccount={}:scraper", namespace.name);
    let binding = [
        "create",
        "clusterrolebinding",
        &namespace.name,
        "--clusterrole=coraza-metrics-reader",
        &account,
    ];
    cluster::kubectl(&binding);

    // One has a certificate of ours, the other makes its own.
    let verified = Tls::verified(served.authority.as_bytes(), "metrics");
    for (address, tls) in [
        (fleet.controllers[0].metrics, verified),
        (fleet.caches[0].metrics, Tls::unverified()),
    ] {
        let status = async |token: Option<&str>, path: &str| {
            let answer = http::get_over(&tls, address, path, token).await;
            answer
                .map(|answer| answer.status.as_u16())
                .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(status(None, "/metrics").await, Ok(401));
        for bad in [
            "no-token",
            &token::forged(&scraper),
            &token::expired(&scraper, 60),
            &other_audience,
        ] {
            assert_eq!(status(Some(bad), "/metrics").await, Ok(401), "{bad}");
        }
        assert_eq!(status(Some(&stranger), "/metrics").await, Ok(403));
        // Rights that were just given may take a moment to be known everywhere.
        until("the scraper to be let in", async || {
            match status(Some(&scraper), "/metrics").await {
                Ok(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let page = http::get_over(&tls, address, "/metrics", Some(&scraper)).await.unwrap();
        assert!(
            page.text()
                .contains("# HELP coraza_certificate_expiry_timestamp_seconds"),
            "{}",
            page.text()
        );
        assert!(page.text().contains(r#"file="tls.crt",listener="metrics"} "#));
        assert_eq!(
            status(Some(&scraper), "/debug/caches").await,
            Ok(403),
            "the role is for metrics alone"
        );
        http::get(address, "/metrics", Some(&scraper))
            .await
            .expect_err("nothing is said in plain");
    }

    // Who gets to the loopback, as by a port-forward, needs no token for the page about caches, and gets nothing else.
    let page = http::get(debug, "/debug/caches", None).await.unwrap();
    let page: serde_json::Value = page.json();
    assert_eq!(
        (&page["leading"], &page["caches"][0]["replica"]),
        (&true.into(), &"cache-0".into()),
        "{page}"
    );
    assert_eq!(http::get(debug, "/metrics", None).await.unwrap().status, 404);
}
