//! `kubectl-coraza`, a kubectl plugin: parse the command line, run the command, turn what came of it into an exit code.

mod args;
mod caches;
mod cluster;
mod completion;
mod coreruleset;
mod diff;
mod doctor;
mod explain;
mod generate;
mod lint;
mod output;
mod rules;
mod status;
mod table;
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
    match Args::try_parse() {
        Ok(args) => run(args.command, &mut terminal).await,
        Err(error) => {
            // Help is no error, and goes to standard output. If nobody reads it, there is nobody to tell.
            let _ = error.print();
            let is_generate = std::env::args_os().nth(1).is_some_and(|command| command == "generate");
            match error.exit_code() {
                0 => ExitCode::SUCCESS,
                _ if is_generate => ExitCode::from(GENERATE_FAILED),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}

/// The exit code of `generate` where it fails, whatever it is: that of the Go tool.
const GENERATE_FAILED: u8 = 1;

async fn run(command: Command, terminal: &mut Terminal) -> ExitCode {
    match command {
        Command::Generate(Generate::Coreruleset(args)) => {
            let (out, notices) = terminal.both();
            exit(generate::run(args, out, notices), GENERATE_FAILED, terminal)
        }
        Command::Lint(args) => exit(lint::run(&args, terminal), FAILED, terminal),
        Command::Explain(args) => exit(explain::run(&args, terminal).await, FAILED, terminal),
        Command::Test(args) => exit(test::run(&args, terminal), FAILED, terminal),
        Command::Diff(args) => exit(diff::run(&args, terminal).await, FAILED, terminal),
        Command::Status(args) => exit(status::run(&args, terminal).await, FAILED, terminal),
        Command::Doctor(args) => match doctor::run(&args, terminal).await {
            Ok(code) => code,
            Err(error) => exit::<(), _>(Err(error), FAILED, terminal),
        },
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
