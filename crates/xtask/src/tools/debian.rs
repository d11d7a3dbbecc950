//! Programs of Debian's, unpacked beside the system instead of installed into it: peers for benchmarks, a registry, Prometheus, and
//! a second Rust.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::Store;
use crate::program::Program;

/// What load is made with, and against what.
pub(crate) struct Peers {
    pub(crate) nginx: PathBuf,
    pub(crate) wrk: PathBuf,
    /// For `LD_LIBRARY_PATH`.
    pub(crate) libraries: PathBuf,
}

/// nginx and wrk, with the libraries that they need and the system may not have.
pub(crate) async fn peers() -> Result<Peers> {
    let root = unpacked("debian-peers", &["nginx", "nginx-light", "wrk", "libluajit-5.1-2"]).await?;
    Ok(Peers {
        nginx: root.join("usr/sbin/nginx"),
        wrk: root.join("usr/bin/wrk"),
        libraries: root.join("usr/lib/x86_64-linux-gnu"),
    })
}

/// The registry that images are pulled from in tests.
pub(crate) async fn registry() -> Result<PathBuf> {
    let root = unpacked("debian-registry", &["docker-registry"]).await?;
    Ok(root.join("usr/bin/docker-registry"))
}

/// Prometheus, with promtool beside it.
pub(crate) async fn prometheus() -> Result<PathBuf> {
    let root = unpacked("debian-prometheus", &["prometheus"]).await?;
    Ok(root.join("usr/bin/prometheus"))
}

/// A second Rust, whose std can be built for WebAssembly, for machines whose rustup can't add a target. Debian 12 has it for its browsers.
const WEB_TOOLCHAIN: [&str; 13] = [
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-1.96",
    "libstd-rust-web-dev",
    "rust-web-src",
    "wasi-libc",
    "libllvm22",
    "libgit2-1.5",
    "libssh2-1",
    "libhttp-parser2.9",
    "libmbedtls14",
    "libmbedcrypto7",
    "libmbedx509-1",
];

/// The root that the second Rust is unpacked in.
pub(crate) async fn web_toolchain() -> Result<PathBuf> {
    unpacked("debian-rustc-web", &WEB_TOOLCHAIN).await
}

/// The Core Rule Set 3.3: `usr/share/modsecurity-crs/rules` and `etc/modsecurity/crs/crs-setup.conf`.
pub(crate) async fn core_rule_set_3() -> Result<PathBuf> {
    unpacked("debian-core-rule-set", &["modsecurity-crs"]).await
}

/// A folder with the contents of packages, fetched with apt from the Debian release that this runs on.
async fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let store = Store::of_user()?;
    let edition = edition().await?;
    if let Some(claim) = store.claim(name, &edition).await? {
        eprintln!("fetching {} (seconds)", packages.join(", "));
        // apt gives up root to download, and may not be able to write here without it.
        let apt = Program::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download"]);
        apt.args(packages)
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
    Ok(store.path(name, &edition))
}

/// What the packages are for: a machine that is upgraded fetches them anew.
async fn edition() -> Result<String> {
    let version = Program::new("cat")
        .arg("/etc/debian_version")
        .stdout()
        .await
        .context("peers and registry come from Debian's packages")?;
    Ok(version.trim().replace('/', "-"))
}

/// What makes a machine a node, beside Kubernetes' own programs.
pub(crate) struct NodeTools {
    root: PathBuf,
}

/// containerd, runc, the plugins for Pods' networks, and nftables.
pub(crate) async fn node() -> Result<NodeTools> {
    let packages = [
        "containerd",
        "runc",
        "containernetworking-plugins",
        "nftables",
        "libnftables1",
        "libnftnl11",
        "libmnl0",
        "libjansson4",
        "libedit2",
        "libxtables12",
        "libseccomp2",
    ];
    Ok(NodeTools {
        root: unpacked("debian-node", &packages).await?,
    })
}

impl NodeTools {
    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Program {
        self.with_path(Program::new(self.root.join("usr/bin").join(name)))
    }

    /// A program that finds the others, and the libraries that they need.
    pub(crate) fn with_path(&self, program: Program) -> Program {
        let path = std::env::var("PATH").unwrap_or_default();
        let (bin, sbin) = (self.root.join("usr/bin"), self.root.join("usr/sbin"));
        program
            .env("PATH", format!("{}:{}:{path}", bin.display(), sbin.display()))
            .env("LD_LIBRARY_PATH", self.root.join("usr/lib/x86_64-linux-gnu"))
    }

    /// nftables' program with what it needs, as one word: tests filter packets with it.
    pub(crate) fn nft(&self) -> PathBuf {
        self.root.join("usr/sbin/nft")
    }

    pub(crate) fn runc(&self) -> PathBuf {
        self.root.join("usr/sbin/runc")
    }

    /// The folder with plugins for Pods' networks.
    pub(crate) fn cni(&self) -> PathBuf {
        self.root.join("usr/lib/cni")
    }
}
