//! Whether the gateway's firewall was ever away.

use std::sync::{Arc, Mutex};

use coraza_e2e::Namespace;
use coraza_e2e::object::WASM_PLUGIN;
use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{WatchEvent, WatchParams};

use super::PLUGIN;

/// All that a watch tells of the WasmPlugin.
pub(crate) struct Sights {
    seen: Arc<Mutex<Vec<(String, bool)>>>,
    watch: tokio::task::JoinHandle<()>,
}

impl Sights {
    pub(crate) fn of_the_plugin(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let api = WASM_PLUGIN.within(&namespace.client, &namespace.name);
        let said = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            let only = WatchParams::default()
                .fields(&format!("metadata.name={PLUGIN}"))
                .timeout(290);
            let events = api.watch(&only, "0").await.unwrap();
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let (object, there) = match event.unwrap() {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                    WatchEvent::Deleted(object) => (object, false),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => panic!("{status:?}"),
                };
                said.lock().unwrap().push((object.uid().unwrap(), there));
            }
        });
        Self { seen, watch }
    }

    /// The gateway had a firewall all the time, and it was changed in place.
    pub(crate) fn never_without(self, uid: &str) {
        assert!(!self.watch.is_finished(), "the watch saw all of it");
        self.watch.abort();
        let seen = self.seen.lock().unwrap().clone();
        assert!(seen.len() > 1, "the change was seen: {seen:?}");
        assert!(seen.iter().all(|sight| *sight == (uid.to_owned(), true)), "{seen:?}");
    }
}
