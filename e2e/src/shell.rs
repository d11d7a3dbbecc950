//! What a person's shell finds: kubectl, its plugin, Helm.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::environment;

/// A PATH with the tools in this folder, which is made, before those of the system.
///
/// # Panics
/// If the folder can't be made, or has the tools.
#[must_use]
pub fn path(folder: &Path) -> OsString {
    std::fs::create_dir_all(folder).expect("made");
    let environment = environment();
    for (name, program) in [
        ("kubectl", &environment.cluster.kubectl),
        ("kubectl-coraza", &environment.kubectl_plugin),
        ("helm", &environment.helm),
    ] {
        symlink(program, folder.join(name)).expect("linked");
    }
    let system = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = [folder.to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&system))
        .collect();
    std::env::join_paths(folders).expect("folders of a path")
}
