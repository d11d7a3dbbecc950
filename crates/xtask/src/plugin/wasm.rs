//! Building the plugin's module for `wasm32-wasip1`: by rustup's target where it can be had, else by Debian's second Rust.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::Program;
use crate::tools::debian;
use crate::{toolchain, workspace};

/// WASI preview 1 for std's sake; what Envoy offers is proxy-wasm.
const TARGET: &str = "wasm32-wasip1";

/// Which module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that is shipped.
    Shipped,
    /// The one that tests run.
    Dev,
    /// The same, with a header field that makes it trap.
    DevWithTrap,
}

impl Kind {
    const fn profile(self) -> &'static str {
        match self {
            Self::Shipped => "plugin",
            Self::Dev | Self::DevWithTrap => "plugin-dev",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Shipped => "shipped.wasm",
            Self::Dev => "dev.wasm",
            Self::DevWithTrap => "dev-with-trap.wasm",
        }
    }
}

/// A copy of the sources, and where what is built of it goes.
#[derive(Debug)]
struct Checkout {
    root: PathBuf,
    target_dir: PathBuf,
}

/// Builds the module and gives its path.
pub(crate) async fn build(kind: Kind) -> Result<PathBuf> {
    let checkout = Checkout {
        root: workspace::root().to_owned(),
        target_dir: workspace::target_dir(),
    };
    let built = build_in(&checkout, kind).await?;
    // Beside it, for the next kind is built to the same place.
    let folder = super::folder();
    std::fs::create_dir_all(&folder)?;
    let module = folder.join(kind.file());
    std::fs::copy(&built, &module).with_context(|| format!("failed to copy {}", built.display()))?;
    Ok(module)
}

/// Builds the module of a copy of these sources, in another folder and of nothing that was built before, and gives its bytes.
pub(super) async fn build_elsewhere(kind: Kind) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let checkout = Checkout {
        root: folder.path().join("some/other/checkout"),
        target_dir: folder.path().join("elsewhere"),
    };
    copy_sources(&checkout.root).await?;
    Ok(std::fs::read(build_in(&checkout, kind).await?)?)
}

/// Copies what git knows of this checkout, and what it will know of it.
async fn copy_sources(to: &Path) -> Result<()> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = Program::new("git").args(list).dir(workspace::root()).stdout().await?;
    for file in files.split_terminator('\0') {
        let (from, to) = (workspace::root().join(file), to.join(file));
        // Links, and files that are deleted and not committed yet, are nothing that a module is built of.
        if !from.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("failed to copy {file}"))?;
    }
    Ok(())
}

async fn build_in(checkout: &Checkout, kind: Kind) -> Result<PathBuf> {
    let (program, target_dir) = match toolchain::target(TARGET).await {
        Ok(()) => {
            let flags = toolchain::remapped(&checkout.root, &[]);
            let program = workspace::cargo().env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", flags);
            (program, checkout.target_dir.clone())
        }
        Err(error) => {
            eprintln!("{TARGET}: not by rustup ({error:#}); by Debian's rustc-web and its own std");
            let target_dir = checkout.target_dir.join("rustc-web");
            (debian_cargo(&checkout.root).await?, target_dir)
        }
    };
    let program = program.dir(&checkout.root).args([
        "rustc",
        "--locked",
        "--package",
        "coraza-plugin",
        "--lib",
        "--crate-type",
        "cdylib",
    ]);
    let program = program.args(["--target", TARGET, "--profile", kind.profile()]);
    let program = if kind == Kind::DevWithTrap {
        program.args(["--features", "test-trap"])
    } else {
        program
    };
    program.env("CARGO_TARGET_DIR", &target_dir).run().await?;
    Ok(target_dir.join(TARGET).join(kind.profile()).join("coraza_plugin.wasm"))
}

/// Debian's cargo for browsers, unpacked beside the system, with what it takes to build std.
async fn debian_cargo(checkout: &Path) -> Result<Program> {
    let root = debian::web_toolchain().await?;
    let sysroot = Program::new("rustc")
        .args(["--print", "sysroot"])
        .dir(workspace::root())
        .stdout()
        .await?;
    let linker = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let flags = format!(
        "-C link-self-contained=no -L native={} {}",
        root.join("usr/lib/wasm32-wasi").display(),
        toolchain::remapped(checkout, &[(&root, "/rustc-web")])
    );
    let program = Program::new(root.join("usr/bin/cargo"));
    Ok(program
        .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"))
        .env("RUSTC", root.join("usr/bin/rustc"))
        // It is of the stable channel, and a std of one's own isn't.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
        .env("CARGO_TARGET_WASM32_WASIP1_LINKER", linker)
        .env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", flags))
}
