//! The shell blocks of the documentation, and a shell that runs a page's, one after the other, as its reader would.
//!
//! Each block is run somewhere: most on an API server alone (`docs`), those that need more in a mesh (`istio_docs`) or on nodes (`node_docs`), with the
//! other blocks of their page.

use std::fmt::Write as _;
use std::process::Command;

use crate::environment::{checkout, environment};
use crate::manifests::values;
use crate::{process, shell};

/// What begins a block in the shell's language.
const FENCE: &str = "```sh";

/// Where a block can be run, by the mark after [`FENCE`]. There is no mark for one that is run nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Wherever there is an API server with our kinds. No mark.
    Anywhere,
    /// Where Gateways have proxies, as in suites named `istio_*`: `needs=mesh`.
    Mesh,
    /// Where Pods run, as in suites named `node_*`: `needs=nodes`.
    Nodes,
}

impl Place {
    fn read(mark: &str) -> Option<Self> {
        match mark {
            "" => Some(Self::Anywhere),
            "needs=mesh" => Some(Self::Mesh),
            "needs=nodes" => Some(Self::Nodes),
            _ => None,
        }
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of the page that its first line is.
    pub line: usize,
    /// What is run.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file.
    pub name: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

impl Page {
    /// Whether it has a block that only a place can run.
    #[must_use]
    pub fn needs(&self, place: Place) -> bool {
        self.blocks.iter().any(|block| block.place == place)
    }
}

/// The blocks of a page. Those in lists are indented.
///
/// # Panics
/// If a block has a mark that means nothing, or no end.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some(mark) = line.trim_start().strip_prefix(FENCE) else {
            continue;
        };
        let mark = mark.trim();
        let place = Place::read(mark).unwrap_or_else(|| panic!("what is `{mark}`?"));
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
            place,
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
pub fn pages() -> Vec<Page> {
    let folder = std::fs::read_dir(checkout("docs")).expect("there is documentation");
    let paths = folder.map(|file| file.expect("a file in it").path());
    let mut pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            Page {
                name: name.to_owned(),
                blocks: blocks(&std::fs::read_to_string(&path).expect("a page can be read")),
            }
        })
        .filter(|page| page.name != TESTED_ELSEWHERE)
        .collect();
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!pages.is_empty(), "there is no page");
    pages
}

/// Runs the blocks of a page that can be run here in one shell, as its reader would, and gives how many there were.
///
/// # Errors
/// All that was said until a command failed.
///
/// # Panics
/// If there is no shell.
pub fn run(page: &Page, here: Place) -> Result<usize, String> {
    let work = process::folder("page");
    // A reader ends what runs in the background, too.
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    let can_be_run = |block: &&Block| [Place::Anywhere, here].contains(&block.place);
    let blocks: Vec<&Block> = page.blocks.iter().filter(can_be_run).collect();
    for Block { line, text, .. } in &blocks {
        write!(script, "echo '--- docs/{}:{line}'\n{text}", page.name).expect("a string");
    }
    let environment = environment();
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(checkout("."))
        .env("PATH", shell::path(&work.join("bin")))
        .env("KUBECONFIG", &environment.cluster.kubeconfig)
        // What pages let their readers choose.
        .env("WORK", &work)
        .env("RULES", environment.core_rule_set.join("rules/@owasp_crs"))
        .env("VALUES", &values()["go"])
        .env("HELM_CACHE_HOME", work.join("helm/cache"))
        .env("HELM_CONFIG_HOME", work.join("helm/config"))
        .env("HELM_DATA_HOME", work.join("helm/data"))
        .output()
        .expect("there is bash");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() {
        eprintln!("{said}");
        return Ok(blocks.len());
    }
    Err(format!("docs/{}: {}\n{said}", page.name, output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_lines_and_marks() {
        let page = "# Page\n\n```sh\na\n```\n\n1. In a list:\n\n   ```sh needs=nodes\n   b\n     c\n   ```\n\n```yaml\nd: e\n```\n\n```sh needs=mesh\nf\n```\n";
        let block = |line, text: &str, place| Block {
            line,
            text: text.to_owned(),
            place,
        };
        assert_eq!(
            blocks(page),
            [
                block(4, "a\n", Place::Anywhere),
                block(10, "b\n  c\n", Place::Nodes),
                block(19, "f\n", Place::Mesh),
            ]
        );
    }

    #[test]
    #[should_panic(expected = "what is `skip`?")]
    fn a_mark_that_means_nothing_is_refused() {
        let _ = blocks("```sh skip\na\n```\n");
    }

    #[test]
    fn the_tests_that_the_security_model_names_are_there() {
        let text = std::fs::read_to_string(checkout("docs/security.md")).expect("a page");
        let mut found = 0;
        // `file::function`, of this crate's suites.
        for name in text.split('`').skip(1).step_by(2) {
            let Some((file, function)) = name.split_once("::") else {
                continue;
            };
            let Ok(suite) = std::fs::read_to_string(checkout(&format!("e2e/tests/{file}.rs"))) else {
                continue;
            };
            assert!(suite.contains(&format!("fn {function}()")), "{name}");
            found += 1;
        }
        assert!(found > 20, "only {found}");
    }
}
