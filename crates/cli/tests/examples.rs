//! The examples of each command's help and of `docs/kubectl-coraza.md`, run as a reader would run them, in the checkout.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "program/run.rs"]
mod program;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use program::Run;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A reader's shell: `kubectl` runs plugins as kubectl does, there is a home and no cluster.
struct Shell {
    home: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_kubectl-coraza"), bin.join("kubectl-coraza")).expect("a link");
        let kubectl = bin.join("kubectl");
        std::fs::write(
            &kubectl,
            "#!/bin/sh\nplugin=$1\nshift\nexec kubectl-\"$plugin\" \"$@\"\n",
        )
        .expect("written");
        std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).expect("executable");
        Self { home }
    }

    fn run(&self, script: &str) -> Run {
        let path = std::env::var("PATH").unwrap_or_default();
        let home = self.home.path();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script])
            .current_dir(checkout())
            .env("PATH", format!("{}/bin:{path}", home.display()))
            .env("KUBECONFIG", home.join("absent"));
        // Go keeps what it downloads where the tests around this one find it.
        if script.contains("~/") {
            bash.env("HOME", home);
        }
        bash.output().expect("bash runs").into()
    }
}

/// The commands that the program's own help lists.
fn commands(shell: &Shell) -> Vec<String> {
    let help = shell.run("kubectl coraza --help").out;
    let list = help.split_once("Commands:\n").expect("a list of commands").1;
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn the_examples_of_the_help_run() {
    let shell = Shell::new();
    let commands = commands(&shell);
    assert!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        let name = if command == "generate" {
            "generate coreruleset"
        } else {
            &command
        };
        let help = shell.run(&format!("kubectl coraza {name} --help")).out;
        let examples = help
            .split_once("Examples:\n")
            .unwrap_or_else(|| panic!("{name} has no examples"))
            .1;
        let examples = examples.replace("\\\n", " ");
        let mut about = "";
        for line in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                about = line;
                continue;
            }
            let run = shell.run(line);
            // There is no cluster here: all that can be seen is that the command line is understood.
            let needs_cluster = matches!(name, "status" | "doctor") || about.contains("cluster");
            let expected: &[i32] = match name {
                _ if needs_cluster => &[1, 2],
                "diff" => &[1],
                _ => &[0],
            };
            assert!(
                expected.contains(&run.code),
                "{line}: {}\n{}{}",
                run.code,
                run.out,
                run.err
            );
            assert!(!run.err.contains("Usage:"), "{line}: {}", run.err);
        }
    }
}

/// The blocks of a chapter: language and text.
fn blocks(chapter: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), text.join("\n")));
        }
    }
    blocks
}

#[test]
fn the_blocks_of_the_chapter_run_and_print_what_it_says() {
    let shell = Shell::new();
    let chapter = std::fs::read_to_string(checkout().join("docs/kubectl-coraza.md")).expect("the chapter");
    let blocks = blocks(&chapter);
    assert!(blocks.len() > 8, "the chapter has blocks");
    let has_go = Command::new("go").arg("version").output().is_ok();
    for (at, (language, script)) in blocks.iter().enumerate().filter(|(_, (language, _))| language == "sh") {
        if script.contains("go mod") && !has_go {
            println!("SKIPPED: a block of docs/kubectl-coraza.md needs Go");
            continue;
        }
        // What a reader would see; a finding is no failure.
        let run = shell.run(&format!("set +e\n{script}"));
        assert!(
            matches!(run.code, 0 | 1),
            "{language}: {script}\n{}{}",
            run.out,
            run.err
        );
        assert!(
            !run.err.contains("Error:") && !run.err.contains("not found"),
            "{script}\n{}",
            run.err
        );
        if let Some((language, shown)) = blocks.get(at + 1)
            && language == "text"
        {
            assert_eq!(run.out.trim_end(), shown.trim_end(), "{script}");
        }
    }
}
