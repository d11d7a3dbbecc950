//! The one RuleSet that a command takes: chosen among what files hold, compiled as the controller does, made ready to run. Reads files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use coraza_compiler::{Compiler, Options};
use coraza_engine::{DataFiles, Program, Source};
use coraza_seclang::rules::Rules;
use coraza_seclang::{Location, lower, parse};

use super::collect::collect;
use super::finding::Finding;
use super::read::{Kind, NAMED, ReadError, read};
use super::{LocalRuleSet, LookUpError};
use crate::args::RulesFlags;
use crate::cluster::{Cluster, ClusterError};
use crate::output::Terminal;

/// Why there is no RuleSet to go on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChooseError {
    /// The files can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The files have none.
    #[error("the files have no rules, nor a RuleSet with its RuleSources")]
    None,
    /// They have several, and it isn't said which.
    #[error("there are several RuleSets: choose one of {} with --ruleset", .0.join(", "))]
    Several(Vec<String>),
    /// They haven't the one that is asked for.
    #[error("there is no RuleSet {name}, but {}", there.join(", "))]
    NotFound { name: String, there: Vec<String> },
    /// It can't be used; the findings say why.
    #[error("{name} can't be used: see above")]
    Invalid { name: String, findings: Vec<Finding> },
    /// There is no way to the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The cluster doesn't have it.
    #[error(transparent)]
    LookUp(#[from] LookUpError),
}

impl ChooseError {
    /// The same, its findings shown before it.
    pub(crate) fn shown(self, terminal: &mut Terminal) -> Self {
        if let Self::Invalid { findings, .. } = &self {
            for finding in findings {
                terminal.note(format_args!("{}\n", finding.render().trim_end()));
            }
        }
        self
    }
}

/// Reads the files and chooses. All files of rules are one RuleSet, in the order in which they are named.
pub(crate) fn choose(flags: &RulesFlags, compiler: &Compiler) -> Result<LocalRuleSet, ChooseError> {
    one(&flags.files, flags.ruleset.as_deref(), compiler)
}

/// The same of paths.
pub(crate) fn one(paths: &[PathBuf], wanted: Option<&str>, compiler: &Compiler) -> Result<LocalRuleSet, ChooseError> {
    let mut files = read(paths)?;
    for file in &mut files {
        NAMED.clone_into(&mut file.group);
    }
    let has_manifests = files.iter().any(|file| file.kind == Kind::Manifest);
    let mut collection = collect(&files, compiler);
    if wanted.is_none() && has_manifests {
        // What is wrong elsewhere may be the reason why there is only one.
        collection.findings.retain(Finding::is_error);
        if !collection.findings.is_empty() {
            return Err(ChooseError::Invalid {
                name: "what the files hold".to_owned(),
                findings: collection.findings,
            });
        }
    }
    let names = || collection.rulesets.iter().map(|set| set.name.clone()).collect();
    match (wanted, &collection.rulesets[..]) {
        (_, []) => Err(ChooseError::None),
        (None, [set]) => Ok(set.clone()),
        (None, _) => Err(ChooseError::Several(names())),
        (Some(wanted), sets) => {
            let is_wanted = |set: &&LocalRuleSet| {
                set.name == wanted || set.name.split_once('/').is_some_and(|(_, name)| name == wanted)
            };
            let named: Vec<_> = sets.iter().filter(is_wanted).collect();
            match named[..] {
                [set] => Ok(set.clone()),
                [] => Err(ChooseError::NotFound {
                    name: wanted.to_owned(),
                    there: names(),
                }),
                _ => Err(ChooseError::Several(named.iter().map(|set| set.name.clone()).collect())),
            }
        }
    }
}

/// A RuleSet that runs.
pub(crate) struct Runnable {
    pub(crate) program: Arc<Program>,
    pub(crate) ruleset: LocalRuleSet,
    /// Where each rule that has a number stands.
    places: BTreeMap<u64, Location>,
}

/// Compiles a RuleSet as the controller would and then as a gateway would.
pub(crate) fn compile(ruleset: LocalRuleSet, compiler: &Compiler) -> Result<Runnable, ChooseError> {
    if let Err(error) = compiler.compile(&ruleset.resolved, &Options::default()) {
        return Err(ChooseError::Invalid {
            findings: Finding::of_error(&ruleset, &error),
            name: ruleset.name,
        });
    }
    let rules = rules(&ruleset);
    let sources = ruleset.resolved.sources.iter();
    let sources: Vec<_> = sources
        .map(|source| Source::new(&source.name, source.text.as_bytes()))
        .collect();
    let options = coraza_engine::Options {
        sources: &sources,
        files: &Files(&ruleset.resolved.data_files),
        ..coraza_engine::Options::default()
    };
    let program = match Program::compile(&rules, &options) {
        Ok(program) => Arc::new(program),
        // The compiler asks the engine first, so this is a defect: of ours, but not to be hidden.
        Err(errors) => {
            let error = |error: &coraza_seclang::SourceDiagnostic| {
                Finding::error(
                    error.diagnostic.kind.as_str(),
                    &ruleset.name,
                    None,
                    error.diagnostic.to_string(),
                )
            };
            return Err(ChooseError::Invalid {
                findings: errors.iter().map(error).collect(),
                name: ruleset.name,
            });
        }
    };
    let places = rules
        .rules()
        .filter_map(|rule| Some((rule.id?.0, rule.starter()?.location)));
    Ok(Runnable {
        program,
        places: places.collect(),
        ruleset,
    })
}

/// The rules of all sources, lowered together. What is wrong with them is known already.
pub(crate) fn rules(ruleset: &LocalRuleSet) -> Rules {
    let sources = ruleset.resolved.sources.iter();
    let parsed: Vec<_> = sources.map(|source| Arc::new(parse(source.text.as_bytes()))).collect();
    lower(&parsed).0
}

impl Runnable {
    /// Where a place of the rules stands, as people name it.
    pub(crate) fn describe(&self, location: Location) -> String {
        self.ruleset.describe(location)
    }

    /// The same of a rule.
    pub(crate) fn place_of(&self, id: u64) -> Option<String> {
        self.places.get(&id).map(|location| self.describe(*location))
    }
}

impl LocalRuleSet {
    /// Where a place of the rules stands, as people name it.
    pub(crate) fn describe(&self, location: Location) -> String {
        let at = usize::try_from(location.source.0).unwrap_or(usize::MAX);
        let (Some(source), Some(origin)) = (self.resolved.sources.get(at), self.origins.get(at)) else {
            return String::new();
        };
        let end = usize::try_from(location.span.start)
            .unwrap_or(usize::MAX)
            .min(source.text.len());
        let before = source.text.as_bytes().get(..end).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        origin.describe(u32::try_from(lines.saturating_add(1)).unwrap_or(u32::MAX))
    }
}

/// Gets a RuleSet of a cluster.
pub(crate) async fn of_cluster(
    flags: &crate::args::ClusterFlags,
    name: &str,
    compiler: &Compiler,
) -> Result<LocalRuleSet, ChooseError> {
    let mut flags = flags.clone();
    let mut name = name;
    if let Some((namespace, rest)) = name.split_once('/') {
        flags.namespace = Some(namespace.to_owned());
        name = rest;
    }
    let cluster = Cluster::connect(&flags).await?;
    Ok(super::from_cluster(&cluster, name, compiler).await?)
}

/// The RuleSet's data files, as the engine asks for them.
struct Files<'a>(&'a coraza_ruleset::DataFiles);

impl DataFiles for Files<'_> {
    fn read(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(std::str::from_utf8(name).ok()?).map(AsRef::as_ref)
    }
}
