//! The command line: one file per command, and what commands share.

mod cluster;
mod completion;
mod diff;
mod doctor;
pub(crate) mod duration;
mod explain;
mod generate;
mod lint;
mod output;
mod rules;
mod status;
mod test;

use clap::{Parser, Subcommand};

pub(crate) use cluster::ClusterFlags;
pub(crate) use completion::{Completion, Shell};
pub(crate) use diff::Diff;
pub(crate) use doctor::Doctor;
pub(crate) use explain::{Explain, Part, ResponseFlags};
pub(crate) use generate::{Coreruleset, Generate};
pub(crate) use lint::Lint;
pub(crate) use output::{Format, OutputFlags};
pub(crate) use rules::RulesFlags;
pub(crate) use status::{Status, StatusFormat};
pub(crate) use test::Test;

/// Tools for the Coraza Kubernetes Operator.
///
/// Exit codes: 0 all is well, 1 something was found (each command says what), 2 the command could not be run. `generate` fails
/// with 1, as the Go tool does.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-coraza",
    bin_name = "kubectl coraza",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub(crate) enum Command {
    /// Write manifests.
    #[command(subcommand)]
    Generate(Generate),
    Lint(Lint),
    Explain(Explain),
    Test(Test),
    Diff(Diff),
    Status(Box<Status>),
    Doctor(Box<Doctor>),
    /// Print the completion script of a shell.
    Completion(Completion),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_makes_sense() {
        super::Args::command().debug_assert();
    }
}
