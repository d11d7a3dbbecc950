//! Building a Go program of others from a committed go.mod and go.sum, with progress.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::store::Store;
use crate::program::Program;

/// How often a build that nobody watches on a terminal says how far it is: a CI log should show that it lives, and not more.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// A program, or several in one, that a Go module makes.
pub(crate) struct GoTool {
    /// Its folder under `tools/`, in the store, and the binary's name.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// One, which gets the tool's name, or several, each with a name of its own.
    pub(crate) packages: &'static [&'static str],
    /// One flag set for every build: another would miss Go's build cache and cost all the minutes again.
    pub(crate) ldflags: &'static str,
    /// The names to call it by.
    pub(crate) names: &'static [&'static str],
    /// What a build takes on two cores when nothing is cached.
    pub(crate) cold_minutes: u32,
}

impl GoTool {
    /// The folder that has its binaries, building them if they aren't in the store yet.
    pub(crate) async fn provide(&self, store: &Store) -> Result<PathBuf> {
        let edition = self.edition(&super::recipe(self.name))?;
        let Some(claim) = store.claim(self.name, &edition).await? else {
            return Ok(store.path(self.name, &edition));
        };
        self.build(claim.folder())
            .await
            .with_context(|| format!("failed to build {} {}", self.name, self.version))?;
        claim.finish()
    }

    /// The version, with a digest of all that decides what is built: a changed recipe is never answered by an old build.
    fn edition(&self, recipe: &Path) -> Result<String> {
        let mut digest = Sha256::new();
        for file in ["go.mod", "go.sum", "main.go"] {
            // etcd's main is its own.
            if let Ok(bytes) = fs::read(recipe.join(file)) {
                digest.update(bytes);
            }
        }
        for package in self.packages {
            digest.update(package);
        }
        digest.update(self.ldflags);
        let digest = digest.finalize();
        let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}-{short}", self.version))
    }

    async fn build(&self, folder: &Path) -> Result<()> {
        eprintln!(
            "{} {}: building from its Go modules; with nothing cached this takes about {} min on 2 cores, once",
            self.name, self.version, self.cold_minutes
        );
        let started = Instant::now();
        let packages = command(self.name)?
            .args(["list", "-mod=readonly", "-deps"])
            .args(self.packages)
            .stdout()
            .await?
            .lines()
            .count();
        let output = match self.packages {
            [_] => folder.join(self.name),
            _ => folder.to_owned(),
        };
        let build = command(self.name)?
            .args([
                "build",
                "-v",
                "-mod=readonly",
                "-buildvcs=false",
                "-ldflags",
                self.ldflags,
                "-o",
            ])
            .arg(output)
            .args(self.packages);
        self.show(build, packages, started).await?;
        for name in self.names.iter().filter(|name| !folder.join(name).exists()) {
            std::os::unix::fs::symlink(self.name, folder.join(name))?;
        }
        eprintln!("{} {}: built in {:.0?}", self.name, self.version, started.elapsed());
        Ok(())
    }

    /// Runs `go build -v`, which names each package as it compiles it, and shows how many that were.
    async fn show(&self, build: Program, packages: usize, started: Instant) -> Result<()> {
        let mut running = build.start_piped()?;
        let stderr = running
            .child
            .stderr
            .take()
            .context("go's standard error is not a pipe")?;
        let mut lines = BufReader::new(stderr).lines();
        let style = ProgressStyle::with_template("{prefix} [{elapsed_precise}] {bar:40} {pos}/{len} packages")?;
        let bar = ProgressBar::new(u64::try_from(packages)?)
            .with_style(style)
            .with_prefix(self.name);
        let mut said = Vec::new();
        let mut reported = Instant::now();
        while let Some(line) = lines.next_line().await? {
            bar.inc(1);
            if bar.is_hidden() && reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                eprintln!(
                    "{}: {} of at most {packages} packages, {:.0?}",
                    self.name,
                    bar.position(),
                    started.elapsed()
                );
            }
            said.push(line);
        }
        bar.finish_and_clear();
        let status = running.wait().await?;
        if !status.success() {
            // The last lines hold the compiler's words; before them are only names of packages.
            let tail = said.split_off(said.len().saturating_sub(20));
            bail!("`{}` failed: {status}\n{}", running.line(), tail.join("\n"));
        }
        Ok(())
    }
}

/// What `go mod download -json` says of a module; the rest of it is of no interest here.
#[derive(Deserialize)]
struct DownloadedModule {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

/// The folder of a module that a recipe requires, in Go's module cache. Go checks it against the recipe's go.sum.
pub(super) async fn module(recipe: &str, module: &str) -> Result<PathBuf> {
    let json = command(recipe)?
        .args(["mod", "download", "-json", module])
        .stdout()
        .await?;
    let module: DownloadedModule =
        serde_json::from_str(&json).context("failed to read what `go mod download -json` printed")?;
    Ok(module.dir)
}

/// The go command in a tool's folder, untouched by the user's settings that would change what is built.
pub(super) fn command(tool: &str) -> Result<Program> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("go").is_file()));
    if !found {
        bail!(
            "there is no `go` in PATH: install Go 1.26 or later (https://go.dev/dl), or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver and kubectl"
        );
    }
    Ok(Program::new("go")
        .dir(&super::recipe(tool))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .without_env("GOFLAGS"))
}
