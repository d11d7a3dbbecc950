//! `kubectl-coraza`, run as a person runs it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::environment;

/// What it printed, and its exit code.
#[derive(Debug)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Its standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ends by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs it with all rights.
///
/// # Panics
/// If it can't be run.
#[must_use]
pub fn run(args: &[&str]) -> Answer {
    run_as(&environment().cluster.kubeconfig, args)
}

/// Runs it with a kubeconfig.
///
/// # Panics
/// If it can't be run.
#[must_use]
pub fn run_as(kubeconfig: &Path, args: &[&str]) -> Answer {
    let output = Command::new(&environment().kubectl_plugin)
        .env("KUBECONFIG", kubeconfig)
        .args(args)
        .output()
        .expect("kubectl-coraza can be run");
    output.into()
}

/// As [`run`], beside the test.
///
/// # Panics
/// If it can't be run.
#[must_use]
pub fn start(args: &[&str]) -> tokio::task::JoinHandle<Answer> {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    tokio::task::spawn_blocking(move || run(&args.iter().map(String::as_str).collect::<Vec<_>>()))
}
