//! Which rules, where a command takes one RuleSet.

use std::path::PathBuf;

/// The rules of one RuleSet.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct RulesFlags {
    /// A file or folder of rules or manifests, or - for standard input; several are taken together, in this order
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Which RuleSet, if the manifests have several: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) ruleset: Option<String>,
}
