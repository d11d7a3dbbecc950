//! Flags of the Go operator that a chart or script may pass. Those that mean nothing here are accepted and named once, so that a
//! person can take them out in their own time.

use clap::Args;

/// Flags of the Go operator.
#[derive(Debug, Clone, Args)]
pub struct CompatArgs {
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_gc_interval: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_max_age: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub cache_max_size: Option<String>,
    /// Without effect.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub zap_devel: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_encoder: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_log_level: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_stacktrace_level: Option<String>,
    /// Without effect.
    #[arg(long, hide = true)]
    pub zap_time_encoding: Option<String>,
}

impl CompatArgs {
    /// The flags that were given and never do anything.
    #[must_use]
    pub fn without_effect(&self) -> Vec<&'static str> {
        [
            ("--cache-gc-interval", self.cache_gc_interval.is_some()),
            ("--cache-max-age", self.cache_max_age.is_some()),
            ("--cache-max-size", self.cache_max_size.is_some()),
            ("--zap-devel", self.zap_devel.is_some()),
            ("--zap-encoder", self.zap_encoder.is_some()),
            ("--zap-log-level", self.zap_log_level.is_some()),
            ("--zap-stacktrace-level", self.zap_stacktrace_level.is_some()),
            ("--zap-time-encoding", self.zap_time_encoding.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}
