//! News by key: who listens gets each key that changed, once, however often it did.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::Stream;
use tokio::sync::Notify;

/// Everybody who listens.
#[derive(Debug)]
pub(super) struct Listeners<K> {
    listeners: Mutex<Vec<Weak<Changed<K>>>>,
}

/// Keys that changed and that a listener hasn't taken yet.
#[derive(Debug)]
struct Changed<K> {
    keys: Mutex<BTreeSet<K>>,
    notify: Notify,
}

impl<K> Default for Listeners<K> {
    fn default() -> Self {
        Self {
            listeners: Mutex::default(),
        }
    }
}

impl<K: Ord + Clone + Send + 'static> Listeners<K> {
    /// The keys that change from now on.
    pub(super) fn listen(&self) -> impl Stream<Item = K> + Send + use<K> {
        let changed = Arc::new(Changed {
            keys: Mutex::default(),
            notify: Notify::new(),
        });
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&changed));
        futures::stream::unfold(changed, |changed| async move {
            loop {
                if let Some(key) = changed.take() {
                    return Some((key, changed));
                }
                changed.notify.notified().await;
            }
        })
    }

    pub(super) fn tell(&self, changed: &BTreeSet<K>) {
        if changed.is_empty() {
            return;
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|listener| listener.add(changed));
    }
}

impl<K: Ord + Clone> Changed<K> {
    fn add(&self, keys: &BTreeSet<K>) {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(keys.iter().cloned());
        self.notify.notify_one();
    }

    fn take(&self) -> Option<K> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}
