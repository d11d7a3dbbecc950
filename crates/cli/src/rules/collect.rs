//! From files to RuleSets: the rules of a folder are one, those that are named one by one are one, and manifests say themselves what
//! belongs together. No IO.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coraza_compiler::{Compiler, ResolvedRuleSet, ResolvedSource, Validation, data_file};
use coraza_ruleset::{DataFiles, RuleSetKey};

use super::finding::Finding;
use super::manifest::{self, Object};
use super::origin::Origin;
use super::read::{InputFile, Kind};
use super::{DataTexts, LocalRuleSet, LooseSource};
use crate::output::paint::plain;

/// What files hold.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    /// The RuleSets, in the order in which they were met.
    pub(crate) rulesets: Vec<LocalRuleSet>,
    /// RuleSources that none of them names, or only one that can't be resolved.
    pub(crate) loose: Vec<LooseSource>,
    /// What is wrong before anything is compiled.
    pub(crate) findings: Vec<Finding>,
    /// How much there was.
    pub(crate) counts: Counts,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) files: usize,
    pub(crate) rule_sets: usize,
    pub(crate) sources: usize,
}

/// The namespace of what says none.
const NAMESPACE: &str = "default";

/// Puts files together. Files of rules are one RuleSet for each [`group`](InputFile::group).
pub(crate) fn collect(files: &[InputFile], compiler: &Compiler) -> Collection {
    let mut collection = Collection::default();
    let (mut objects, mut groups) = (Vec::new(), BTreeMap::<&str, Group>::new());
    for file in files {
        collection.counts.files += usize::from(file.kind != Kind::Data);
        let text = text(file, &mut collection.findings);
        match file.kind {
            Kind::Rules => groups
                .entry(&file.group)
                .or_default()
                .rules(file, compiler.intern(&text)),
            Kind::Data => groups.entry(&file.group).or_default().data(file, text),
            Kind::Manifest => {
                let (read, findings) = manifest::read(&file.path, &text, file.named);
                objects.extend(read);
                collection.findings.extend(findings);
            }
        }
    }
    for (name, group) in groups {
        collection.rulesets.extend(group.ruleset(name));
    }
    let objects = Objects::new(&objects, &mut collection.findings);
    objects.resolve(compiler, &mut collection);
    collection.counts.rule_sets = collection.rulesets.len();
    let in_sets: usize = collection.rulesets.iter().map(|set| set.resolved.sources.len()).sum();
    collection.counts.sources = in_sets + collection.loose.len();
    collection
}

/// The text of a file. What can't be in an object of Kubernetes is left out, as `generate` does.
fn text(file: &InputFile, findings: &mut Vec<Finding>) -> String {
    let mut text = String::with_capacity(file.bytes.len());
    let (mut invalid, mut line) = (0_usize, None);
    for chunk in file.bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            invalid = invalid.saturating_add(chunk.invalid().len());
            line = line.or_else(|| u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count() + 1).ok());
        }
    }
    if invalid > 0 {
        let message = format!("{invalid} bytes are not UTF-8, which is all that an object can hold");
        let finding = Finding::error("not-utf8", &file.path, line, message).warning();
        findings.push(finding.hint("write them as \\xHH; what follows is about the text without them"));
    }
    text
}

/// Files of rules that belong together, with the data beside them.
#[derive(Default)]
struct Group {
    sources: Vec<ResolvedSource>,
    origins: Vec<Origin>,
    data: DataTexts,
}

impl Group {
    fn rules(&mut self, file: &InputFile, text: Arc<str>) {
        self.sources.push(ResolvedSource {
            name: file.path.as_str().into(),
            text,
            validation: Validation::Own,
        });
        self.origins.push(Origin::whole(&file.path));
    }

    fn data(&mut self, file: &InputFile, text: String) {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        self.data.insert(name.into(), text.into());
    }

    fn ruleset(self, name: &str) -> Option<LocalRuleSet> {
        if self.sources.is_empty() {
            return None;
        }
        Some(LocalRuleSet {
            name: name.to_owned(),
            resolved: ResolvedRuleSet {
                key: key(NAMESPACE, "files")?,
                sources: self.sources,
                data_files: Arc::new(data_files(self.data)),
            },
            origins: self.origins,
            allow_unsupported: false,
        })
    }
}

/// The objects of all manifests by kind, namespace and name.
struct Objects<'o> {
    all: &'o [Object],
    sources: BTreeMap<(&'o str, &'o str), &'o Object>,
    data: BTreeMap<(&'o str, &'o str), &'o Object>,
    sets: BTreeMap<(&'o str, &'o str), &'o Object>,
}

impl<'o> Objects<'o> {
    /// Sorts objects; of two with one name the later counts, as for `kubectl apply`.
    fn new(all: &'o [Object], findings: &mut Vec<Finding>) -> Self {
        let mut objects = Self {
            all,
            sources: BTreeMap::new(),
            data: BTreeMap::new(),
            sets: BTreeMap::new(),
        };
        for object in all {
            let kind = match &object.kind {
                manifest::Kind::Source { .. } => &mut objects.sources,
                manifest::Kind::Data(_) => &mut objects.data,
                manifest::Kind::Set { .. } => &mut objects.sets,
                manifest::Kind::Engine { .. } => continue,
            };
            if let Some(before) = kind.insert((object.namespace(), &object.name), object) {
                let message = format!("{} is also in {}:{}", object.title, before.file, before.line);
                let finding = Finding::error("defined-twice", &object.file, Some(object.line), message);
                findings.push(finding.warning().hint("the later one was looked at"));
            }
        }
        objects
    }

    fn resolve(&self, compiler: &Compiler, collection: &mut Collection) {
        let mut named = BTreeSet::new();
        for set in self.all {
            match &set.kind {
                manifest::Kind::Set { sources, data } => {
                    let before = collection.findings.len();
                    collection.findings.extend(duplicates(set, "sources", sources));
                    collection.findings.extend(duplicates(set, "data", data));
                    let sources = find(set, sources, &self.sources, "RuleSource", &mut collection.findings);
                    let data = find(set, data, &self.data, "RuleData", &mut collection.findings);
                    if collection.findings.len() == before {
                        named.extend(sources.iter().map(|source| (source.namespace(), source.name.as_str())));
                        collection.rulesets.extend(ruleset(set, &sources, &data, compiler));
                    }
                }
                manifest::Kind::Engine { ruleset } if !self.sets.is_empty() => {
                    // Where no RuleSets are given, an Engine's is not meant to be among them.
                    let names = std::slice::from_ref(ruleset);
                    find(set, names, &self.sets, "RuleSet", &mut collection.findings);
                }
                _ => {}
            }
        }
        let loose = self.sources.iter().filter(|(name, _)| !named.contains(*name));
        let loose = loose.filter_map(|(_, object)| source(object, compiler));
        collection
            .loose
            .extend(loose.map(|(source, origin)| LooseSource { source, origin }));
    }
}

impl Object {
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }
}

/// The objects that are named, and a finding for each that isn't there.
fn find<'o>(
    from: &Object,
    names: &[String],
    objects: &BTreeMap<(&str, &str), &'o Object>,
    kind: &str,
    findings: &mut Vec<Finding>,
) -> Vec<&'o Object> {
    let mut found = Vec::new();
    for name in names {
        match objects.get(&(from.namespace(), name.as_str())) {
            Some(object) => found.push(*object),
            None => {
                let message = format!("{} names {kind} {name}, which is not here", from.title);
                let finding = Finding::error("unresolved-reference", &from.file, Some(from.line), message);
                let hint = format!(
                    "add {kind} {name} in namespace {}, or its file to the command",
                    from.namespace()
                );
                findings.push(finding.hint(hint));
            }
        }
    }
    found
}

fn duplicates(set: &Object, list: &str, names: &[String]) -> Option<Finding> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<_> = names
        .iter()
        .filter(|name| !seen.insert(*name))
        .map(String::as_str)
        .collect();
    let names = twice.into_iter().collect::<Vec<_>>().join(", ");
    let message = || format!("spec.{list} of {} has a name twice: {names}", set.title);
    (!names.is_empty()).then(|| Finding::error("duplicate-reference", &set.file, Some(set.line), message()))
}

fn ruleset(set: &Object, sources: &[&Object], data: &[&Object], compiler: &Compiler) -> Option<LocalRuleSet> {
    let (sources, origins) = sources.iter().filter_map(|object| source(object, compiler)).unzip();
    let files = data.iter().filter_map(|object| match &object.kind {
        manifest::Kind::Data(files) => Some(files),
        _ => None,
    });
    let files: DataTexts = files
        .flatten()
        .map(|(name, text)| (Arc::clone(name), Arc::clone(text)))
        .collect();
    Some(LocalRuleSet {
        name: plain(&format!("{}/{}", set.namespace(), set.name)).into_owned(),
        resolved: ResolvedRuleSet {
            key: key(set.namespace(), &set.name).or_else(|| key(NAMESPACE, "unnamed"))?,
            sources,
            data_files: Arc::new(data_files(files)),
        },
        origins,
        allow_unsupported: set.allows_unsupported(),
    })
}

fn source(object: &Object, compiler: &Compiler) -> Option<(ResolvedSource, Origin)> {
    let manifest::Kind::Source { text, origin } = &object.kind else {
        return None;
    };
    let source = ResolvedSource {
        name: object.name.as_str().into(),
        text: compiler.intern(text),
        validation: if object.is_validated() {
            Validation::Own
        } else {
            Validation::Skipped
        },
    };
    Some((source, origin.clone()))
}

/// The key, which only marks what is compiled.
fn key(namespace: &str, name: &str) -> Option<RuleSetKey> {
    RuleSetKey::new(namespace, name).ok()
}

pub(super) fn data_files(texts: DataTexts) -> DataFiles {
    texts.into_iter().map(|(name, text)| (name, data_file(text))).collect()
}
