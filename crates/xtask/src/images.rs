//! `cargo xtask images`: the images of the controller and of the cache, of static programs and nothing else: no shell, no libraries, no package database.
//!
//! Written below `target/xtask/images/<name>`: `oci/` (an OCI image layout) and `<name>.tar` (the same as one file, for `ctr images import` and its
//! like). The Dockerfiles make the same file systems for those who build with Docker; a test compares (`dockerfile`). The same sources make the same
//! digests.

mod build;
#[cfg(test)]
mod dockerfile;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub(crate) use self::build::{IN_IMAGES, Platform, Profile, programs};
use crate::oci::{self, Compression, Image, Recipe, Tagged, Tar};
use crate::{plugin, workspace};

/// The most that a node may have to pull without the plugin (issue 7).
const MOST_BYTES: usize = 40 << 20;

/// Nobody, by number, so that a kubelet can see that it isn't root; distroless images have the same.
pub(crate) const USER: &str = "65532:65532";

/// Where the chart's images are.
const REPOSITORY: &str = "ghcr.io/coraza-kubernetes-operator";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The images for tests: built in a fraction of the time, unoptimised
    #[arg(long)]
    dev: bool,
    /// The machines that they are for
    #[arg(long, value_enum, value_delimiter = ',', default_value = "amd64")]
    platform: Vec<Platform>,
    /// Push them to this registry and path, each under its name and version: ghcr.io/example
    #[arg(long, value_name = "REF")]
    push: Option<String>,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Controller,
    Cache,
}

impl Name {
    pub(crate) const ALL: [Self; 2] = [Self::Controller, Self::Cache];

    /// Of the image, and of the program in it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Controller => "coraza-controller",
            Self::Cache => "coraza-cache",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Controller => "Compiles RuleSets, publishes them to caches, and puts Engines in front of Gateways",
            Self::Cache => "Serves compiled RuleSets and the plugin to data planes",
        }
    }

    /// The ports that it listens on with the chart's flags.
    const fn ports(self) -> &'static [u16] {
        match self {
            Self::Controller => &[8081, 8443, 9444],
            Self::Cache => &[8081, 8443, 18080, 18081],
        }
    }

    /// The files in it: where, whose permissions, which.
    fn files(self) -> Vec<(&'static str, u16, Source)> {
        match self {
            Self::Controller => vec![("coraza-controller", 0o755, Source::Program)],
            Self::Cache => vec![
                ("coraza-cache", 0o755, Source::Program),
                ("coraza.wasm", 0o644, Source::Plugin),
            ],
        }
    }

    /// As the chart calls it.
    pub(crate) fn reference(self) -> String {
        format!("{REPOSITORY}/{}:{}", self.text(), env!("CARGO_PKG_VERSION"))
    }

    /// Where its layout and its archive are written.
    fn folder(self) -> PathBuf {
        workspace::work_dir().join("images").join(self.text())
    }

    /// Where its archive is written.
    pub(crate) fn archive(self) -> PathBuf {
        self.folder().join(format!("{}.tar", self.text()))
    }
}

/// Where a file of an image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A program of that name, built for the image's machine.
    Program,
    Plugin,
}

/// What one image became.
pub(crate) struct Made {
    pub(crate) name: Name,
    pub(crate) tagged: Tagged,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    for Made { name, tagged } in make(profile, &args.platform).await? {
        println!("image     {}", name.reference());
        println!("archive   {}", name.archive().display());
        println!("pulled    {} bytes", tagged.pulled_bytes());
        println!("digest    {}", tagged.digest());
        if let Some(push) = &args.push {
            let place = push.trim_end_matches('/');
            let reference = format!("{place}/{}:{}", name.text(), env!("CARGO_PKG_VERSION"));
            oci::push(&tagged, &reference).await?;
        }
    }
    Ok(())
}

/// Builds what is in the images, assembles them and writes them.
pub(crate) async fn make(profile: Profile, platforms: &[Platform]) -> Result<Vec<Made>> {
    let kind = match profile {
        Profile::Dev => plugin::Kind::Dev,
        Profile::Release => plugin::Kind::Shipped,
    };
    let plugin = plugin::build(kind).await?;
    let mut programs = Vec::new();
    for platform in platforms {
        programs.push((*platform, build::programs(profile, *platform, &IN_IMAGES).await?));
    }
    let mut made = Vec::new();
    for name in Name::ALL {
        let images: Result<Vec<Image>> = programs
            .iter()
            .map(|(platform, programs)| assemble(name, *platform, programs, &plugin, profile))
            .collect();
        let tagged = Tagged::new(images?);
        let folder = name.folder();
        std::fs::create_dir_all(&folder)?;
        tagged.write(&folder, name.text(), Some(&name.reference()))?;
        made.push(Made { name, tagged });
    }
    Ok(made)
}

fn assemble(name: Name, platform: Platform, programs: &Path, plugin: &Path, profile: Profile) -> Result<Image> {
    let mut files = Tar::default();
    for (path, mode, source) in name.files() {
        let from = match source {
            Source::Program => programs.join(path),
            Source::Plugin => plugin.to_owned(),
        };
        let contents = std::fs::read(&from).with_context(|| format!("failed to read {}", from.display()))?;
        files.file(path, mode, &contents)?;
    }
    let image = Image::new(Recipe {
        architecture: platform.name(),
        config: config(name),
        annotations: labels(name),
        compression: match profile {
            Profile::Dev => Compression::fast(),
            Profile::Release => Compression::best(),
        },
        files,
    })?;
    let small = profile == Profile::Dev || image.pulled_bytes() <= MOST_BYTES;
    ensure!(
        small,
        "{} has {} bytes, more than {MOST_BYTES}",
        name.text(),
        image.pulled_bytes()
    );
    Ok(image)
}

/// How a container of it is run.
fn config(name: Name) -> Value {
    let ports: serde_json::Map<String, Value> = name
        .ports()
        .iter()
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();
    json!({
        "User": USER,
        "WorkingDir": "/",
        "Entrypoint": [format!("/{}", name.text())],
        "ExposedPorts": ports,
        "Labels": labels(name),
    })
}

/// What it is, for people and scanners, by the names of the image specification.
fn labels(name: Name) -> Value {
    json!({
        "org.opencontainers.image.title": name.text(),
        "org.opencontainers.image.description": name.description(),
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_programs_make_the_same_images() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["coraza-controller", "coraza-cache", "plugin.wasm"] {
            std::fs::write(folder.path().join(program), program).unwrap();
        }
        let plugin = folder.path().join("plugin.wasm");
        for name in Name::ALL {
            let image = |profile| {
                let image = assemble(name, Platform::Amd64, folder.path(), &plugin, profile);
                Tagged::new(vec![image.unwrap()]).digest()
            };
            assert_eq!(image(Profile::Dev), image(Profile::Dev));
        }
    }

    #[test]
    fn nobody_runs_as_root() {
        for name in Name::ALL {
            let config = config(name);
            let user = config["User"].as_str().unwrap().split_once(':').unwrap();
            assert!(user.0.parse::<u32>().unwrap() > 0 && user.1.parse::<u32>().unwrap() > 0);
            assert_eq!(config["Entrypoint"], json!([format!("/{}", name.text())]));
        }
    }
}
