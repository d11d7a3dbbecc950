//! Readiness as a set of named conditions that each became true once. `/readyz` names the ones that have not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What has to be true before the process is ready. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    // A std mutex: it is held for a push or a scan of a few entries, and never across an await.
    latches: Arc<Mutex<Vec<Latch>>>,
}

/// One condition of readiness. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Latch {
    name: &'static str,
    set: Arc<AtomicBool>,
}

impl Readiness {
    /// Adds a condition that doesn't hold yet.
    #[must_use]
    pub fn latch(&self, name: &'static str) -> Latch {
        let latch = Latch {
            name,
            set: Arc::default(),
        };
        self.latches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(latch.clone());
        latch
    }

    /// The names of the conditions that don't hold, in the order in which they were added. Ready is none.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        latches
            .iter()
            .filter(|latch| !latch.is_set())
            .map(|latch| latch.name)
            .collect()
    }
}

impl Latch {
    /// The condition holds from now on.
    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
    }

    /// The condition doesn't hold any more, as when the process drains.
    pub fn clear(&self) {
        self.set.store(false, Ordering::Release);
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_latch_is_set() {
        let readiness = Readiness::default();
        let (snapshot, listener) = (readiness.latch("snapshot"), readiness.latch("listener"));
        assert_eq!(readiness.missing(), ["snapshot", "listener"]);
        listener.set();
        assert_eq!(readiness.missing(), ["snapshot"]);
        snapshot.set();
        assert!(readiness.missing().is_empty());
        snapshot.clear();
        assert_eq!(readiness.missing(), ["snapshot"]);
    }
}
