//! `kubectl-coraza`, a kubectl plugin: `kubectl coraza generate coreruleset`. It never talks to a cluster.

mod args;
mod coreruleset;
mod generate;
mod yaml;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args::Command::Generate(args::Generate::Coreruleset(coreruleset)) = args::Args::parse().command;
    match generate::run(
        coreruleset,
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads standard error, the exit code still says it.
            let _ = writeln!(std::io::stderr(), "Error: {}", generate::chain(&error));
            ExitCode::FAILURE
        }
    }
}
