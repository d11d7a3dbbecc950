//! What people and programs read.

use super::*;
use crate::doctor::checks::tests::healthy;
use crate::doctor::finding::Unknown;

fn text(report: &Report) -> String {
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string()
}

fn unreadable<T>() -> finding::Known<T> {
    let why = "secrets is forbidden: User \"dev\" cannot get resource \"secrets\"".to_owned();
    Err(Unknown { why, forbidden: true })
}

#[test]
fn a_report_says_what_is_well_and_what_is_not() {
    let mut facts = healthy();
    facts.kubernetes = Ok("v1.30.0".to_owned());
    let operator = facts.operator.as_mut().unwrap().as_mut().unwrap();
    operator.certificates[1].files = unreadable();
    operator.endpoints = Ok(Vec::new());
    let report = Report::of(checks::all(&facts));
    insta::assert_snapshot!(text(&report));
    insta::assert_json_snapshot!(
        report
            .checks
            .iter()
            .filter(|check| !check.findings.is_empty())
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_exit_code_is_the_worst_that_is_known() {
    let code = |report: &Report| format!("{:?}", report.exit_code());
    let mut facts = healthy();
    assert_eq!(
        code(&Report::of(checks::all(&facts))),
        format!("{:?}", ExitCode::SUCCESS)
    );
    facts.operator.as_mut().unwrap().as_mut().unwrap().certificates[1].files = unreadable();
    assert_eq!(
        code(&Report::of(checks::all(&facts))),
        format!("{:?}", ExitCode::from(2))
    );
    facts.kubernetes = Ok("v1.30.0".to_owned());
    assert_eq!(
        code(&Report::of(checks::all(&facts))),
        format!("{:?}", ExitCode::FAILURE)
    );
    facts = healthy();
    facts.version = "0.0.1".to_owned();
    assert_eq!(
        code(&Report::of(checks::all(&facts))),
        format!("{:?}", ExitCode::SUCCESS),
        "a warning is no problem"
    );
}
