//! `diff`.

use clap::ValueHint;

use super::{ClusterFlags, OutputFlags};

/// Say which rules were added, removed or changed between two RuleSets.
///
/// Rules are compared by their ids, wherever they stand, after the updates and removals of their own RuleSet. What is written differently but
/// read the same is no change; nor are ver and rev, which every release changes. OLD and NEW are files or folders of rules, manifests with
/// one RuleSet (or the one that --ruleset names), or ruleset/NAME and ruleset/NAMESPACE/NAME for one in the cluster.
///
/// Exit codes: 0 no rule differs, 1 some do, 2 rules can't be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Two folders with the rules of two releases
  kubectl coraza diff crates/cli/testdata/diff/old crates/cli/testdata/diff/new

  # What applying a manifest would change in the cluster
  kubectl coraza diff -n shop ruleset/shop deploy/samples/rules.yaml")]
pub(crate) struct Diff {
    /// The rules before
    #[arg(value_name = "OLD", value_hint = ValueHint::AnyPath)]
    pub(crate) old: String,
    /// The rules after
    #[arg(value_name = "NEW", value_hint = ValueHint::AnyPath)]
    pub(crate) new: String,
    /// Which RuleSet, if manifests have several: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) ruleset: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}
