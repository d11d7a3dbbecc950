//! What others' programs find wrong with the Dockerfiles and with our dependencies, in CI: hadolint and cargo-deny.

use anyhow::Result;

use crate::program::Program;
use crate::{tools, workspace};

/// Both Dockerfiles, by hadolint's rules.
pub(crate) async fn dockerfiles() -> Result<()> {
    Program::new(tools::hadolint().await?)
        .args(["Dockerfile.controller", "Dockerfile.cache"])
        .dir(workspace::root())
        .run()
        .await
}

/// `deny.toml`: licences, crates that nobody may bring in, and where crates come from. Not advisories: their database isn't on a package registry.
pub(crate) async fn dependencies() -> Result<()> {
    Program::new(tools::cargo::deny().await?)
        .args(["--locked", "check", "licenses", "bans", "sources"])
        .dir(workspace::root())
        .run()
        .await
}
