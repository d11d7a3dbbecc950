//! The shell blocks of the documentation, and a shell that runs a page's, one after the other, as its reader would.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{checkout, environment};
use crate::process;

/// What begins a block in the shell's language.
const FENCE: &str = "```sh";

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of the page that its first line is.
    pub line: usize,
    /// What is run.
    pub text: String,
    /// Why it isn't run.
    pub skip: Option<String>,
}

/// The blocks of a page. Those in lists are indented.
///
/// # Panics
/// If a block has another mark than `skip=`, or no end.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some(mark) = line.trim_start().strip_prefix(FENCE) else {
            continue;
        };
        let skip = match mark.trim() {
            "" => None,
            mark => Some(
                mark.strip_prefix("skip=")
                    .unwrap_or_else(|| panic!("what is `{mark}`?")),
            ),
        };
        let mut text = String::new();
        loop {
            let (_, line) = lines
                .next()
                .unwrap_or_else(|| panic!("the block at line {} has no end", at + 1));
            if line.trim() == "```" {
                break;
            }
            writeln!(text, "{}", line.get(indent..).unwrap_or_default()).expect("a string");
        }
        blocks.push(Block {
            line: at + 2,
            text,
            skip: skip.map(str::to_owned),
        });
    }
    blocks
}

/// The page whose blocks the command line's own tests run, with their output.
const TESTED_ELSEWHERE: &str = "kubectl-coraza.md";

/// The pages of `docs/`, by name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(checkout("docs")).expect("there is documentation");
    let paths = folder.map(|file| file.expect("a file in it").path());
    let mut pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name")
                .to_owned();
            (name, std::fs::read_to_string(&path).expect("a page can be read"))
        })
        .filter(|(name, _)| name != TESTED_ELSEWHERE)
        .collect();
    pages.sort();
    pages
}

/// Runs the blocks of a page in one shell.
///
/// # Errors
/// All that was said until a command failed.
///
/// # Panics
/// If there is no shell.
pub fn run(page: &str, blocks: &[Block]) -> Result<(), String> {
    let work = process::folder("page");
    let mut script = "set -euo pipefail\n".to_owned();
    for block in blocks.iter().filter(|block| block.skip.is_none()) {
        let Block { line, text, .. } = block;
        write!(script, "echo '--- docs/{page}:{line}'\n{text}").expect("a string");
    }
    let environment = environment();
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(checkout("."))
        .env("PATH", path(&work))
        .env("KUBECONFIG", &environment.cluster.kubeconfig)
        .env("WORK", &work)
        .env("RULES", environment.core_rule_set.join("rules/@owasp_crs"))
        .env("HELM_CACHE_HOME", work.join("helm/cache"))
        .env("HELM_CONFIG_HOME", work.join("helm/config"))
        .env("HELM_DATA_HOME", work.join("helm/data"))
        .output()
        .expect("there is bash");
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// The tools that a reader has, before those of the system.
fn path(work: &Path) -> std::ffi::OsString {
    let folder = work.join("bin");
    std::fs::create_dir_all(&folder).expect("made");
    let environment = environment();
    for (name, program) in [
        ("kubectl", &environment.cluster.kubectl),
        ("kubectl-coraza", &environment.kubectl_plugin),
        ("helm", &environment.helm),
    ] {
        std::os::unix::fs::symlink(program, folder.join(name)).expect("linked");
    }
    let system = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = [folder].into_iter().chain(std::env::split_paths(&system)).collect();
    std::env::join_paths(folders).expect("folders of a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_lines_and_marks() {
        let page = "# Page\n\n```sh\na\n```\n\n1. In a list:\n\n   ```sh skip=needs the moon\n   b\n     c\n   ```\n\n```yaml\nd: e\n```\n";
        let block = |line, text: &str, skip: Option<&str>| Block {
            line,
            text: text.to_owned(),
            skip: skip.map(str::to_owned),
        };
        assert_eq!(
            blocks(page),
            [block(4, "a\n", None), block(10, "b\n  c\n", Some("needs the moon"))]
        );
    }

    #[test]
    #[should_panic(expected = "what is `silently`?")]
    fn a_mark_that_means_nothing_is_refused() {
        let _ = blocks("```sh silently\na\n```\n");
    }
}
