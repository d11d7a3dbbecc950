//! libmodsecurity, as PyPI's wheel of that name has it: the engine that ours is compared with. The shared library has all that it depends
//! on beside it, and no Python is needed to load it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::python::Wheel;

const WHEEL: Wheel = Wheel {
    name: "libmodsecurity",
    version: "3.0.15.post2",
    target: Some(["--python-version=311", "--platform=manylinux_2_28_x86_64"]),
};

/// The shared library that `LIBMODSECURITY_SO` says, else fetched.
pub(crate) async fn provide() -> Result<PathBuf> {
    if let Some(library) = super::override_by("LIBMODSECURITY_SO")? {
        return Ok(library);
    }
    let folder = WHEEL.provide().await?.join("libmodsecurity.libs");
    let files = std::fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("libmodsecurity-"))
    };
    paths
        .find(is_library)
        .with_context(|| format!("{} has no libmodsecurity", folder.display()))
}
