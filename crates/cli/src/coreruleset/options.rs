//! `Options`: the flags, checked.

use std::collections::BTreeSet;

use coraza_compiler::Profile;
use coraza_seclang::rules::{Definition, OperatorName};

use super::error::GenerateError;
use super::name;
use super::trim::Reason;
use crate::args::Coreruleset;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The version of the rules, digits and dots.
    pub(super) version: String,
    pub(super) ignored_rules: BTreeSet<u64>,
    pub(super) ignore_pm_from_file: bool,
    pub(super) include_test_rule: bool,
    pub(super) ruleset_name: String,
    pub(super) namespace: Option<String>,
    pub(super) data_source_name: String,
    pub(super) name_prefix: String,
    pub(super) name_suffix: String,
    pub(super) check_sizes: bool,
    /// Whose unsupported rules are left out.
    pub(super) profile: Profile,
}

impl TryFrom<&Coreruleset> for Options {
    type Error = GenerateError;

    fn try_from(args: &Coreruleset) -> Result<Self, GenerateError> {
        let named = |flag, name: &String, check: fn(&str) -> Result<(), _>| match check(name) {
            Ok(()) => Ok(name.clone()),
            Err(source) => Err(GenerateError::Name {
                flag,
                name: name.clone(),
                source,
            }),
        };
        let namespace = (!args.namespace.is_empty()).then(|| named("--namespace", &args.namespace, name::check_label));
        Ok(Self {
            version: version(&args.version)?,
            ignored_rules: rule_ids(&args.ignore_rules)?,
            ignore_pm_from_file: args.ignore_pm_from_file,
            include_test_rule: args.include_test_rule,
            ruleset_name: named("--ruleset-name", &args.ruleset_name, name::check_subdomain)?,
            namespace: namespace.transpose()?,
            data_source_name: named("--data-source-name", &args.data_source_name, name::check_subdomain)?,
            name_prefix: args.name_prefix.clone(),
            name_suffix: args.name_suffix.clone(),
            check_sizes: !args.skip_size_check,
            // Any value but a profile's name leaves out nothing, as scripts that pass `none` expect.
            profile: args.ignore_unsupported_rules.parse().unwrap_or_default(),
        })
    }
}

impl Options {
    /// Why a rule is left out, if it is.
    pub(super) fn reason(&self, rule: &Definition) -> Option<Reason> {
        let id = rule.actions.id().map(|id| id.0);
        if id.is_some_and(|id| self.ignored_rules.contains(&id)) {
            return Some(Reason::Ignored);
        }
        if let Some(unsupported) = id.and_then(|id| self.profile.unsupported(id)) {
            return Some(Reason::Unsupported(self.profile, unsupported));
        }
        let reads_file = rule
            .operator
            .as_ref()
            .is_some_and(|operator| operator.name == OperatorName::PmFromFile);
        (self.ignore_pm_from_file && reads_file).then_some(Reason::PmFromFile)
    }

    /// What is said before anything is done.
    pub(super) fn notices(&self) -> Vec<String> {
        let ids = self
            .ignored_rules
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let ignoring = (!ids.is_empty()).then(|| format!("Ignoring rule IDs: {ids}"));
        ignoring.into_iter().collect()
    }
}

fn version(text: &str) -> Result<String, GenerateError> {
    let version = text.strip_prefix('v').unwrap_or(text);
    let well_formed = version
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if well_formed {
        Ok(version.to_owned())
    } else {
        Err(GenerateError::Version {
            version: text.to_owned(),
        })
    }
}

fn rule_ids(text: &str) -> Result<BTreeSet<u64>, GenerateError> {
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    ids.map(|id| id.parse().map_err(|_| GenerateError::RuleId { id: id.to_owned() }))
        .collect()
}
