//! `cargo xtask plugin`: builds the plugin for Envoy and packages it.
//!
//! Written below `target/xtask/plugin`: `coraza.wasm`, `oci/` (an OCI image layout) and `coraza-plugin.tar` (the same as one file). The same
//! sources give the same bytes.

mod wasm;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::oci::{self, Compression, Image, Recipe, Tagged, Tar};
use crate::workspace;

pub(crate) use self::wasm::{Kind, build};

/// The size to stay below (issue 6): every gateway pulls it.
const MOST_BYTES: usize = 3 << 20;

/// Where Istio's agent looks for the module, in any folder of the last layer.
const MODULE: &str = "plugin.wasm";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The module for tests: built in a fraction of the time, less optimised
    #[arg(long)]
    dev: bool,
    /// Build it a second time from a copy of the sources in another folder, and fail if that isn't the same to the byte
    #[arg(long)]
    verify: bool,
    /// Push the image there: registry/repository:tag
    #[arg(long, value_name = "REF")]
    push: Option<String>,
}

/// Where packages are written.
pub(crate) fn folder() -> PathBuf {
    workspace::work_dir().join("plugin")
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let kind = if args.dev { Kind::Dev } else { Kind::Shipped };
    let module = build(kind).await?;
    let bytes = std::fs::read(&module).with_context(|| format!("failed to read {}", module.display()))?;
    if kind == Kind::Shipped && bytes.len() > MOST_BYTES {
        bail!("the module has {} bytes, more than {MOST_BYTES}", bytes.len());
    }
    if can_trap(&bytes) {
        bail!("the module has the feature test-trap, which nobody may be given");
    }
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("coraza.wasm"), &bytes)?;
    let image = image(&bytes)?;
    image.write(&folder, "coraza-plugin", None)?;
    println!("module    {}", folder.join("coraza.wasm").display());
    println!("size      {} bytes", bytes.len());
    println!("sha256    {:x}", Sha256::digest(&bytes));
    println!("layout    {}", folder.join("oci").display());
    println!("archive   {}", folder.join("coraza-plugin.tar").display());
    println!("manifest  {}", image.digest());
    if args.verify {
        verify(kind, &bytes).await?;
    }
    if let Some(reference) = &args.push {
        oci::push(&image, reference).await?;
    }
    Ok(())
}

/// What CI asks for: that the module which the tests run with is the same wherever it is built.
pub(crate) async fn verify_dev() -> Result<()> {
    let module = build(Kind::Dev).await?;
    verify(Kind::Dev, &std::fs::read(module)?).await
}

/// Checks that a copy of the sources somewhere else makes the same module.
async fn verify(kind: Kind, module: &[u8]) -> Result<()> {
    let other = wasm::build_elsewhere(kind).await?;
    let digests = [module, &other].map(|bytes| format!("{:x}", Sha256::digest(bytes)));
    let [here, there] = &digests;
    if here != there {
        bail!("the same sources make another module in another folder: sha256 {here} here and {there} there");
    }
    println!("verified  the same sources in another folder make the same module");
    Ok(())
}

/// The module as an image in the form that Istio's agent and image tools alike accept: a tar in gzip that holds `plugin.wasm`.
pub(crate) fn image(module: &[u8]) -> Result<Tagged> {
    let mut files = Tar::default();
    files.file(MODULE, 0o644, module)?;
    // Tools that know of no wasm take it for an image of the commonest platform, as those that `docker build` makes of it.
    let image = Image::new(Recipe {
        architecture: "amd64",
        config: json!({}),
        annotations: json!({ "module.wasm.image/variant": "compat", "org.opencontainers.image.title": "coraza-plugin" }),
        compression: Compression::best(),
        files,
    })?;
    Ok(Tagged::new(vec![image]))
}

/// Whether the module has the header field that makes it trap: only with the feature `test-trap`.
fn can_trap(module: &[u8]) -> bool {
    const FIELD: &[u8] = b"x-coraza-test-trap";
    module.windows(FIELD.len()).any(|window| window == FIELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_with_the_trap_is_told() {
        assert!(can_trap(b"..x-coraza-test-trap.."));
        assert!(!can_trap(b"..x-coraza-test.."));
        // The name is the one that the feature looks for.
        let source = std::fs::read(workspace::root().join("crates/plugin/src/trap.rs")).unwrap();
        assert!(can_trap(&source));
    }
}
