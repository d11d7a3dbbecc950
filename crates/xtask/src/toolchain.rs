//! What every build for another target than the machine's own needs: the target, and flags that keep the machine out of what is built.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::program::Program;

/// How long rustup may take: it waits for a network that isn't there for much longer.
const RUSTUP_SECONDS: &str = "120";

/// Sees to it that the toolchain has a target.
pub(crate) async fn target(target: &str) -> Result<()> {
    let installed = Program::new("rustup")
        .args(["target", "list", "--installed"])
        .stdout()
        .await?;
    if installed.lines().any(|installed| installed == target) {
        eprintln!("{target}: rustup's");
        return Ok(());
    }
    eprintln!("{target}: adding it with rustup (seconds)");
    Program::new("timeout")
        .args([RUSTUP_SECONDS, "rustup", "target", "add", target])
        .stdout()
        .await?;
    Ok(())
}

/// Flags for rustc that turn paths of this machine and user, which would be in the messages of panics, into the same everywhere: the same sources make
/// the same bytes.
pub(crate) fn remapped(root: &Path, others: &[(&Path, &str)]) -> String {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    );
    let mut flags = format!(
        "--remap-path-prefix={}=/coraza --remap-path-prefix={}=/cargo",
        root.display(),
        home.display()
    );
    for (path, name) in others {
        flags.push_str(&format!(" --remap-path-prefix={}={name}", path.display()));
    }
    flags
}
