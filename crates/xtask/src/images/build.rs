//! Building our two programs so that they need nothing of the file system that they are in: linked statically with musl, by zig's compiler and linker for
//! whichever machine, with the list of their crates in them (`cargo auditable`).

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{toolchain, tools, workspace};

/// How much they are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As tests run them.
    Dev,
    /// As they are shipped.
    Release,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    /// The folder that cargo builds it in.
    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// A machine, by Go's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Platform {
    Amd64,
    Arm64,
}

impl Platform {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// By Rust's name.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }
}

/// The section of a program that has the list of its crates (`cargo auditable`).
const CRATES: &[u8] = b".dep-v0";

/// What the images have.
pub(crate) const IN_IMAGES: [&str; 2] = ["coraza-controller", "coraza-cache"];

/// Builds the programs of some packages, each of the package's name, and gives the folder that they are in.
pub(crate) async fn programs(profile: Profile, platform: Platform, packages: &[&str]) -> Result<PathBuf> {
    let target = platform.target();
    toolchain::target(target).await?;
    let program = tools::cargo::static_build().await?.program()?;
    let program = match profile {
        Profile::Dev => program,
        // The same bytes on every machine. Files and lines of what panics stay; a debugger would want the sources anyway.
        Profile::Release => {
            let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
            let flags = format!("{} -C strip=debuginfo", toolchain::remapped(workspace::root(), &[]));
            program.env(&variable, flags)
        }
    };
    program
        .args(["--locked", "--bins", "--target", target, "--profile", profile.name()])
        .args(packages.iter().map(|package| format!("--package={package}")))
        .run()
        .await?;
    let folder = workspace::target_dir().join(target).join(profile.folder());
    for package in packages {
        let path = folder.join(package);
        let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        ensure!(
            bytes.windows(CRATES.len()).any(|window| window == CRATES),
            "{} doesn't say what it is made of",
            path.display()
        );
        ensure!(
            !asks_for_a_loader(&bytes),
            "{} isn't static: an image without a file system couldn't run it",
            path.display()
        );
    }
    Ok(folder)
}

/// Whether an ELF program of 64 bits has a program header of type `PT_INTERP`, which names the loader that it needs (System V ABI, chapter 5).
fn asks_for_a_loader(elf: &[u8]) -> bool {
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
    let number = |at: usize, width: usize| -> usize {
        let bytes = elf.get(at..at + width).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|entry| {
        let at = table.saturating_add(size.saturating_mul(entry));
        elf.get(at..at.saturating_add(4)) == Some(PT_INTERP.as_slice())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_told() {
        // This one is linked as Rust does by default.
        let this = std::fs::read("/proc/self/exe").unwrap();
        assert!(asks_for_a_loader(&this));
        let mut without = this;
        let table = usize::try_from(u64::from_le_bytes(without[32..40].try_into().unwrap())).unwrap();
        let size = usize::from(u16::from_le_bytes(without[54..56].try_into().unwrap()));
        let count = usize::from(u16::from_le_bytes(without[56..58].try_into().unwrap()));
        for entry in 0..count {
            without[table + entry * size] = 0;
        }
        assert!(!asks_for_a_loader(&without));
        assert!(!asks_for_a_loader(b"\x7fELF"));
    }
}
