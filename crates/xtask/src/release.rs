//! `cargo xtask release`: all that a release is, below `target/xtask/release/<version>`: programs, images, the chart, the plugin, CRDs, checksums and
//! notes. The version is the workspace's (`Cargo.toml`); a test holds the chart to it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::images::{self, Made, Platform, Profile};
use crate::oci;
use crate::program::Program;
use crate::{plugin, tools, workspace};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The kubectl plugin, which people run, is in no image.
const KUBECTL_PLUGIN: &str = "kubectl-coraza";

const CHART: &str = "charts/coraza-kubernetes-operator";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make everything and push nothing
    #[arg(long, required_unless_present = "push")]
    dry_run: bool,
    /// Push the images and the chart to this registry and path: ghcr.io/example
    #[arg(long, value_name = "REF", conflicts_with = "dry_run")]
    push: Option<String>,
    /// The machines that it is for
    #[arg(long, value_enum, value_delimiter = ',', default_value = "amd64,arm64")]
    platform: Vec<Platform>,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let folder = workspace::work_dir().join("release").join(VERSION);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;

    // 1. Programs, as files: static, with the list of their crates in them. Those of the images are built as the images have them: cargo gives a crate
    //    other features where others are built beside it.
    for platform in &args.platform {
        for packages in [&images::IN_IMAGES[..], &[KUBECTL_PLUGIN]] {
            let built = images::programs(Profile::Release, *platform, packages).await?;
            for program in packages {
                copy(
                    &built.join(program),
                    &folder,
                    &format!("{program}-linux-{}", platform.name()),
                )?;
            }
        }
    }
    // 2. Images of them.
    let made = images::make(Profile::Release, &args.platform).await?;
    for Made { name, .. } in &made {
        copy(&name.archive(), &folder, &format!("{}.tar", name.text()))?;
    }
    // 3. The plugin, as a file and as an image.
    let module = plugin::build(plugin::Kind::Shipped).await?;
    let plugin = plugin::image(&std::fs::read(&module)?)?;
    copy(&module, &folder, "coraza.wasm")?;
    let scratch = tempfile::tempdir()?;
    plugin.write(scratch.path(), "coraza-plugin", None)?;
    copy(&scratch.path().join("coraza-plugin.tar"), &folder, "coraza-plugin.tar")?;
    // 4. What is applied.
    let chart = package_chart(&folder).await?;
    std::fs::write(folder.join("crds.yaml"), crds()?)?;
    // 5. What people read, and check the rest with.
    let pulled: Vec<(&str, String, usize)> = made
        .iter()
        .map(|Made { name, tagged }| (name.text(), tagged.digest(), tagged.pulled_bytes()))
        .chain([("coraza-plugin", plugin.digest(), plugin.pulled_bytes())])
        .collect();
    std::fs::write(folder.join("NOTES.md"), notes(&pulled, &changes().await?))?;
    std::fs::write(folder.join("SHA256SUMS"), checksums(&folder)?)?;

    show(&folder)?;
    if let Some(registry) = &args.push {
        push(registry.trim_end_matches('/'), &made, &plugin, &chart).await?;
    }
    Ok(())
}

fn copy(from: &Path, folder: &Path, name: &str) -> Result<()> {
    std::fs::copy(from, folder.join(name))
        .map(drop)
        .with_context(|| format!("failed to copy {}", from.display()))
}

async fn package_chart(folder: &Path) -> Result<PathBuf> {
    let package = Program::new(tools::helm().await?).args(["package", CHART, "--destination"]);
    package.arg(folder).dir(workspace::root()).stdout().await?;
    Ok(folder.join(format!("coraza-kubernetes-operator-{VERSION}.tgz")))
}

/// The custom resource definitions, for who applies them without Helm.
fn crds() -> Result<String> {
    let texts = files(&workspace::root().join("deploy/crds"))?
        .into_iter()
        .map(|path| std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display())));
    Ok(texts.collect::<Result<Vec<_>>>()?.join("---\n"))
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// In the form of `sha256sum --check`.
fn checksums(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for path in files(folder)? {
        let digest = Sha256::digest(std::fs::read(&path)?);
        writeln!(text, "{digest:x}  {}", file_name(&path))?;
    }
    Ok(text)
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// The subjects of the commits since the last release, or since the first commit.
async fn changes() -> Result<Vec<String>> {
    let git = || Program::new("git").dir(workspace::root());
    let last = git()
        .args(["describe", "--tags", "--abbrev=0", "--match=v*"])
        .stdout()
        .await;
    let range = last.map_or_else(|_| "HEAD".to_owned(), |tag| format!("{}..HEAD", tag.trim()));
    let log = git().args(["log", "--format=%s", &range]).stdout().await?;
    Ok(log.lines().map(str::to_owned).collect())
}

/// What is told of a release: how to install it, what its images are called for good, and what changed.
fn notes(images: &[(&str, String, usize)], changes: &[String]) -> String {
    let images: String = images
        .iter()
        .map(|(name, digest, bytes)| format!("| {name} | `{digest}` | {:.1} |\n", *bytes as f64 / 1e6))
        .collect();
    let changes: String = changes.iter().map(|change| format!("- {change}\n")).collect();
    format!(
        "# Coraza Kubernetes Operator {VERSION}\n\n\
         ```console\n\
         $ sha256sum --check SHA256SUMS\n\
         $ helm upgrade --install coraza coraza-kubernetes-operator-{VERSION}.tgz --namespace coraza-system --create-namespace\n\
         ```\n\n\
         | image | digest | MB to pull |\n|---|---|---|\n{images}\n\
         Programs carry the list of their crates (`cargo audit bin`, or any scanner of images). CRDs are in the chart, and in `crds.yaml`.\n\n\
         ## Changes\n\n{changes}"
    )
}

fn show(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        println!("{:>12}  {}", path.metadata()?.len(), file_name(&path));
    }
    println!("{}", folder.display());
    Ok(())
}

async fn push(registry: &str, made: &[Made], plugin: &oci::Tagged, chart: &Path) -> Result<()> {
    for Made { name, tagged } in made {
        oci::push(tagged, &format!("{registry}/{}:{VERSION}", name.text())).await?;
    }
    oci::push(plugin, &format!("{registry}/coraza-plugin:{VERSION}")).await?;
    let helm = Program::new(tools::helm().await?).arg("push").arg(chart);
    helm.arg(format!("oci://{registry}/charts")).run().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Name;

    #[test]
    fn the_chart_has_the_version_of_the_workspace() {
        let text = std::fs::read_to_string(workspace::root().join(CHART).join("Chart.yaml")).unwrap();
        let chart: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(chart["version"], VERSION);
        assert_eq!(chart["appVersion"], VERSION);
        let images = chart["annotations"]["artifacthub.io/images"].as_str().unwrap();
        for name in Name::ALL {
            assert!(images.contains(&format!("\"{}\"", name.reference())), "{images}");
        }
    }

    #[test]
    fn sha256sum_reads_the_checksums() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "two").unwrap();
        std::fs::write(folder.path().join("a"), "one").unwrap();
        let sums = checksums(folder.path()).unwrap();
        std::fs::write(folder.path().join("SHA256SUMS"), &sums).unwrap();
        let checked = std::process::Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{sums}");
        assert_eq!(sums.lines().count(), 2);
    }

    #[test]
    fn all_crds_are_told_apart() {
        let crds = crds().unwrap();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&crds).unwrap();
        let kinds: Vec<_> = documents
            .iter()
            .map(|crd| crd["spec"]["names"]["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["Engine", "RuleData", "RuleSet", "RuleSource"]);
    }
}
