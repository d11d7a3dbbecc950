//! `cargo xtask ftw` and `cargo xtask vectors`: the conformance suites of the WAF engine, by the program that also is its test
//! (`crates/engine/examples/conformance`).

use std::path::PathBuf;

use anyhow::Result;

use crate::tools;
use crate::workspace;

/// Which tests of the Core Rule Set, and with which rules. Without a path, all: those of 4.25.0, and those of `../shared/data` where that is there.
#[derive(clap::Args)]
pub(crate) struct FtwArgs {
    /// Recorded tests, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl", group = "tests")]
    data: Option<PathBuf>,
    /// A folder of YAML files, as the Core Rule Set has them
    #[arg(long, value_name = "DIR", group = "tests")]
    crs: Option<PathBuf>,
    /// A folder with attacks.jsonl, which have to be blocked at paranoia level 1, and benign.jsonl, which must not be
    #[arg(long, value_name = "DIR", group = "tests")]
    corpus: Option<PathBuf>,
    /// The Core Rule Set: a folder with crs-setup.conf.example and rules/
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Only tests whose name contains this, with what was logged
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct VectorsArgs {
    /// A folder with operators/, transformations/ and regression/ [default: ../shared/data/vectors]
    dir: Option<PathBuf>,
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) async fn ftw(args: FtwArgs) -> Result<()> {
    let paths = [
        ("--data", args.data),
        ("--crs", args.crs),
        ("--corpus", args.corpus),
        ("--rules", args.rules),
    ];
    let mut words = vec!["ftw".to_owned().into()];
    for (flag, path) in paths {
        if let Some(path) = path {
            words.extend([flag.into(), std::path::absolute(path)?.into_os_string()]);
        }
    }
    run(words, args.only).await
}

pub(crate) async fn vectors(args: VectorsArgs) -> Result<()> {
    let mut words = vec!["vectors".to_owned().into()];
    if let Some(dir) = args.dir {
        words.push(std::path::absolute(dir)?.into_os_string());
    }
    run(words, args.only).await
}

async fn run(mut words: Vec<std::ffi::OsString>, only: Option<String>) -> Result<()> {
    if let Some(only) = only {
        words.extend(["--only".into(), only.into()]);
    }
    let program = workspace::cargo().args([
        "run",
        "--quiet",
        "--package",
        "coraza-engine",
        "--example",
        "conformance",
        "--",
    ]);
    program
        .args(words)
        .env("CORAZA_CORE_RULE_SET", tools::core_rule_set().await?)
        .run()
        .await
}
