//! `cargo xtask ci`: what has to hold of every change. `.ci/run` calls it and nothing else.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::program::Program;
use crate::{generate, lint, oracle, plugin, test, workspace};

pub(crate) async fn run() -> Result<()> {
    let started = Instant::now();
    step(
        "formatting",
        workspace::cargo().args(["fmt", "--all", "--", "--check"]).run(),
    )
    .await?;
    let clippy = workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step("lints", clippy.run()).await?;
    step("licences and sources", lint::dependencies()).await?;
    step("Dockerfiles", lint::dockerfiles()).await?;
    step("the engine as WebAssembly", engine_as_wasm()).await?;
    step("the plugin, twice", plugin::verify_dev()).await?;
    let generated = generate::Args {
        check: true,
        documents: false,
    };
    step("generated files", generate::run(&generated)).await?;
    step("tests", test::run(&test::Args::everything())).await?;
    step("libmodsecurity", oracle::rules(&oracle::RulesArgs::default())).await?;
    step(
        "libinjection",
        oracle::libinjection(&oracle::LibinjectionArgs::default()),
    )
    .await?;
    eprintln!("all of it in {:.0?}", started.elapsed());
    Ok(())
}

/// That the engine needs nothing but WASI, where the toolchain has that target; `cargo xtask plugin` provides it where it hasn't.
async fn engine_as_wasm() -> Result<()> {
    const TARGET: &str = "wasm32-wasip1";
    let rustc = Program::new("rustc").args(["--print", "target-libdir", "--target", TARGET]);
    if !Path::new(rustc.stdout().await?.trim()).is_dir() {
        eprintln!("SKIPPED: the toolchain has no {TARGET}");
        return Ok(());
    }
    let check = ["check", "--package", "coraza-engine", "--target", TARGET];
    workspace::cargo().args(check).run().await
}

async fn step(name: &'static str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let started = Instant::now();
    eprintln!("== {name}");
    // Boxed: each step's future is large, and only one is alive.
    Box::pin(work).await.context(name)?;
    eprintln!("== {name}: {:.0?}", started.elapsed());
    Ok(())
}
