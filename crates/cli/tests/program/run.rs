//! Runs the program for the other tests. No test of its own.
#![allow(
    clippy::expect_used,
    dead_code,
    reason = "a test states what must hold by unwrapping it, and not every one needs all of this"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// What came of it.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// A folder of `testdata`.
pub(crate) fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

/// Runs the program in a folder of `testdata`.
pub(crate) fn run(folder: &str, arguments: &[&str]) -> Run {
    run_with_input(folder, arguments, b"")
}

/// The same with something on standard input.
pub(crate) fn run_with_input(folder: &str, arguments: &[&str], input: &[u8]) -> Run {
    start(
        Command::new(env!("CARGO_BIN_EXE_kubectl-coraza")).args(arguments),
        folder,
        input,
    )
}

/// The same as on a terminal with colours.
pub(crate) fn run_with_colours(folder: &str, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"));
    start(command.args(arguments).env("CLICOLOR_FORCE", "1"), folder, input)
}

fn start(command: &mut Command, folder: &str, input: &[u8]) -> Run {
    let mut child = command
        .current_dir(testdata(folder))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    thread::scope(|scope| {
        // A program that doesn't read all of it is free not to.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("it ends").into()
    })
}
