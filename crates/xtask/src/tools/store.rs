//! The user's cache directory of tools: a folder per tool, version and recipe, which is there whole or not at all, whoever else builds at the same time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// How often a lock that another holds for minutes is tried.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// A folder of built tools.
pub(crate) struct Store {
    root: PathBuf,
}

/// The right to put one tool into the store; held while it is built.
pub(crate) struct Claim {
    /// Unlocked when it is dropped.
    _lock: File,
    building: tempfile::TempDir,
    built: PathBuf,
}

impl Store {
    /// The store that all checkouts of this user share.
    pub(crate) fn of_user() -> Result<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
        Ok(Self::at(&cache.context(
            "neither XDG_CACHE_HOME nor HOME is set: there is no place to keep built tools",
        )?))
    }

    fn at(cache: &Path) -> Self {
        Self {
            root: cache.join("coraza-kubernetes-operator"),
        }
    }

    /// Where a tool is once it is built.
    pub(crate) fn path(&self, tool: &str, edition: &str) -> PathBuf {
        self.root.join(tool).join(edition)
    }

    /// Claims the place of a tool; `None` if it is there already, or has just been built by the process that this waited for.
    pub(crate) async fn claim(&self, tool: &str, edition: &str) -> Result<Option<Claim>> {
        let built = self.path(tool, edition);
        if built.is_dir() {
            return Ok(None);
        }
        let folder = self.root.join(tool);
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let lock = locked(&folder.join(format!("{edition}.lock")), tool).await?;
        if built.is_dir() {
            return Ok(None);
        }
        let building = tempfile::Builder::new().prefix("building-").tempdir_in(&folder)?;
        Ok(Some(Claim {
            _lock: lock,
            building,
            built,
        }))
    }
}

impl Claim {
    /// Where to build.
    pub(crate) fn folder(&self) -> &Path {
        self.building.path()
    }

    /// Makes what was built visible, whole.
    pub(crate) fn finish(self) -> Result<PathBuf> {
        fs::rename(self.building.path(), &self.built)
            .with_context(|| format!("failed to keep {}", self.built.display()))?;
        // It has a new name now; there is nothing left to clean up.
        let _ = self.building.keep();
        Ok(self.built)
    }
}

async fn locked(path: &Path, tool: &str) -> Result<File> {
    let file = File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    let mut waiting = false;
    // Not `File::lock`: an interruption has to get through.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waiting => {}
            Err(TryLockError::WouldBlock) => {
                waiting = true;
                eprintln!("{tool}: another xtask is building it; waiting");
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_is_built_once_and_found_afterwards() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::at(cache.path());
        let claim = store.claim("etcd", "1").await.unwrap().unwrap();
        fs::write(claim.folder().join("etcd"), "binary").unwrap();
        let built = claim.finish().unwrap();
        assert_eq!(fs::read_to_string(built.join("etcd")).unwrap(), "binary");
        assert!(store.claim("etcd", "1").await.unwrap().is_none());
        assert!(
            store.claim("etcd", "2").await.unwrap().is_some(),
            "another version is another tool"
        );
    }

    #[tokio::test]
    async fn a_build_that_fails_leaves_nothing_that_looks_built() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::at(cache.path());
        drop(store.claim("etcd", "1").await.unwrap().unwrap());
        let left: Vec<_> = fs::read_dir(cache.path().join("coraza-kubernetes-operator/etcd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["1.lock"]);
        assert!(store.claim("etcd", "1").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn of_two_builders_one_builds_and_the_other_waits_for_it() {
        let cache = tempfile::tempdir().unwrap();
        let claim = Store::at(cache.path()).claim("etcd", "1").await.unwrap().unwrap();
        let store = Store::at(cache.path());
        let (other, built) = tokio::join!(store.claim("etcd", "1"), async { claim.finish() });
        assert!(built.unwrap().is_dir() && other.unwrap().is_none());
    }
}
