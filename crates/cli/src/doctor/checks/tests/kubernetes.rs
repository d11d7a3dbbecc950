//! The API server's version.

use super::*;

#[test]
fn a_version_that_is_too_old_or_unknown_is_said() {
    each_is_found(&[
        (
            "Kubernetes",
            PROBLEM,
            "older than 1.33 | the API server is v1.32.9-gke.1",
            |facts| facts.kubernetes = Ok("v1.32.9-gke.1".to_owned()),
        ),
        ("Kubernetes", WARNING, "can't be read", |facts| {
            facts.kubernetes = Ok("unknown".to_owned());
        }),
    ]);
}
