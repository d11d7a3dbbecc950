//! Rights.

use super::*;

#[test]
fn rights_that_lack_are_named() {
    each_is_found(&[(
        "Rights of the operator",
        PROBLEM,
        "ServiceAccount coraza-system/coraza-controller lacks rights | it may not watch pods in all namespaces",
        |facts| {
            operator(facts).lacking_rights = Ok(vec![(
                "coraza-controller".to_owned(),
                "watch pods in all namespaces".to_owned(),
            )]);
        },
    )]);
}
