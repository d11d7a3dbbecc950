//! `cargo xtask generate`: writes the files that are generated from code, or checks that they are current.

mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::program::Program;
use crate::workspace::{self, Tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail, naming the files, if one is stale
    #[arg(long)]
    pub(crate) check: bool,
}

/// The folders that hold nothing but generated files.
const GENERATED: [&str; 2] = ["deploy/crds", "crates/proto/src/gen"];

/// The chart's values with their comments, and where the table of them is.
const VALUES: &str = "charts/coraza-kubernetes-operator/values.yaml";
const VALUES_TABLE: &str = "charts/coraza-kubernetes-operator/README.md";

/// Generates in place, compares, and with `--check` puts back what was there: one way to generate, whoever asks.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let before = contents()?;
    let generated = generate(args.check).await;
    let after = contents()?;
    let stale = differing(&before, &after);
    if args.check {
        restore(&before, &after)?;
    }
    generated?;
    if after.is_empty() {
        bail!("nothing was generated");
    }
    for path in &stale {
        println!("{} {}", if args.check { "stale" } else { "wrote" }, path.display());
    }
    if args.check && !stale.is_empty() {
        bail!(
            "{} generated files are stale: run `cargo xtask generate` and commit them",
            stale.len()
        );
    }
    Ok(())
}

/// Writes all generated files.
async fn generate(check: bool) -> Result<()> {
    let [crds, proto] = if check { built().await? } else { alone() };
    crds.args(["--out", "deploy/crds"]).dir(workspace::root()).run().await?;
    proto.env("UPDATE_GENERATED", "1").stdout().await?;
    document_values()
}

fn document_values() -> Result<()> {
    let readme = workspace::root().join(VALUES_TABLE);
    let (before, values) = (read(&readme)?, read(&workspace::root().join(VALUES))?);
    std::fs::write(&readme, values::document(&before, &values)?)?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// The generators, each built without the crates that use what it generates: those may not compile before it has.
fn alone() -> [Program; 2] {
    let crds = workspace::cargo().args(["run", "--quiet", "--package=coraza-api", "--bin=crdgen", "--"]);
    let proto = workspace::cargo().args(["test", "--quiet", "--package=coraza-proto", "--test=bootstrap"]);
    [crds, proto]
}

/// The generators of the workspace's build: alone, their dependencies would be compiled again, with fewer features.
async fn built() -> Result<[Program; 2]> {
    let build = workspace::build(Tests::Files(vec!["bootstrap"])).await?;
    let crds = Program::new(build.program("crdgen")?);
    let proto = build.tests.first().context("the build made no test `bootstrap`")?;
    Ok([crds, Program::new(&proto.executable).dir(&proto.directory)])
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

fn contents() -> Result<Contents> {
    let readme = std::fs::read(workspace::root().join(VALUES_TABLE));
    let mut contents: Contents = readme.into_iter().map(|bytes| (VALUES_TABLE.into(), bytes)).collect();
    for folder in GENERATED {
        let Ok(entries) = std::fs::read_dir(workspace::root().join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            contents.insert(
                path.strip_prefix(workspace::root()).map(Path::to_owned).unwrap_or(path),
                bytes,
            );
        }
    }
    Ok(contents)
}

/// The files that were made, changed or removed.
fn differing(before: &Contents, after: &Contents) -> Vec<PathBuf> {
    let mut paths: Vec<&PathBuf> = before
        .keys()
        .chain(after.keys())
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().cloned().collect()
}

fn restore(before: &Contents, after: &Contents) -> Result<()> {
    for path in differing(before, after) {
        let file = workspace::root().join(&path);
        match before.get(&path) {
            Some(bytes) => std::fs::write(&file, bytes)?,
            None => std::fs::remove_file(&file)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_changed_or_removed_is_stale() {
        let contents = |files: &[(&str, &str)]| {
            files
                .iter()
                .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
                .collect::<Contents>()
        };
        let before = contents(&[("same", "1"), ("changed", "1"), ("removed", "1")]);
        let after = contents(&[("same", "1"), ("changed", "2"), ("made", "1")]);
        assert_eq!(
            differing(&before, &after),
            ["changed", "made", "removed"].map(PathBuf::from)
        );
    }
}
