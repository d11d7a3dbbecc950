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
    /// Content types whose bodies are streams.
    pub stream_content_types: Vec<String>,
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
            stream_content_types: config.stream_content_types.clone(),
            engine: config.engine.clone(),
            namespace: config.namespace.clone(),
            names: Names::new(config),
        }
    }

    /// `<namespace>/<name>` of the Engine, if both are configured.
    #[must_use]
    pub fn engine_key(&self) -> Option<String> {
        Some(format!("{}/{}", self.namespace.as_ref()?, self.engine.as_ref()?))
    }
}
