//! `cargo xtask generate`: writes the files that are generated from code, or checks that they are current.

mod api;
mod document;
mod metrics;
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
    /// Only the parts of documents, from what is generated or tested already: seconds
    #[arg(long)]
    pub(crate) documents: bool,
}

/// The folders that hold nothing but generated files.
const GENERATED: [&str; 2] = ["deploy/crds", "crates/proto/src/gen"];

/// The chart's values with their comments.
const VALUES: &str = "charts/coraza-kubernetes-operator/values.yaml";

/// A document of which a part is generated.
struct Document {
    path: &'static str,
    part: &'static str,
    generated: fn() -> Result<String>,
}

const DOCUMENTS: [Document; 3] = [
    Document {
        path: "charts/coraza-kubernetes-operator/README.md",
        part: "values",
        generated: || values::table(&read(VALUES)?),
    },
    Document {
        path: "docs/metrics.md",
        part: "metrics",
        generated: || {
            let expositions = metrics::SOURCES.map(|(by, file)| Ok((by, read(file)?)));
            metrics::table(&expositions.into_iter().collect::<Result<Vec<_>>>()?)
        },
    },
    Document {
        path: "docs/api-reference.md",
        part: "api",
        generated: || {
            let crds = api::KINDS.map(|plural| read(&format!("deploy/crds/waf.k8s.coraza.io_{plural}.yaml")));
            api::reference(&crds.into_iter().collect::<Result<Vec<_>>>()?)
        },
    },
];

/// Generates in place, compares, and with `--check` puts back what was there: one way to generate, whoever asks.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let before = contents()?;
    let generated = generate(args).await;
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
async fn generate(args: &Args) -> Result<()> {
    if !args.documents {
        let [crds, proto] = if args.check { built().await? } else { alone() };
        crds.args(["--out", "deploy/crds"]).dir(workspace::root()).run().await?;
        proto.env("UPDATE_GENERATED", "1").stdout().await?;
    }
    for Document { path, part, generated } in DOCUMENTS {
        let document = document::splice(&read(path)?, part, &generated()?);
        std::fs::write(
            workspace::root().join(path),
            document.with_context(|| format!("failed to write {path}"))?,
        )?;
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    let path = workspace::root().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
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
    let paths = DOCUMENTS.map(|document| document.path);
    let documents = paths.map(|path| (path, std::fs::read(workspace::root().join(path))));
    let mut contents: Contents = documents
        .into_iter()
        .filter_map(|(path, bytes)| Some((path.into(), bytes.ok()?)))
        .collect();
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
