//! `cargo xtask generate`: writes the files that are generated from code, or checks that they are current.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail, naming the files, if one is stale
    #[arg(long)]
    pub(crate) check: bool,
}

/// The folders that hold nothing but generated files.
const GENERATED: [&str; 2] = ["deploy/crds", "crates/proto/src/gen"];

/// Generates in place, compares, and with `--check` puts back what was there: one way to generate, whoever asks.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let before = contents()?;
    let generated = generate().await;
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

async fn generate() -> Result<()> {
    workspace::cargo()
        .args([
            "run",
            "--quiet",
            "--package=coraza-api",
            "--bin=crdgen",
            "--",
            "--out",
            "deploy/crds",
        ])
        .run()
        .await?;
    let proto = workspace::cargo().args(["test", "--quiet", "--package=coraza-proto", "--test=bootstrap"]);
    proto.env("UPDATE_GENERATED", "1").stdout().await?;
    Ok(())
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

fn contents() -> Result<Contents> {
    let mut contents = Contents::new();
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
