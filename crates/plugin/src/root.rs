//! `Root`: one configuration of the plugin in this VM.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Config, Source, Static};
use crate::host::{Host, Level};
use crate::http::Selected;
use crate::load::{Loaded, Loading};
use crate::log::event;
use crate::poll::{Content, SourceLines};
use crate::site::Site;

/// Which RuleSet, at which cache.
pub type SlotKey = (String, String);

/// One configuration.
#[derive(Debug)]
pub struct Root {
    /// What its streams need.
    pub site: Arc<Site>,
    /// Where its rules are.
    pub rules: Rules,
}

/// Where the rules of a configuration are.
#[derive(Debug)]
pub enum Rules {
    /// In a slot, which configurations share.
    Slot(SlotKey),
    /// In the configuration.
    Static(StaticRules),
}

/// The rules of a configuration that has its own.
#[derive(Debug, Default)]
pub struct StaticRules {
    default: Option<Rc<Loaded>>,
    authorities: BTreeMap<String, Rc<Loaded>>,
}

impl StaticRules {
    /// Compiles what is configured; nothing if it is wrong, which is logged.
    pub fn compile(host: &impl Host, source: &Static, work_limit: Option<u64>) -> Option<Self> {
        let mut sets = BTreeMap::new();
        for (name, rules) in &source.directives {
            let content = Content {
                rules: rules.clone(),
                sources: vec![SourceLines {
                    name: name.clone(),
                    lines: rules.split('\n').count(),
                }],
                files: BTreeMap::new(),
            };
            match Loading::new(content, None).with_work_limit(work_limit).finish(None) {
                Ok(loaded) => sets.insert(name.as_str(), Rc::new(loaded)),
                Err(invalid) => {
                    refuse(host, name, &invalid.to_string());
                    return None;
                }
            };
        }
        let set = |name: &str| {
            let found = sets.get(name).cloned();
            if found.is_none() {
                refuse(host, name, "directives_map has no set of this name");
            }
            found
        };
        let mut rules = Self::default();
        for (authority, name) in &source.authorities {
            rules.authorities.insert(authority.to_ascii_lowercase(), set(name)?);
        }
        if let Some(name) = source.default.as_deref().filter(|name| !name.is_empty()) {
            rules.default = Some(set(name)?);
        }
        Some(rules)
    }

    /// The rules for an authority.
    #[must_use]
    pub fn select(&self, authority: &[u8]) -> Option<Selected> {
        let own = std::str::from_utf8(authority).ok().map(str::to_ascii_lowercase);
        if let Some((authority, loaded)) = own.and_then(|authority| self.authorities.get_key_value(&authority)) {
            return Some(Selected {
                loaded: Rc::clone(loaded),
                authority: Some(authority.clone()),
            });
        }
        // Stat names are made of what is configured, never of what clients send.
        let authority = (!self.authorities.is_empty()).then(|| "other".to_owned());
        self.default.clone().map(|loaded| Selected { loaded, authority })
    }
}

fn refuse(host: &impl Host, set: &str, error: &str) {
    event(
        host,
        Level::Critical,
        "coraza_waf_plugin_load",
        &[("status", "failure"), ("rules", set), ("error", error)],
    );
}

/// What a configuration asks for.
#[must_use]
pub fn slot_key(config: &Config) -> Option<SlotKey> {
    match &config.source {
        Source::Cache(cache) => Some((cache.cluster.clone(), cache.instance.clone())),
        Source::Static(_) => None,
    }
}
