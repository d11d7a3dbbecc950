//! `Module`: which WebAssembly module an Engine runs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use coraza_ruleset::Digest;

use crate::engine::settings::{DefaultModule, Settings};

/// A WebAssembly module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where it is.
    pub url: String,
    /// The SHA-256 that it must have, if that is known.
    pub sha256: Option<String>,
}

impl Module {
    /// The one that the caches serve under this digest.
    #[must_use]
    pub fn embedded(settings: &Settings, digest: Digest) -> Self {
        let Settings {
            cache_host,
            plugin_port,
            ..
        } = settings;
        Self {
            url: format!("http://{cache_host}:{plugin_port}/plugins/coraza-{digest}.wasm"),
            sha256: Some(digest.to_string()),
        }
    }

    /// Whether another module may be there another time: a tag that people move. As Kubernetes takes image names.
    #[must_use]
    pub fn moves(&self) -> bool {
        let Some(image) = self.url.strip_prefix("oci://") else {
            return self.sha256.is_none();
        };
        let last = image.rsplit('/').next().unwrap_or(image);
        !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    }

    /// The module of an Engine. `announced` is the one that the caches serve, `live` the one of its WasmPlugin. Nothing if it is the
    /// caches' and none of them has told of one.
    #[must_use]
    pub fn of(image: Option<&str>, settings: &Settings, announced: Option<Digest>, live: Option<Self>) -> Option<Self> {
        let url = match (image, &settings.default_module) {
            (Some(image), _) => image,
            (None, DefaultModule::Url(url)) => url,
            (None, DefaultModule::Embedded) => {
                let announced = announced.map(|digest| Self::embedded(settings, digest));
                return announced.or_else(|| live.filter(Self::is_embedded));
            }
        };
        Some(Self {
            url: url.to_owned(),
            sha256: None,
        })
    }

    fn is_embedded(&self) -> bool {
        self.digest().is_some()
    }

    /// The digest under which the caches serve it, if they do.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let digest = self.sha256.as_deref()?;
        let path = format!("/plugins/coraza-{digest}.wasm");
        self.url.ends_with(&path).then(|| digest.parse().ok())?
    }
}

/// Which of the modules that caches serve is the one to run, while some of them may already serve another: the one that most of them
/// have. One that was left is returned to only when no cache has the one that it was left for: during a roll-out of the caches the
/// choice changes once.
#[derive(Debug, Default)]
pub struct Announced {
    current: Option<Digest>,
    left: BTreeSet<Digest>,
}

impl Announced {
    /// The module to run.
    #[must_use]
    pub const fn current(&self) -> Option<Digest> {
        self.current
    }

    /// After a restart: what the WasmPlugins say, if nothing is known yet.
    pub const fn resume(&mut self, digest: Digest) {
        if self.current.is_none() {
            self.current = Some(digest);
        }
    }

    /// So many of the caches that are connected have each module. Gives whether that changes which one is to be run.
    pub fn announce(&mut self, counts: &BTreeMap<Digest, usize>) -> bool {
        let count = |digest: Option<Digest>| {
            digest
                .and_then(|digest| counts.get(&digest))
                .copied()
                .unwrap_or_default()
        };
        let current = count(self.current);
        let may_return = |digest: &Digest| current == 0 || !self.left.contains(digest);
        let best = counts
            .iter()
            .filter(|(digest, _)| may_return(digest))
            .max_by_key(|(digest, count)| (**count, *digest));
        match best {
            Some((digest, most)) if *most > current && Some(*digest) != self.current => {
                self.left.extend(self.current);
                self.left.remove(digest);
                self.current = Some(*digest);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
