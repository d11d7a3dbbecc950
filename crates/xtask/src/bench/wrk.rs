//! Load by wrk, and what it says of it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::program::Program;

/// wrk, on one core of its own.
pub(super) struct Wrk {
    pub(super) program: PathBuf,
    pub(super) libraries: PathBuf,
    pub(super) core: usize,
}

/// Connections that each have one request under way: enough to keep a core busy.
const CONNECTIONS: usize = 64;
/// How long each run takes. Shorter ones differ by more than what is to be told apart.
const SECONDS: usize = 5;

impl Wrk {
    /// Requests for `url` with these headers that were answered. An answer that isn't what it should be is an error, not a figure.
    pub(super) async fn requests(&self, url: &str, headers: &str) -> Result<f64> {
        let core = self.core.to_string();
        let mut program = Program::new("taskset").args(["-c", &core]).arg(&self.program);
        program = program.env("LD_LIBRARY_PATH", &self.libraries);
        program = program.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s")]);
        for header in headers.lines() {
            program = program.arg("-H").arg(header);
        }
        let report = program.arg(url).stdout().await?;
        answered(&report).with_context(|| format!("wrk reported of {url}:\n{report}"))
    }
}

/// The number in a report of wrk's, if nothing went wrong.
fn answered(report: &str) -> Result<f64> {
    for wrong in ["Socket errors", "Non-2xx or 3xx"] {
        if let Some(line) = report.lines().find(|line| line.contains(wrong)) {
            bail!("{}", line.trim());
        }
    }
    let mut words = report
        .lines()
        .filter_map(|line| line.trim().split_once(" requests in "));
    Ok(words.next().context("no number of requests")?.0.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_runs_count() {
        let report = "Running 5s test\n  100 requests in 5.00s\nRequests/sec:  91234.56\nTransfer/sec: 1MB\n";
        assert_eq!(answered(report).unwrap(), 100.0);
        for wrong in ["  Socket errors: connect 0, read 1", "  Non-2xx or 3xx responses: 5"] {
            assert!(answered(&format!("{report}{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(answered("").is_err());
    }
}
