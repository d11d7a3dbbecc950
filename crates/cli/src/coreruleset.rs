//! From the files of a Core Rule Set to the objects that make a RuleSet of them. No IO.

mod base_rules;
mod error;
mod name;
mod options;
mod summary;
mod trim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coraza_api::ruleset::{RuleDataReference, RuleSourceReference};
use coraza_api::{RuleData, RuleDataSpec, RuleSet, RuleSetSpec, RuleSource, RuleSourceSpec};

pub(crate) use error::GenerateError;
pub(crate) use options::Options;
pub(crate) use summary::Summary;

use crate::yaml::Object;

/// The largest text of one object in bytes (900 KiB): with metadata and a last-applied annotation it stays below the 1.5 MiB
/// that etcd takes.
const MAX_OBJECT_BYTES: usize = 921_600;
/// The name of the RuleSource with the engine's configuration.
const BASE_RULES: &str = "base-rules";

/// A file of the rules directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name, without directories.
    pub(crate) name: String,
    /// Its contents.
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// Whether a file of this name is read.
    pub(crate) fn is_wanted(name: &str) -> bool {
        name.ends_with(".conf") || name.ends_with(".data")
    }

    /// Whether it holds rules rather than data.
    pub(crate) fn is_rules(&self) -> bool {
        self.name.ends_with(".conf")
    }

    /// The contents as text. Bytes that aren't UTF-8 can't be in an object; they are left out.
    fn text(&self) -> String {
        self.bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
    }
}

/// What was made of the files.
#[derive(Debug)]
pub(crate) struct Generated {
    /// The objects, in order.
    pub(crate) objects: Vec<Object>,
    /// What a person should know, line by line.
    pub(crate) notices: Vec<String>,
    /// How many of what.
    pub(crate) summary: Summary,
}

/// Turns files, sorted by name, into objects: the base rules, a RuleSource for each file with rules, a RuleData, a RuleSet.
pub(crate) fn generate(files: &[File], options: &Options) -> Result<Generated, GenerateError> {
    let mut generated = Generated {
        objects: Vec::new(),
        notices: options.notices(),
        summary: Summary::new(&options.ruleset_name),
    };
    let base = base_rules::text(&options.version, options.include_test_rule);
    let mut sources = vec![options.source(BASE_RULES, base)];
    let mut uses_data = false;
    for file in files.iter().filter(|file| file.is_rules()) {
        generated.notices.extend(not_utf8(file));
        let trimmed = trim::trim(&file.text(), |rule| options.reason(rule));
        generated
            .notices
            .extend(trimmed.notices.iter().map(|notice| format!("{}: {notice}", file.name)));
        generated.summary.dropped_rules += trimmed.dropped;
        uses_data |= trimmed.uses_pm_from_file;
        if trimmed.changes_rules {
            options.check_size(&file.name, trimmed.text.len())?;
            sources.push(options.source(&name::of_file(&file.name, options)?, trimmed.text));
        } else {
            generated.notices.push(format!(
                "{}: No SecRule or SecAction directives found, skipped",
                file.name
            ));
            generated.summary.skipped_files += 1;
        }
    }
    let data = data(files, options, &mut generated.notices)?;
    if uses_data && data.is_none() {
        generated
            .notices
            .push("Warning: rules use @pmFromFile, but there are no .data files".to_owned());
    }
    let set = ruleset(&sources, data.as_ref(), options)?;
    generated.summary.count(&sources, data.as_ref());
    generated.objects.extend(sources.into_iter().map(Object::Source));
    generated.objects.extend(data.map(Object::Data));
    generated.objects.push(Object::Set(set));
    Ok(generated)
}

impl Options {
    fn source(&self, name: &str, rules: String) -> RuleSource {
        let mut source = RuleSource::new(
            name,
            RuleSourceSpec {
                rules: Arc::from(rules),
            },
        );
        source.metadata.namespace.clone_from(&self.namespace);
        source
    }

    fn check_size(&self, what: &str, bytes: usize) -> Result<(), GenerateError> {
        if self.check_sizes && bytes > MAX_OBJECT_BYTES {
            return Err(GenerateError::TooLarge {
                what: what.to_owned(),
                bytes,
                limit: MAX_OBJECT_BYTES,
            });
        }
        Ok(())
    }
}

/// The RuleData of all data files, if there are any.
fn data(files: &[File], options: &Options, notices: &mut Vec<String>) -> Result<Option<RuleData>, GenerateError> {
    let mut contents = BTreeMap::new();
    let mut bytes = 0_usize;
    for file in files.iter().filter(|file| !file.is_rules()) {
        name::check_data_file(&file.name)?;
        notices.extend(not_utf8(file));
        let text = file.text();
        options.check_size(&file.name, text.len())?;
        bytes = bytes.saturating_add(text.len());
        contents.insert(Arc::from(file.name.as_str()), Arc::from(text));
    }
    options.check_size("all data files together", bytes)?;
    Ok((!contents.is_empty()).then(|| {
        let mut data = RuleData::new(&options.data_source_name, RuleDataSpec { files: contents });
        data.metadata.namespace.clone_from(&options.namespace);
        data
    }))
}

fn ruleset(sources: &[RuleSource], data: Option<&RuleData>, options: &Options) -> Result<RuleSet, GenerateError> {
    let names: Vec<_> = sources
        .iter()
        .filter_map(|source| source.metadata.name.clone())
        .collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(GenerateError::SameName { name: twice.clone() });
    }
    let spec = RuleSetSpec {
        sources: names.into_iter().map(|name| RuleSourceReference { name }).collect(),
        data: data.map(|_| {
            vec![RuleDataReference {
                name: options.data_source_name.clone(),
            }]
        }),
    };
    let mut set = RuleSet::new(&options.ruleset_name, spec);
    set.metadata.namespace.clone_from(&options.namespace);
    Ok(set)
}

fn not_utf8(file: &File) -> Option<String> {
    let invalid: usize = file.bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    (invalid > 0).then(|| {
        format!(
            "Warning: {}: {invalid} bytes that are not UTF-8 were left out",
            file.name
        )
    })
}

#[cfg(test)]
mod tests;
