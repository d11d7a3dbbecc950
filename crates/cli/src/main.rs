//! `kubectl-coraza`, a kubectl plugin: parse the command line, run the command, turn what came of it into an exit code.

#![allow(dead_code, unused_imports, reason = "commands that use the rest are on their way")]

mod args;
mod cluster;
mod completion;
mod coreruleset;
mod diff;
mod explain;
mod generate;
mod lint;
mod output;
mod rules;
mod test;
mod yaml;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command, Generate};
use crate::output::{FAILED, Outcome, Terminal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // An error means that one is installed, and there is only this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut terminal = Terminal::new();
    let mut words = std::env::args_os();
    if completion::is_asked_for(words.next().as_ref()) {
        return exit(
            completion::write_candidates(words, terminal.out()),
            FAILED,
            &mut terminal,
        );
    }
    run(Args::parse().command, &mut terminal).await
}

async fn run(command: Command, terminal: &mut Terminal) -> ExitCode {
    match command {
        Command::Generate(Generate::Coreruleset(args)) => {
            let (out, notices) = terminal.both();
            // The Go tool fails with 1 whatever it is.
            exit(generate::run(args, out, notices), 1, terminal)
        }
        Command::Lint(args) => exit(lint::run(&args, terminal), FAILED, terminal),
        Command::Explain(args) => exit(explain::run(&args, terminal).await, FAILED, terminal),
        Command::Test(args) => exit(test::run(&args, terminal), FAILED, terminal),
        Command::Diff(args) => exit(diff::run(&args, terminal).await, FAILED, terminal),
        Command::Completion(args) => exit(completion::write_script(args.shell, terminal.out()), FAILED, terminal),
    }
}

/// The exit code of a command; `failed` is that of one that could not be run.
fn exit<T: Into<Finished>, E: Error + 'static>(result: Result<T, E>, failed: u8, terminal: &mut Terminal) -> ExitCode {
    match result {
        Ok(finished) => finished.into().0.into(),
        Err(error) => {
            terminal.fail(&error);
            ExitCode::from(failed)
        }
    }
}

/// The outcome of a command; one that has nothing to say about it went well.
struct Finished(Outcome);

impl From<()> for Finished {
    fn from((): ()) -> Self {
        Self(Outcome::Well)
    }
}

impl From<Outcome> for Finished {
    fn from(outcome: Outcome) -> Self {
        Self(outcome)
    }
}
