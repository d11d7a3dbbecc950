//! Programs of Debian's, unpacked beside the system instead of installed into it: peers for benchmarks.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::Store;
use crate::program::Program;

/// Programs and the libraries that they need and the system may not have.
const PACKAGES: [&str; 4] = ["nginx", "nginx-light", "wrk", "libluajit-5.1-2"];

/// What load is made with, and against what.
pub(crate) struct Peers {
    pub(crate) nginx: PathBuf,
    pub(crate) wrk: PathBuf,
    /// For `LD_LIBRARY_PATH`.
    pub(crate) libraries: PathBuf,
}

/// nginx and wrk, fetched with apt from the Debian release that this runs on.
pub(crate) async fn peers() -> Result<Peers> {
    let store = Store::of_user()?;
    let edition = edition().await?;
    if let Some(claim) = store.claim("debian-peers", &edition).await? {
        eprintln!("fetching {} (seconds)", PACKAGES.join(", "));
        // apt gives up root to download, and may not be able to write here without it.
        let apt = Program::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download"]);
        apt.args(PACKAGES)
            .dir(claim.folder())
            .stdout()
            .await
            .context("failed to fetch Debian's packages: is apt set up?")?;
        for entry in std::fs::read_dir(claim.folder())? {
            Program::new("dpkg")
                .arg("-x")
                .arg(entry?.path())
                .arg(claim.folder())
                .stdout()
                .await?;
        }
        claim.finish()?;
    }
    let root = store.path("debian-peers", &edition);
    Ok(Peers {
        nginx: root.join("usr/sbin/nginx"),
        wrk: root.join("usr/bin/wrk"),
        libraries: root.join("usr/lib/x86_64-linux-gnu"),
    })
}

/// What the packages are for: a machine that is upgraded fetches them anew.
async fn edition() -> Result<String> {
    let version = Program::new("cat")
        .arg("/etc/debian_version")
        .stdout()
        .await
        .context("peers come from Debian's packages")?;
    Ok(version.trim().replace('/', "-"))
}
