//! `completion`.

use clap::ValueEnum;

/// Print the completion script of a shell, for `kubectl-coraza`.
///
/// kubectl completes its plugins through a program `kubectl_complete-NAME`: a link of that name to this one is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # bash: complete kubectl-coraza in this shell
  source <(kubectl coraza completion bash)

  # kubectl: complete `kubectl coraza`, where kubectl's own completion is set up
  ln -s \"$(command -v kubectl-coraza)\" ~/bin/kubectl_complete-coraza")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell whose completion is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}
