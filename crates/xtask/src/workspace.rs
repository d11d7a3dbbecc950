//! Where things are in this checkout, and the programs that a build of it made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;

use crate::program::Program;

/// The checkout's root.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().and_then(Path::parent).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where commands put what they write for people to look at: logs, clusters' folders.
pub(crate) fn work_dir() -> PathBuf {
    target_dir().join("xtask")
}

/// The cargo that runs us, so that nobody's other toolchain is used.
pub(crate) fn cargo() -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo).dir(root())
}

/// What a test binary tests, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tested {
    /// The library's unit tests.
    Library,
    /// A program's unit tests; most have none.
    Program(String),
    /// A file of `tests/`.
    File(String),
}

/// A test binary that a build made.
pub(crate) struct TestBinary {
    /// The package without the prefix that all of ours have: `controller`.
    pub(crate) package: String,
    pub(crate) of: Tested,
    pub(crate) executable: PathBuf,
    /// The package's folder, where cargo runs its tests.
    pub(crate) directory: PathBuf,
}

/// What one build made.
#[derive(Default)]
pub(crate) struct Build {
    /// Programs by name: `coraza-controller`.
    pub(crate) programs: BTreeMap<String, PathBuf>,
    pub(crate) tests: Vec<TestBinary>,
}

impl Build {
    /// The path of a program, which has to be one of the workspace's.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("the workspace has no program {name}"))
    }
}

/// What to build beside the workspace's programs.
pub(crate) enum Tests<'a> {
    None,
    All,
    /// Only files of these names under `tests/`: what a developer who works on one of them waits for.
    Files(Vec<&'a str>),
}

/// Builds the workspace's programs and tests in the dev profile by one command: the same features for all, so that everything is compiled once.
pub(crate) async fn build(tests: Tests<'_>) -> Result<Build> {
    let cargo = cargo().args([
        "build",
        "--workspace",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    let cargo = match &tests {
        Tests::None => cargo,
        Tests::All => cargo.arg("--tests"),
        Tests::Files(files) => cargo.args(files.iter().map(|file| format!("--test={file}"))),
    };
    let wanted = !matches!(tests, Tests::None);
    let output = cargo.stdout_with_stderr_shown().await?;
    let mut build = Build::default();
    for message in Message::parse_stream(output.as_bytes()) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo wrote a message that is not one")? {
            build.add(artifact)?;
        }
    }
    if wanted && build.tests.is_empty() {
        bail!("the build made no test binary");
    }
    Ok(build)
}

impl Build {
    fn add(&mut self, artifact: cargo_metadata::Artifact) -> Result<()> {
        let Some(executable) = artifact.executable else {
            return Ok(());
        };
        if !artifact.profile.test {
            self.programs.insert(artifact.target.name, executable.into());
            return Ok(());
        }
        let directory = artifact.manifest_path.parent().context("a manifest without a folder")?;
        let package = directory
            .file_name()
            .context("a package in the root folder")?
            .to_owned();
        let of = match artifact.target {
            target if target.is_test() => Tested::File(target.name),
            target if target.is_bin() => Tested::Program(target.name),
            _ => Tested::Library,
        };
        self.tests.push(TestBinary {
            package,
            of,
            executable: executable.into(),
            directory: directory.into(),
        });
        Ok(())
    }
}
