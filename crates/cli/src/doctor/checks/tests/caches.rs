//! The caches.

use super::*;

#[test]
fn caches_that_are_away_or_lag_behind_are_found() {
    each_is_found(&[
        ("Caches' Service", PROBLEM, "the caches have no Service", |facts| {
            operator(facts).service = Ok(None);
        }),
        (
            "Caches' Service",
            PROBLEM,
            "Service coraza-system/coraza-cache has no endpoint that is ready",
            |facts| operator(facts).endpoints = Ok(Vec::new()),
        ),
        ("Caches' Service", PROBLEM, "answered with 503, not 401", |facts| {
            operator(facts).answer = Ok(503);
        }),
        ("Caches and controller", PROBLEM, "no cache is subscribed", |facts| {
            page(facts).caches.clear();
        }),
        (
            "Caches and controller",
            PROBLEM,
            "2 caches are ready, 1 subscribed",
            |facts| drop(page(facts).caches.pop()),
        ),
        (
            "Caches and controller",
            WARNING,
            "no complete snapshot yet | cache-0",
            |facts| page(facts).caches[0].complete = false,
        ),
        ("Caches and controller", WARNING, "does not lead any more", |facts| {
            page(facts).leading = false;
        }),
        (
            "Caches and controller",
            PROBLEM,
            "cache cache-0 refused the revision of RuleSet shop/crs, and serves the one before | too large",
            |facts| {
                page(facts).caches[0].refused = [("shop/crs".to_owned(), "too large".to_owned())].into();
            },
        ),
    ]);
}
