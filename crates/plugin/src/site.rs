//! `Site`: what all streams of one configuration share. Values only.

use crate::config::{Config, FailurePolicy, MatchLog};
use crate::metrics::Names;

/// One configuration, as streams need it.
#[derive(Clone, Debug)]
pub struct Site {
    /// What requests get while there are no rules.
    pub failure_policy: FailurePolicy,
    /// Whether blocks are told to access logs.
    pub filter_state: bool,
    /// Which matches are logged.
    pub match_log: MatchLog,
    /// Whether each request is logged.
    pub log_requests: bool,
    /// Content types whose bodies are streams.
    pub stream_content_types: Vec<String>,
    /// The most work of one transaction, in the engine's unit.
    pub work_limit: Option<u64>,
    /// How many bytes of a body may be held where rules take a part for the whole.
    pub max_held_body_bytes: u64,
    /// The Engine's name.
    pub engine: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// What metrics are called.
    pub names: Names,
}

impl Site {
    /// That of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            failure_policy: config.failure_policy,
            filter_state: config.filter_state,
            match_log: config.match_log,
            log_requests: config.log_requests,
            stream_content_types: config.stream_content_types.clone(),
            work_limit: config.work_limit,
            max_held_body_bytes: config.max_held_body_bytes.unwrap_or(u64::MAX),
            engine: config.engine.clone(),
            namespace: config.namespace.clone(),
            names: Names::new(config),
        }
    }

    /// Name and namespace of the Engine, as lines that collectors read have them.
    #[must_use]
    pub fn names_in_logs(&self) -> (&str, &str) {
        let [engine, namespace] = [&self.engine, &self.namespace].map(|name| name.as_deref().unwrap_or("unknown"));
        (engine, namespace)
    }

    /// `<namespace>/<name>` of the Engine, if both are configured.
    #[must_use]
    pub fn engine_key(&self) -> Option<String> {
        Some(format!("{}/{}", self.namespace.as_ref()?, self.engine.as_ref()?))
    }
}
