//! The cgroups (version 1) that nodes' Pods are put in, beside the machine's own. They are gone when the nodes are.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Where controllers are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// What Pods are limited by: a kubelet refuses to start without them.
const NEEDED: [&str; 5] = ["cpu", "cpuset", "memory", "devices", "pids"];

/// What a new group of `cpuset` doesn't inherit, and has to have before a process can be in it.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// How long the kernel may take to forget processes that were killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether there are the controllers, in version 1.
pub(super) fn preflight() -> Result<()> {
    for controller in NEEDED {
        let path = Path::new(ROOT).join(controller);
        ensure!(
            path.is_dir(),
            "there is no {}: cgroups of version 1 are needed",
            path.display()
        );
    }
    Ok(())
}

/// A group in each hierarchy. Dropping it removes them, once they are empty.
pub(super) struct Cgroup {
    name: String,
}

impl Cgroup {
    pub(super) fn create() -> Result<Self> {
        let cgroup = Self {
            name: format!("coraza-{}", std::process::id()),
        };
        cgroup.make(Path::new(&cgroup.name))?;
        Ok(cgroup)
    }

    /// Makes the group of a node, and gives its path below each hierarchy.
    pub(super) fn for_node(&self, node: &str) -> Result<String> {
        let group = Path::new(&self.name).join(node);
        // That of a node of the same name that was killed.
        remove(&group);
        self.make(&group)?;
        Ok(self.path_of(node))
    }

    pub(super) fn path_of(&self, node: &str) -> String {
        format!("/{}/{node}", self.name)
    }

    fn make(&self, group: &Path) -> Result<()> {
        for hierarchy in hierarchies() {
            let path = hierarchy.join(group);
            std::fs::create_dir_all(&path).with_context(|| format!("failed to create {}", path.display()))?;
            let parent = path.parent().unwrap_or(&hierarchy);
            for file in CPUSET.iter().filter(|file| path.join(file).exists()) {
                let inherited = std::fs::read_to_string(parent.join(file))?;
                std::fs::write(path.join(file), inherited.trim())
                    .with_context(|| format!("failed to write {file} of {}", path.display()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(Path::new(&self.name));
    }
}

/// The folders of the controllers; those that are links are other names of one of them.
fn hierarchies() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(ROOT).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Removes a group of each hierarchy and all below it, as far as they get empty in time.
fn remove(group: &Path) {
    let deadline = Instant::now() + PATIENCE;
    for hierarchy in hierarchies() {
        let path = hierarchy.join(group);
        while path.exists() && !removed(&path) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn removed(path: &Path) -> bool {
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for folder in folders {
        removed(&folder.path());
    }
    std::fs::remove_dir(path).is_ok()
}
