//! The plugin's configuration: JSON → values. Pure.
//!
//! Keys are those of the Go plugin, and some of ours whose defaults are what the Go plugin does. A key that can't be read gets
//! its default and a warning, for a refused configuration would keep Envoy from taking any other update.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// Poll interval where none is configured; the Go plugin's.
const DEFAULT_INTERVAL_SECONDS: i64 = 30;
/// The shortest interval: the Go plugin's, two call time-outs and a second.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// A longer one would never be noticed.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The controller's default for a RuleSet.
const DEFAULT_MAX_RULES_BYTES: u64 = 8 << 20;

/// Everything that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where rules come from.
    pub source: Source,
    /// What requests get while there are no rules.
    pub failure_policy: FailurePolicy,
    /// Whether blocks are told to access logs by filter state.
    pub filter_state: bool,
    /// Appended to the names of the Go plugin's metrics as `_key=value`.
    pub metric_labels: BTreeMap<String, String>,
    /// The Engine's name, for metrics, logs and reports.
    pub engine: Option<String>,
    /// The Engine's namespace.
    pub namespace: Option<String>,
    /// Which matches are logged.
    pub match_log: MatchLog,
    /// Whether each request is logged, for collectors that make metrics of lines.
    pub log_requests: bool,
    /// The most work of one transaction, in the engine's unit; the engine's default if absent.
    pub work_limit: Option<u64>,
    /// Content types whose bodies are streams: they are let through as they come, uninspected. gRPC always is.
    pub stream_content_types: Vec<String>,
    /// How many bytes of a body may be held where rules take a part for the whole (`ProcessPartial`). Envoy refuses requests and breaks
    /// responses off that it would have to hold more of than its buffer limit, which it doesn't tell.
    pub max_held_body_bytes: Option<u64>,
}

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// They are polled.
    Cache(Cache),
    /// They are in the configuration.
    Static(Static),
}

/// What to poll.
#[derive(Clone, PartialEq, Eq)]
pub struct Cache {
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// `<namespace>/<name>` of the RuleSet.
    pub instance: String,
    /// The bearer token; empty for none.
    pub token: String,
    /// How often; `None` for never again after the first rules.
    pub interval: Option<Duration>,
    /// The largest RuleSet, in bytes of rules and data files.
    pub max_rules_bytes: u64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            instance,
            token: _,
            interval,
            max_rules_bytes,
        } = self;
        f.debug_struct("Cache")
            .field("cluster", cluster)
            .field("instance", instance)
            .field("interval", interval)
            .field("max_rules_bytes", max_rules_bytes)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// The `:authority` of polls: what stands after the last `||` of the cluster's name, as Istio names clusters.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.cluster.rsplit_once("||").map_or(&self.cluster, |(_, host)| host)
    }
}

/// Rules in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Static {
    /// Directives by the name of their set, one text each.
    pub directives: BTreeMap<String, String>,
    /// The set for authorities that have none of their own.
    pub default: Option<String>,
    /// Sets by authority.
    pub authorities: BTreeMap<String, String>,
}

/// What requests get while there are no rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They are refused.
    Fail,
    /// They pass uninspected.
    Allow,
}

/// Which matches are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchLog {
    /// So many a second and worker, so that an attack can't fill a disk.
    Sampled,
    /// Each.
    All,
}

impl Config {
    /// Reads a configuration. What can't be read is named in the warnings and stays as if it weren't there.
    #[must_use]
    pub fn parse(json: &[u8]) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let object = match serde_json::from_slice::<Value>(json) {
            Ok(Value::Object(object)) => object,
            Ok(_) => {
                warnings.push("the configuration is no JSON object".to_owned());
                Map::new()
            }
            Err(error) => {
                warnings.push(format!("the configuration is no JSON: {error}"));
                Map::new()
            }
        };
        let mut keys = Keys { object, warnings };
        let config = Self {
            source: source(&mut keys),
            failure_policy: match keys.string("failure_policy").as_deref() {
                Some("allow") => FailurePolicy::Allow,
                _ => FailurePolicy::Fail,
            },
            filter_state: keys.bool("enable_filter_state_logs").unwrap_or_default(),
            metric_labels: keys.strings_by_name("metric_labels").unwrap_or_default(),
            engine: keys.string("engine").filter(|name| !name.is_empty()),
            namespace: keys.string("namespace").filter(|name| !name.is_empty()),
            match_log: match keys.string("match_log").as_deref() {
                Some("all") => MatchLog::All,
                _ => MatchLog::Sampled,
            },
            log_requests: keys.bool("log_requests").unwrap_or_default(),
            work_limit: keys
                .number("waf_work_limit")
                .and_then(|limit| u64::try_from(limit).ok()),
            stream_content_types: keys.strings("stream_content_types").unwrap_or_default(),
            max_held_body_bytes: keys
                .number("max_held_body_bytes")
                .and_then(|bytes| u64::try_from(bytes).ok()),
        };
        (config, keys.finish())
    }
}

fn source(keys: &mut Keys) -> Source {
    let cluster = keys.string("cache_server_cluster").unwrap_or_default();
    let instance = keys
        .string("cache_server_instance")
        .unwrap_or_else(|| "default".to_owned());
    let token = keys.string("cache_token").unwrap_or_default();
    let interval = keys
        .number("rule_reload_interval_seconds")
        .unwrap_or(DEFAULT_INTERVAL_SECONDS);
    let max_rules_bytes = keys
        .number("max_rules_bytes")
        .and_then(|bytes| u64::try_from(bytes).ok());
    let directives = keys.directives("directives_map").unwrap_or_default();
    let default = keys.string("default_directives");
    let authorities = keys.strings_by_name("per_authority_directives").unwrap_or_default();
    let rules = keys.strings("rules");
    if !cluster.is_empty() {
        let seconds = u64::try_from(interval).ok().filter(|seconds| *seconds > 0);
        return Source::Cache(Cache {
            cluster,
            instance,
            // A line break would end the header field that it goes into.
            token: if token.bytes().all(|byte| byte.is_ascii_graphic()) {
                token
            } else {
                String::new()
            },
            interval: seconds.map(|seconds| Duration::from_secs(seconds).clamp(MIN_INTERVAL, MAX_INTERVAL)),
            max_rules_bytes: max_rules_bytes.unwrap_or(DEFAULT_MAX_RULES_BYTES),
        });
    }
    let mut source = Static {
        directives,
        default,
        authorities,
    };
    // The Go plugin's oldest form: one set, for all.
    if let (true, Some(rules)) = (source.directives.is_empty(), rules) {
        source.directives.insert("default".to_owned(), rules.join("\n"));
        source.default = Some("default".to_owned());
    }
    Source::Static(source)
}

/// The keys that are left to read.
struct Keys {
    object: Map<String, Value>,
    warnings: Vec<String>,
}

/// Keys without a meaning here: those of the Go plugin's branches that write metrics, and what our controller adds to tell whose the
/// configuration is, or to make it another one.
const WITHOUT_EFFECT: [&str; 5] = [
    "metrics_mode",
    "suppress_crs_audit_logs",
    "driver_type",
    "engine_uid",
    "redrive",
];

impl Keys {
    fn read<T>(&mut self, key: &str, kind: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.object.remove(key).filter(|value| !value.is_null())?;
        let read = read(value);
        if read.is_none() {
            self.warnings
                .push(format!("the key {key} must be {kind} and is ignored"));
        }
        read
    }

    fn string(&mut self, key: &str) -> Option<String> {
        self.read(key, "a string", string)
    }

    fn bool(&mut self, key: &str) -> Option<bool> {
        self.read(key, "true or false", |value| value.as_bool())
    }

    fn number(&mut self, key: &str) -> Option<i64> {
        // A string too: people quote numbers in YAML.
        self.read(key, "a whole number", |value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64().or_else(|| {
                other
                    .as_f64()
                    .filter(|number| number.fract() == 0.0)
                    .map(|number| number as i64)
            }),
        })
    }

    fn strings(&mut self, key: &str) -> Option<Vec<String>> {
        self.read(key, "a list of strings", strings)
    }

    fn strings_by_name(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        self.read(key, "an object of strings", |value| {
            let Value::Object(object) = value else { return None };
            object
                .into_iter()
                .map(|(name, value)| Some((name, string(value)?)))
                .collect()
        })
    }

    fn directives(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        self.read(key, "an object of lists of strings", |value| {
            let Value::Object(object) = value else { return None };
            object
                .into_iter()
                .map(|(name, value)| Some((name, strings(value)?.join("\n"))))
                .collect()
        })
    }

    fn finish(mut self) -> Vec<String> {
        for key in WITHOUT_EFFECT {
            self.object.remove(key);
        }
        let unknown: BTreeSet<&str> = self.object.keys().map(String::as_str).collect();
        if !unknown.is_empty() {
            let names: Vec<_> = unknown
                .into_iter()
                .map(|name| name.escape_default().to_string())
                .collect();
            self.warnings
                .push(format!("unknown keys are ignored: {}", names.join(", ")));
        }
        self.warnings
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn strings(value: Value) -> Option<Vec<String>> {
    let Value::Array(list) = value else { return None };
    list.into_iter().map(string).collect()
}

#[cfg(test)]
mod tests;
