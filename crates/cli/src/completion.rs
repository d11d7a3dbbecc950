//! Completion: scripts for shells, and candidates for kubectl's completion of its plugins. Reads nothing but the names of files
//! that a word may mean.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::engine::CompletionCandidate;

use crate::args::{Args, Shell};

/// What kubectl calls to complete `kubectl coraza ...`, with the words after `coraza`, the last of them unfinished.
pub(crate) const KUBECTL_COMPLETER: &str = "kubectl_complete-coraza";

/// The name of the program, for which shells complete.
const PROGRAM: &str = "kubectl-coraza";

/// What the shell does beside offering the candidates, as bits: <https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective>.
/// It adds no blank, because the name of a folder goes on; it doesn't offer names of files, because that is done.
const NO_SPACE: u8 = 2;
const NO_FILES: u8 = 4;

/// Writes the script of a shell.
pub(crate) fn write_script(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command().bin_name(PROGRAM), PROGRAM, &mut script);
    out.write_all(&script)
}

/// Whether the program was called by the name under which kubectl asks for candidates.
pub(crate) fn is_asked_for(program: Option<&OsString>) -> bool {
    let name = program.and_then(|program| std::path::Path::new(program).file_stem());
    name.is_some_and(|name| name == KUBECTL_COMPLETER)
}

/// Writes the candidates for the last of the words, each with what it is, and what the shell should do with them.
pub(crate) fn write_candidates(words: impl Iterator<Item = OsString>, out: &mut dyn Write) -> io::Result<()> {
    let words: Vec<_> = std::iter::once(PROGRAM.into()).chain(words).collect();
    let last = words.len().saturating_sub(1);
    let wants_flags = words
        .last()
        .is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let folder = std::env::current_dir().ok();
    let found = clap_complete::engine::complete(&mut Args::command(), words, last, folder.as_deref());
    // Of a line that can't be understood there is nothing to complete.
    let mut candidates = found.unwrap_or_default();
    // As kubectl, which offers flags only to those who begin one.
    candidates.retain(|candidate| !candidate.is_hide_set() && (wants_flags || !is_flag(candidate)));
    for candidate in &candidates {
        write_candidate(candidate, out)?;
    }
    let is_folder = |candidate: &CompletionCandidate| candidate.get_value().as_encoded_bytes().ends_with(b"/");
    let space = if candidates.iter().any(is_folder) { NO_SPACE } else { 0 };
    writeln!(out, ":{}", NO_FILES | space)
}

fn is_flag(candidate: &CompletionCandidate) -> bool {
    candidate.get_value().as_encoded_bytes().starts_with(b"-")
}

fn write_candidate(candidate: &CompletionCandidate, out: &mut dyn Write) -> io::Result<()> {
    let value = candidate.get_value().to_string_lossy();
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    match help.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => writeln!(out, "{value}\t{line}"),
        None => writeln!(out, "{value}"),
    }
}
