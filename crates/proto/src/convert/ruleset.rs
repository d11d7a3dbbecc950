//! `RuleSet` of the wire ↔ `CompiledRuleSet`.

use std::sync::Arc;

use bytes::Bytes;
use coraza_ruleset::{CompiledRuleSet, Content, DataFiles, Digest, Revision, RuleSetKey, RulesText};

use super::{InvalidField, bounded, digest, key, shown, timestamp};
use crate::intern::{Intern, Verbatim};
use crate::limits::{MAX_PARTS, is_name};
use crate::v1alpha1;

/// Why a message is no RuleSet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRuleSet {
    /// A field can't be.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// There isn't one name for each source.
    #[error("ruleset.source_names of {key} are {names}, and there are {sources} sources")]
    SourceNames {
        /// Whose sources.
        key: RuleSetKey,
        /// How many names.
        names: usize,
        /// How many sources.
        sources: usize,
    },
    /// A source's name can't be.
    #[error("ruleset.source_names of {key} has {name:?}, and a name has 1 to 253 of the characters -._a-zA-Z0-9")]
    SourceName {
        /// Whose source.
        key: RuleSetKey,
        /// The name, cut short.
        name: String,
    },
    /// A data file's name can't be.
    #[error(
        "ruleset.data_files of {key} has the name {name:?}, and a name has 1 to 253 of the characters -._a-zA-Z0-9"
    )]
    DataFileName {
        /// Whose data file.
        key: RuleSetKey,
        /// The name, cut short.
        name: String,
    },
    /// Data files aren't in the order of their names, or two have the same one.
    #[error("ruleset.data_files of {key} has {name:?} after {previous:?}, and names must ascend")]
    DataFileOrder {
        /// Whose data files.
        key: RuleSetKey,
        /// The name that comes too late.
        name: Arc<str>,
        /// The name before it.
        previous: Arc<str>,
    },
    /// The content isn't what its digest says.
    #[error("ruleset.digest of {key} is {announced}, and the content's is {actual}")]
    Content {
        /// Which RuleSet.
        key: RuleSetKey,
        /// The digest in the message.
        announced: Digest,
        /// The content's own.
        actual: Digest,
    },
}

impl From<&CompiledRuleSet> for v1alpha1::RuleSet {
    fn from(ruleset: &CompiledRuleSet) -> Self {
        let CompiledRuleSet { key, revision, content } = ruleset;
        let Content { rules, data_files } = content;
        Self {
            key: Some(key.into()),
            digest: Bytes::copy_from_slice(revision.digest.as_bytes()),
            timestamp: revision.timestamp.unix_nanos(),
            sources: rules.sources().iter().map(ToString::to_string).collect(),
            data_files: data_files
                .iter()
                .map(|(name, content)| v1alpha1::DataFile {
                    name: name.to_string(),
                    content: content.clone(),
                })
                .collect(),
            source_names: rules.names().iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1alpha1::RuleSet> for CompiledRuleSet {
    type Error = InvalidRuleSet;

    fn try_from(wire: v1alpha1::RuleSet) -> Result<Self, InvalidRuleSet> {
        decode_ruleset(&wire, &Verbatim)
    }
}

/// The RuleSet that a message carries, its texts and files interned, its content checked against its digest.
///
/// # Errors
/// [`InvalidRuleSet`] for the first field that can't be.
pub fn decode_ruleset(wire: &v1alpha1::RuleSet, interner: &impl Intern) -> Result<CompiledRuleSet, InvalidRuleSet> {
    let key = key("ruleset.key", wire.key.as_ref())?;
    let announced = digest("ruleset.digest", &wire.digest)?;
    let timestamp = timestamp("ruleset.timestamp", wire.timestamp)?;
    bounded("ruleset.sources", wire.sources.len(), MAX_PARTS)?;
    bounded("ruleset.data_files", wire.data_files.len(), MAX_PARTS)?;
    let content = Content {
        rules: rules(&key, wire, interner)?,
        data_files: Arc::new(data_files(&key, &wire.data_files, interner)?),
    };
    let actual = content.digest();
    if actual != announced {
        return Err(InvalidRuleSet::Content { key, announced, actual });
    }
    let revision = Revision {
        digest: actual,
        timestamp,
    };
    Ok(CompiledRuleSet { key, revision, content })
}

fn rules(key: &RuleSetKey, wire: &v1alpha1::RuleSet, interner: &impl Intern) -> Result<RulesText, InvalidRuleSet> {
    let v1alpha1::RuleSet {
        sources, source_names, ..
    } = wire;
    let texts = sources.iter().map(|source| interner.text(source));
    if source_names.is_empty() {
        return Ok(RulesText::new(texts));
    }
    if source_names.len() != sources.len() {
        return Err(InvalidRuleSet::SourceNames {
            key: key.clone(),
            names: source_names.len(),
            sources: sources.len(),
        });
    }
    if let Some(name) = source_names.iter().find(|name| !is_name(name)) {
        return Err(InvalidRuleSet::SourceName {
            key: key.clone(),
            name: shown(name),
        });
    }
    let names = source_names.iter().map(|name| interner.text(name));
    Ok(RulesText::named(names.zip(texts)))
}

fn data_files(
    key: &RuleSetKey,
    wire: &[v1alpha1::DataFile],
    interner: &impl Intern,
) -> Result<DataFiles, InvalidRuleSet> {
    let mut files = DataFiles::new();
    for v1alpha1::DataFile { name, content } in wire {
        if !is_name(name) {
            return Err(InvalidRuleSet::DataFileName {
                key: key.clone(),
                name: shown(name),
            });
        }
        let name = interner.text(name);
        if let Some((previous, _)) = files.last_key_value().filter(|(previous, _)| **previous >= name) {
            return Err(InvalidRuleSet::DataFileOrder {
                key: key.clone(),
                name,
                previous: Arc::clone(previous),
            });
        }
        files.insert(name, interner.file(content));
    }
    Ok(files)
}
