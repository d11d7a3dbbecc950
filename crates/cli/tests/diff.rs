//! `diff` as people and pipelines run it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "program/run.rs"]
mod program;

use program::{Run, run};

fn diff(arguments: &[&str]) -> Run {
    run("diff", &[&["diff"], arguments].concat())
}

#[test]
fn rules_are_compared_by_what_they_say() {
    let text = diff(&["old", "new"]);
    assert_eq!((text.code, text.err.as_str()), (1, ""));
    insta::assert_snapshot!("text", text.out);
    insta::assert_snapshot!("json", diff(&["old", "new", "-o", "json"]).out);
    let same = diff(&["old", "old/rules.conf"]);
    assert_eq!(
        (same.code, same.out.as_str()),
        (0, "0 added, 0 removed, 0 changed, 5 the same\n")
    );
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    for (arguments, message) in [
        (&["old", "absent"][..], "Error: failed to read absent"),
        (&["old"], "<NEW>"),
        (
            &["--kubeconfig", "absent", "old", "ruleset/shop"],
            "Error: failed to find a cluster by the kubeconfig",
        ),
    ] {
        let run = diff(arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}: {}", run.err);
        assert!(run.err.contains(message), "{arguments:?}: {}", run.err);
    }
    // Broken rules are compared as far as they can be read.
    let broken = diff(&["../lint/syntax.conf", "old"]);
    assert_eq!(broken.code, 1);
    assert!(broken.err.contains("Warning: ../lint/syntax.conf: "), "{}", broken.err);
}
