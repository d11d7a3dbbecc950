//! `explain` as people and pipelines run it, with the rules of `testdata/test`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "program/run.rs"]
mod program;

use program::{Run, run, run_with_colours, run_with_input};

fn explain(arguments: &[&str]) -> Run {
    run("test", &[&["explain"], arguments].concat())
}

#[test]
fn verdicts_are_explained() {
    for (name, arguments) in [
        (
            "blocked",
            &["-f", "rules.conf", "-d", "user=root", "http://h/login?x=1"][..],
        ),
        ("passed", &["-f", "rules.conf", "/"]),
        ("dropped", &["-f", "rules.conf", "/drop"]),
        (
            "response",
            &[
                "-f",
                "rules.conf",
                "--response-body",
                "a secret",
                "--response-header",
                "X-A: b",
                "/",
            ],
        ),
        ("json", &["-f", "rules.conf", "-o", "json", "-d", "user=root", "/"]),
    ] {
        let run = explain(arguments);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{name}");
        insta::assert_snapshot!(name, run.out);
    }
    let detecting = b"SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny,nolog\"\n";
    let run = run_with_input("test", &["explain", "-f", "-", "--exit-code", "/"], detecting);
    assert_eq!(run.code, 0, "what is only detected isn't blocked");
    insta::assert_snapshot!("detected", run.out);
    let limited =
        b"SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 5\nSecRequestBodyLimitAction Reject\n";
    let run = run_with_input("test", &["explain", "-f", "-", "-d", "123456", "/"], limited);
    insta::assert_snapshot!("limited", run.out);
}

#[test]
fn exit_codes_say_what_was_asked() {
    for (arguments, code) in [
        (&["-f", "rules.conf", "--exit-code", "/drop"][..], 1),
        (&["-f", "rules.conf", "--exit-code", "/"], 0),
        (&["-f", "rules.conf", "/drop"], 0),
        (&["-f", "absent.conf", "/"], 2),
        (&["-f", "rules.conf", "ftp://h"], 2),
        (&["-f", "rules.conf", "--ruleset", "other", "/"], 2),
        (&["/"], 2),
        (&["--kubeconfig", "absent", "--ruleset", "shop", "/"], 2),
    ] {
        let run = explain(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
    }
}

#[test]
fn one_of_several_rulesets_is_chosen_by_name() {
    for (arguments, code, message) in [
        (&["--ruleset", "a/one"][..], 1, ""),
        (&["--ruleset", "b/one"], 0, ""),
        (
            &["--ruleset", "one"],
            2,
            "there are several RuleSets: choose one of a/one, b/one with --ruleset",
        ),
        (
            &["--ruleset", "absent"],
            2,
            "there is no RuleSet absent, but a/one, b/one",
        ),
        (&[], 2, "RuleSet b/other names RuleSource absent, which is not here"),
        (&["-f", "rules.conf", "--ruleset", "a/one"], 1, ""),
        (&["-f", "tests"], 2, "which is not here"),
    ] {
        let command = [&["-f", "two.yaml", "--exit-code", "/"], arguments].concat();
        let run = explain(&command);
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
        assert!(run.err.contains(message), "{arguments:?}: {}", run.err);
    }
    let none = explain(&["-f", "tests", "/"]);
    assert_eq!(
        (none.code, none.err.as_str()),
        (
            2,
            "Error: the files have no rules, nor a RuleSet with its RuleSources\n"
        )
    );
}

#[test]
fn what_is_said_does_not_steer_a_terminal() {
    let run = run_with_colours("test", &["explain", "-f", "\u{1b}]0;a title\u{7}.conf", "/"], b"");
    assert!(run.err.contains("\u{fffd}]0;a title\u{fffd}.conf"), "{:?}", run.err);
    assert!(run.err.contains("\u{1b}[31m"), "our own colours stay: {:?}", run.err);
}
