//! `doctor`: gathers facts, lets each check look at them, and says what is wrong, how that is known, and what to do about it.

pub(crate) mod certificate;
pub(crate) mod checks;
mod deployment;
mod facts;
mod finding;
mod gather;
mod rights;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::args::Doctor;
use crate::cluster::{Cluster, ClusterError};
use crate::doctor::finding::{Checked, Finding, Severity};
use crate::doctor::gather::{Scope, gather};
use crate::output::{Document, FAILED, PrintError, Terminal, paint};

/// What `doctor` says.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    problems: usize,
    warnings: usize,
    unchecked: usize,
    checks: Vec<Checked>,
}

/// Why `doctor` could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    /// There is no way to the API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It does not answer.
    #[error("failed to reach the API server at {server}")]
    Unreachable {
        /// Where.
        server: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// Nobody takes the answer.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Runs it. The exit code is 0 if there is no problem, 1 if there is, 2 if there is none and something could not be checked.
pub(crate) async fn run(args: &Doctor, terminal: &mut Terminal) -> Result<ExitCode, DoctorError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    // Else each check would say the same, after a time-out of its own.
    cluster
        .client
        .apiserver_version()
        .await
        .map_err(|source| DoctorError::Unreachable {
            server: cluster.server.clone(),
            source,
        })?;
    let scope = Scope {
        namespace: args.cluster.namespace.clone(),
        operator_namespace: args.operator_namespace.clone(),
    };
    let report = Report::of(checks::all(&gather(&cluster.client, &scope).await));
    terminal.print(args.output.format, &report)?;
    Ok(report.exit_code())
}

impl Report {
    fn of(checks: Vec<Checked>) -> Self {
        let count = |severity| {
            checks
                .iter()
                .flat_map(|check| &check.findings)
                .filter(|finding| finding.severity == severity)
                .count()
        };
        Self {
            problems: count(Severity::Problem),
            warnings: count(Severity::Warning),
            unchecked: count(Severity::Unchecked),
            checks,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match (self.problems, self.unchecked) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::from(FAILED),
            _ => ExitCode::FAILURE,
        }
    }
}

impl Document for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Checked {
            check,
            looked_at,
            findings,
        } in &self.checks
        {
            if findings.is_empty() {
                writeln!(out, "{} {check} ({looked_at})", paint::good("ok       "))?;
            }
            for Finding {
                severity,
                what,
                evidence,
                fix,
            } in findings
            {
                match severity {
                    Severity::Problem => write!(out, "{}", paint::error("problem  "))?,
                    Severity::Unchecked => write!(out, "{}", paint::warning("unchecked"))?,
                    Severity::Warning => write!(out, "{}", paint::warning("warning  "))?,
                }
                writeln!(out, " {check}: {what}")?;
                writeln!(out, "          {} {evidence}", paint::faint("seen:"))?;
                writeln!(out, "          {} {fix}", paint::faint("fix:"))?;
            }
        }
        let Self {
            problems,
            warnings,
            unchecked,
            checks: _,
        } = self;
        writeln!(
            out,
            "\n{problems} problems, {warnings} warnings, {unchecked} not checked"
        )
    }
}

#[cfg(test)]
mod tests;
