//! The shell that a person would type into: a line is printed, run by bash, and what it answers is printed and returned.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::program::Program;
use crate::workspace;

/// How many lines of an answer are printed; all of it is returned.
const SHOWN: usize = 40;

/// A shell's variables; every line is a shell of its own with these.
#[derive(Debug, Default, Clone)]
pub(super) struct Shell {
    variables: BTreeMap<String, OsString>,
}

impl Shell {
    /// Sets a variable and prints how a person would.
    pub(super) fn export(&mut self, name: &str, value: impl Into<OsString>) {
        let value = value.into();
        println!("$ export {name}={}", value.to_string_lossy());
        self.variables.insert(name.to_owned(), value);
    }

    /// Puts folders in front of the path in which programs are found.
    pub(super) fn add_to_path(&mut self, folders: &[&Path]) -> Result<()> {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = folders
            .iter()
            .map(|&folder| folder.to_owned())
            .chain(std::env::split_paths(&old));
        let added = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(":");
        println!("$ export PATH={added}:$PATH");
        self.variables.insert("PATH".to_owned(), std::env::join_paths(all)?);
        Ok(())
    }

    /// A program with the shell's variables.
    pub(super) fn program(&self, program: Program) -> Program {
        let program = program.dir(workspace::root());
        self.variables
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value))
    }

    /// Runs a line; its failure is an error that shows what it said.
    pub(super) async fn run(&self, line: &str) -> Result<String> {
        println!("$ {line}");
        let started = Instant::now();
        let answer = self.quietly(line).await?;
        let lines: Vec<&str> = answer.lines().collect();
        for line in lines.iter().take(SHOWN) {
            println!("{line}");
        }
        if lines.len() > SHOWN {
            println!("… and {} more lines", lines.len() - SHOWN);
        }
        println!("  ({} ms)", started.elapsed().as_millis());
        Ok(answer)
    }

    /// As [`run`](Self::run), without printing anything.
    pub(super) async fn quietly(&self, line: &str) -> Result<String> {
        let bash = Program::new("bash").args(["-euo", "pipefail", "-c", line]);
        self.program(bash).stdout().await
    }

    /// Sets a variable to what a command answers.
    pub(super) async fn set(&mut self, name: &str, command: &str) -> Result<()> {
        println!("$ export {name}=$({command})");
        let value = self.quietly(command).await?;
        self.variables.insert(name.to_owned(), value.trim_end().into());
        Ok(())
    }

    /// A variable's value, if it is text.
    pub(super) fn get(&self, name: &str) -> Result<&str> {
        self.variables
            .get(name)
            .and_then(|value| value.to_str())
            .with_context(|| format!("${name} isn't set"))
    }
}
