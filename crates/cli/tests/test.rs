//! `test` as people and pipelines run it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "program/run.rs"]
mod program;

use program::{Run, run, run_with_input};

fn test(arguments: &[&str]) -> Run {
    run("test", &[&["test", "-f", "rules.conf"], arguments].concat())
}

#[test]
fn tests_end_as_they_should() {
    let all = test(&["tests"]);
    assert_eq!((all.code, all.err.as_str()), (1, ""));
    insta::assert_snapshot!("all", all.out);
    insta::assert_snapshot!("verbose", test(&["-v", "tests"]).out);
    insta::assert_snapshot!("json", test(&["-o", "json", "tests"]).out);
}

#[test]
fn tests_are_chosen_by_name_and_tag() {
    for (arguments, last) in [
        (&["tests", "--include", "^1-"][..], "2 passed, 0 failed, 0 skipped\n"),
        (&["tests", "-i", "^1-", "-e", "2$"], "1 passed, 0 failed, 0 skipped\n"),
        (&["tests", "--tag", "login"], "1 passed, 0 failed, 0 skipped\n"),
        (&["tests/1.yaml", "-T", "shop"], "2 passed, 0 failed, 0 skipped\n"),
    ] {
        let run = test(arguments);
        assert_eq!((run.code, run.out.as_str()), (0, last), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_run_is_an_error() {
    for (arguments, message) in [
        (&["absent.yaml"][..], "Error: failed to read absent.yaml"),
        (
            &["rules.conf"],
            "Error: rules.conf has no tests that can be read: failed to read the YAML",
        ),
        (
            &["tests", "-i", "nothing"],
            "Error: there are no tests with such a name or tag",
        ),
        (&["tests", "-i", "("], "regex parse error"),
        (&["-f", "absent.conf", "tests"], "Error: failed to read absent.conf"),
    ] {
        let run = test(arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}: {}", run.err);
        assert!(run.err.contains(message), "{arguments:?}: {}", run.err);
    }
    let bad = run_with_input(
        "test",
        &["test", "-f", "-", "tests"],
        b"SecRule ARGS \"@nosuch\" \"id:1\"\n",
    );
    assert_eq!(bad.code, 2);
    insta::assert_snapshot!("bad_rules", bad.err);
}
