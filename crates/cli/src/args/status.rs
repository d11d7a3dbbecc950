//! `status`.

use std::time::Duration;

use clap::ValueEnum;

use crate::args::{ClusterFlags, Format};
use crate::status::goal::WaitFor;

/// Show Engines and RuleSets, their revisions, who enforces what, the caches, and what is wrong.
///
/// Exit codes: 0 it was shown, or what was waited for has come; 1 an object that was named does not exist, or what was waited for did not come
/// in time; 2 it could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # All of a namespace
  kubectl coraza status -n shop

  # One Engine with its RuleSet, in all columns
  kubectl coraza status engine/waf -o wide

  # After a change: wait until every gateway pod runs it
  kubectl coraza status waf --wait-for enforced --timeout 2m

  # Watch a roll-out
  kubectl coraza status -A --watch")]
pub(crate) struct Status {
    /// Engines and RuleSets: `engine/waf`, `ruleset/crs`, or a name of either; all if none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Of all namespaces
    #[arg(long, short = 'A', conflicts_with = "names")]
    pub(crate) all_namespaces: bool,
    /// Go on, and show it again whenever it changes: in place on a terminal, else only what changed, line by line
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// Wait until it is so for everything that is named
    #[arg(long, value_name = "WHAT", value_enum, conflicts_with = "watch")]
    pub(crate) wait_for: Option<WaitFor>,
    /// How long to wait at most; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "wait_for", value_parser = crate::args::duration::parse)]
    pub(crate) timeout: Duration,
    /// Wait for exactly this revision (its uuid)
    #[arg(long, value_name = "UUID", requires = "wait_for")]
    pub(crate) revision: Option<String>,
    /// The namespace that the operator runs in, if it can't be found
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) operator_namespace: Option<String>,
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: StatusFormat,
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people
    #[default]
    Text,
    /// For people, with more columns
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

impl StatusFormat {
    /// As other commands have it.
    pub(crate) const fn format(self) -> Format {
        match self {
            Self::Text | Self::Wide => Format::Text,
            Self::Json => Format::Json,
            Self::Yaml => Format::Yaml,
        }
    }
}
