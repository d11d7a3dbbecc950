//! `lint`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use coraza_compiler::Profile;
use coraza_ruleset::limits::DEFAULT_MAX_RULESET_BYTES;

use super::OutputFlags;

/// Say what is wrong with rules, as the controller would.
///
/// Files of rules (.conf) in one folder are one RuleSet, in the order of their names, with the .data files beside them; files that are
/// named one by one are one, too. Manifests (.yaml, .yml, .json) are RuleSources, RuleData, RuleSets and Engines, or ConfigMaps with the
/// key `rules`; what a RuleSet names must be among them. Folders are read with all that is below them, but for hidden files; of their
/// YAML files those count that mention waf.k8s.coraza.io and are no templates of a chart.
///
/// Exit codes: 0 nothing is wrong, 1 something is (errors, and with --warnings-as-errors warnings), 2 it could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # A folder, with all that is below it
  kubectl coraza lint deploy/samples

  # What is about to be applied
  kubectl coraza lint - < deploy/samples/rules.yaml

  # For a program
  kubectl coraza lint -o json deploy/samples")]
pub(crate) struct Lint {
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Warnings count as errors
    #[arg(long)]
    pub(crate) warnings_as_errors: bool,
    /// What runs the rules: native is this project's plugin, wasm is the Go plugin
    #[arg(long, value_name = "PROFILE", default_value_t, value_parser = profiles())]
    pub(crate) engine_profile: Profile,
    /// The most bytes of one RuleSet; the controller's flag of the same name
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MAX_RULESET_BYTES)]
    pub(crate) max_ruleset_bytes: u64,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

fn profiles() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new([Profile::Native.as_str(), Profile::Wasm.as_str()])
        .try_map(|name| name.parse::<Profile>())
}
