//! `generate`: flags, defaults and spellings are those of the Go tool, which scripts pass.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Turn the files of the OWASP Core Rule Set into RuleSources, a RuleData and a RuleSet, as YAML on standard output.
    Coreruleset(Coreruleset),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # A folder with the rules of a release
  kubectl coraza generate coreruleset --rules-dir crates/cli/testdata/diff/new --version 4.25.0

  # For the Go plugin, in a namespace, without two rules
  kubectl coraza generate coreruleset --rules-dir crates/cli/testdata/diff/new --version v4.25.0 \\
    -n shop --ignore-rules 1,6 --ignore-unsupported-rules wasm")]
pub(crate) struct Coreruleset {
    /// Directory with the .conf and .data files; those below it are not read
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) rules_dir: PathBuf,
    /// Version of the Core Rule Set, such as 4.25.0
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: String,
    /// Rules to leave out with their chains, such as 942100,942110
    #[arg(long, value_name = "IDS", default_value = "")]
    pub(crate) ignore_rules: String,
    /// Leave out rules that use @pmFromFile
    #[arg(long = "ignore-pmFromFile")]
    pub(crate) ignore_pm_from_file: bool,
    /// Add the rules that conformance tests need
    #[arg(long)]
    pub(crate) include_test_rule: bool,
    /// Name of the RuleSet
    #[arg(long, value_name = "NAME", default_value = "default-ruleset")]
    pub(crate) ruleset_name: String,
    /// Namespace of all objects
    #[arg(long, short, value_name = "NAMESPACE", default_value = "")]
    pub(crate) namespace: String,
    /// Name of the RuleData
    #[arg(long, value_name = "NAME", default_value = "coreruleset-data")]
    pub(crate) data_source_name: String,
    /// What the names of RuleSources made from files start with
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) name_prefix: String,
    /// What the names of RuleSources made from files end with
    #[arg(long, value_name = "SUFFIX", default_value = "")]
    pub(crate) name_suffix: String,
    /// `client` says on standard error that nothing is applied, which is never done anyway
    #[arg(long, value_name = "MODE", default_value = "")]
    pub(crate) dry_run: String,
    /// Write objects also if the API server may find them too large
    #[arg(long)]
    pub(crate) skip_size_check: bool,
    /// Leave out rules that this plugin can't run: `wasm` is the Go plugin, anything else leaves out none
    #[arg(long, value_name = "PROFILE", default_value = "native")]
    pub(crate) ignore_unsupported_rules: String,
}
