//! The conformance suites reach what is committed in `conformance.toml`, neither less nor more. Those whose data is beside the checkout are
//! skipped, visibly, where it is absent; the Core Rule Set's tests never are.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, in its helpers too"
)]

#[path = "../examples/conformance/suites.rs"]
mod suites;

use coraza_ftw::complete::Written;
use coraza_ftw::{Request, backend};
use suites::ftw::recording::{self, request};
use suites::{Expectations, Run, ftw, shared, vectors};

fn assert_committed(run: Run) {
    match run {
        Run::Skipped(reason) => println!("SKIPPED: {reason}"),
        Run::Failed(error) => panic!("{error}"),
        Run::Done(report) => {
            println!("{report}");
            assert_eq!(Expectations::read().problems(&report), Vec::<String>::new(), "{report}");
        }
    }
}

#[test]
fn tests_of_the_core_rule_set_4_25_pass() {
    assert_committed(ftw::crs_4_25(None));
}

#[test]
fn tests_of_the_core_rule_set_4_29_dev_pass() {
    assert_committed(ftw::crs_4_29_dev(None));
}

#[test]
fn attacks_are_blocked_and_nothing_else_is() {
    assert_committed(ftw::traffic(None));
}

#[test]
fn operators_judge_as_their_vectors_say() {
    assert_committed(vectors::operators(None, None));
}

#[test]
fn transformations_give_what_their_vectors_say() {
    assert_committed(vectors::transformations(None, None));
}

#[test]
fn regression_cases_end_as_in_modsecurity() {
    assert_committed(vectors::regression_cases(None, None));
}

/// What makes the tests of 4.25.0 checkable: its files say less than what is sent.
#[test]
fn requests_are_completed_as_the_standard_runner_does() {
    let Ok(path) = shared("ftw/dev.jsonl") else {
        println!("SKIPPED: completion: ../shared/data/ftw/dev.jsonl is absent");
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let mut completed = 0;
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        for stage in case["stages"].as_array().unwrap() {
            let input = &stage["input"];
            let raw = recording::bytes(input.get("encoded_request_b64"));
            let written = Written {
                request: request(input),
                raw: Some(raw).filter(|raw| !raw.is_empty()),
                autocomplete: input["autocomplete_headers"] == true,
            };
            let sent: Request = written.complete();
            assert_eq!(sent, request(&stage["wire"]), "{}-{}", case["rule_id"], case["test_id"]);
            let answer = recording::response(&stage["response"]);
            assert_eq!(
                backend::answer(&sent),
                answer,
                "{}-{}",
                case["rule_id"],
                case["test_id"]
            );
            completed += 1;
        }
    }
    assert_eq!(completed, 4367);
}

/// Reasons are rows, not words.
#[test]
fn each_failing_test_cites_a_row_of_the_deviations() {
    assert_eq!(Expectations::read().without_row(), Vec::<&str>::new());
}

/// The classes by which the differential oracle explains differences are rows too, and no two rows have one name.
#[test]
fn classes_of_differences_are_rows_of_the_deviations() {
    let rows = include_str!("../DEVIATIONS.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let rows: Vec<&str> = rows
        .filter(|row| row.ends_with(|end: char| end.is_ascii_digit()))
        .collect();
    let twice: Vec<_> = rows
        .iter()
        .filter(|row| rows.iter().filter(|other| other == row).count() > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    let classes = include_str!("../examples/oracle/class.rs").lines();
    let classes = classes.filter_map(|line| line.trim().rsplit_once("=> \"")?.1.strip_suffix("\","));
    let unknown: Vec<_> = classes.clone().filter(|class| !rows.contains(class)).collect();
    assert!(unknown.is_empty() && classes.count() > 8, "{unknown:?}");
}
