//! `test`.

use std::path::PathBuf;

use regex::Regex;

use super::OutputFlags;

/// Run tests in go-ftw's format against rules.
///
/// Nothing is sent: each request goes through the engine that gateways run, in this process, and is answered as the web server of the Core
/// Rule Set's tests (albedo) would. A test is about rules where it says which are logged (log), with which status they answer (status), what the answer has
/// in it (response_contains), or that the connection is closed (expect_error). Where only a web server could do what is expected, such as
/// to refuse a broken request with 400, it is skipped.
///
/// Exit codes: 0 all tests passed, 1 some didn't, 2 rules or tests can't be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # All tests of a folder
  kubectl coraza test -f deploy/samples/rules.yaml docs/examples/tests

  # Those of one rule, as data
  kubectl coraza test -f deploy/samples/rules.yaml --include '^1001-' -o json \\
    docs/examples/tests")]
pub(crate) struct Test {
    /// Files of tests, and folders with them
    #[arg(required = true, value_name = "TESTS")]
    pub(crate) tests: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: super::RulesFlags,
    /// Only tests whose name (rule and number: 942100-1) matches this regular expression
    #[arg(long, short, value_name = "REGEX")]
    pub(crate) include: Option<Regex>,
    /// No tests whose name matches this regular expression
    #[arg(long, short, value_name = "REGEX")]
    pub(crate) exclude: Option<Regex>,
    /// Only tests with one of these tags; may be given several times
    #[arg(long, short = 'T', value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Say of each test how it ended, and of failed ones what was logged
    #[arg(long, short)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}
