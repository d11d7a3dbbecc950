//! From a RuleSet and what exists to everything that it names. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use coraza_api::condition::reason;
use coraza_compiler::{ResolvedRuleSet, ResolvedSource, Validation};
use coraza_ruleset::{DataFiles, RuleSetKey};

use crate::watch::object::{DataView, RuleSetView, SourceView};
use crate::watch::store::Object;

/// Looks up what a RuleSet names. Names twice in a list, a missing and an unreadable object are found in this order, data before
/// sources, as in the Go operator; all of one kind at once, so that a person mends them in one go.
///
/// # Errors
/// [`Unresolved`] says what isn't there or can't be read.
pub fn resolve(
    key: &RuleSetKey,
    ruleset: &RuleSetView,
    source: impl Fn(&Arc<str>) -> Option<Object<SourceView>>,
    data: impl Fn(&Arc<str>) -> Option<Object<DataView>>,
) -> Result<ResolvedRuleSet, Unresolved> {
    let duplicates = (duplicates(&ruleset.sources), duplicates(&ruleset.data));
    if duplicates != (Names::default(), Names::default()) {
        return Err(Unresolved::Duplicates {
            sources: duplicates.0,
            data: duplicates.1,
        });
    }
    let data = all(&ruleset.data, data).map_err(|missing| match missing {
        Missing::Absent(names) => Unresolved::DataNotFound(names),
        Missing::Unreadable(name, why) => Unresolved::DataUnreadable { name, why },
    })?;
    let sources = all(&ruleset.sources, source).map_err(|missing| match missing {
        Missing::Absent(names) => Unresolved::SourceNotFound(names),
        Missing::Unreadable(name, why) => Unresolved::SourceUnreadable { name, why },
    })?;
    let sources = ruleset
        .sources
        .iter()
        .zip(sources)
        .map(|(name, source)| ResolvedSource {
            name: Arc::clone(name),
            text: Arc::clone(&source.text),
            validation: if source.validate {
                Validation::Own
            } else {
                Validation::Skipped
            },
        });
    Ok(ResolvedRuleSet {
        key: key.clone(),
        sources: sources.collect(),
        data_files: Arc::new(merged(&data)),
    })
}

/// The files of all RuleData: of two with one name the later counts.
fn merged(data: &[Arc<DataView>]) -> DataFiles {
    let files = data.iter().flat_map(|data| &data.files);
    files
        .map(|(name, content)| (Arc::clone(name), content.clone()))
        .collect()
}

/// Names in the order of the alphabet, each once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names(BTreeSet<Arc<str>>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separators = std::iter::once("").chain(std::iter::repeat(", "));
        self.0
            .iter()
            .zip(separators)
            .try_for_each(|(name, separator)| write!(f, "{separator}{name}"))
    }
}

fn duplicates(names: &[Arc<str>]) -> Names {
    let mut seen = BTreeSet::new();
    Names(names.iter().filter(|name| !seen.insert(*name)).cloned().collect())
}

enum Missing {
    Absent(Names),
    Unreadable(Arc<str>, String),
}

/// All objects of these names, in order, or which of them are missing.
fn all<T>(names: &[Arc<str>], find: impl Fn(&Arc<str>) -> Option<Object<T>>) -> Result<Vec<Arc<T>>, Missing> {
    let found: Vec<_> = names.iter().map(|name| (name, find(name))).collect();
    let absent: BTreeSet<_> = found
        .iter()
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| Arc::clone(name))
        .collect();
    if !absent.is_empty() {
        return Err(Missing::Absent(Names(absent)));
    }
    let readable = |(name, object): (&Arc<str>, Option<Object<T>>)| match object? {
        Object::Known(object) => Some(Ok(object)),
        Object::Unknown(unreadable) => Some(Err(Missing::Unreadable(Arc::clone(name), unreadable.why.clone()))),
    };
    found.into_iter().filter_map(readable).collect()
}

/// Why a RuleSet can't be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// A name is in a list twice.
    #[error("{}", duplicate_message(sources, data))]
    Duplicates {
        /// RuleSources.
        sources: Names,
        /// RuleData.
        data: Names,
    },
    /// RuleData don't exist.
    #[error("Referenced RuleData {0} does not exist: create it in this namespace or take it out of spec.data")]
    DataNotFound(Names),
    /// A RuleData exists and isn't what a RuleData should be.
    #[error("Failed to access RuleData {name}: {why}")]
    DataUnreadable {
        /// Which.
        name: Arc<str>,
        /// What is wrong with it.
        why: String,
    },
    /// RuleSources don't exist.
    #[error("Referenced RuleSource {0} does not exist: create it in this namespace or take it out of spec.sources")]
    SourceNotFound(Names),
    /// A RuleSource exists and isn't what a RuleSource should be.
    #[error("Failed to access RuleSource {name}: {why}")]
    SourceUnreadable {
        /// Which.
        name: Arc<str>,
        /// What is wrong with it.
        why: String,
    },
}

impl Unresolved {
    /// The reason of the condition.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Duplicates { .. } => reason::DUPLICATE_REFERENCE,
            Self::DataNotFound(_) => reason::RULE_DATA_NOT_FOUND,
            Self::DataUnreadable { .. } => reason::RULE_DATA_ACCESS_ERROR,
            Self::SourceNotFound(_) => reason::RULE_SOURCE_NOT_FOUND,
            Self::SourceUnreadable { .. } => reason::RULE_SOURCE_ACCESS_ERROR,
        }
    }
}

fn duplicate_message(sources: &Names, data: &Names) -> String {
    let lists = [
        ("spec.sources contains duplicate RuleSource name(s)", sources),
        ("spec.data contains duplicate RuleData name(s)", data),
    ];
    let parts = lists.into_iter().filter(|(_, names)| **names != Names::default());
    parts
        .map(|(list, names)| format!("{list}: {names}"))
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::object::Meta;
    use crate::watch::store::Unreadable;
    use bytes::Bytes;

    fn ruleset(sources: &[&str], data: &[&str]) -> RuleSetView {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        RuleSetView {
            meta: Meta::default(),
            sources: names(sources),
            data: names(data),
            allow_unsupported: false,
            status: coraza_api::RuleSetStatus::default(),
        }
    }

    /// What exists: every source says its own name, `absent…` does not exist, `broken…` can't be read.
    fn source(name: &Arc<str>) -> Option<Object<SourceView>> {
        exists(
            name,
            SourceView {
                meta: Meta::default(),
                text: Arc::clone(name),
                validate: &**name != "unchecked",
                conditions: Vec::new(),
            },
        )
    }

    /// Every RuleData has the file `shared` that says whose it is, and one of its own.
    fn data(name: &Arc<str>) -> Option<Object<DataView>> {
        let file = |file: &str| (Arc::from(file), Bytes::copy_from_slice(name.as_bytes()));
        exists(
            name,
            DataView {
                meta: Meta::default(),
                files: [file("shared"), file(name)].into(),
                conditions: Vec::new(),
            },
        )
    }

    fn exists<T>(name: &str, object: T) -> Option<Object<T>> {
        if name.starts_with("broken") {
            return Some(Object::Unknown(Arc::new(Unreadable {
                why: "missing field `rules`".into(),
                ..Unreadable::default()
            })));
        }
        (!name.starts_with("absent")).then(|| Object::Known(Arc::new(object)))
    }

    fn resolved(sources: &[&str], files: &[&str]) -> Result<ResolvedRuleSet, (&'static str, String)> {
        let key = "default/crs".parse().expect("a key");
        resolve(&key, &ruleset(sources, files), source, data).map_err(|error| (error.reason(), error.to_string()))
    }

    #[test]
    fn sources_keep_their_order_and_later_files_win() {
        let resolved = resolved(&["b", "a", "unchecked"], &["one", "two"]).expect("resolved");
        let names: Vec<_> = resolved
            .sources
            .iter()
            .map(|source| (&*source.name, &*source.text, source.validation))
            .collect();
        assert_eq!(
            names,
            [
                ("b", "b", Validation::Own),
                ("a", "a", Validation::Own),
                ("unchecked", "unchecked", Validation::Skipped)
            ]
        );
        let files: Vec<_> = resolved
            .data_files
            .iter()
            .map(|(name, bytes)| (&**name, &bytes[..]))
            .collect();
        assert_eq!(files, [("one", &b"one"[..]), ("shared", b"two"), ("two", b"two")]);
    }

    #[test]
    fn what_is_missing_has_a_reason_and_names() {
        for (sources, data, reason, message) in [
            (
                &["b", "a", "b", "a", "a"][..],
                &[][..],
                "DuplicateReference",
                "duplicate RuleSource name(s): a, b",
            ),
            (
                &["b", "b"],
                &["d", "d"],
                "DuplicateReference",
                "name(s): b; spec.data contains duplicate RuleData name(s): d",
            ),
            (
                &["absent"],
                &["x", "absent-2", "absent-1"],
                "RuleDataNotFound",
                "RuleData absent-1, absent-2 does not exist",
            ),
            (
                &["absent"],
                &["broken"],
                "RuleDataAccessError",
                "RuleData broken: missing field",
            ),
            (
                &["a", "broken", "absent"],
                &[],
                "RuleSourceNotFound",
                "RuleSource absent does not exist",
            ),
            (
                &["a", "broken"],
                &["d"],
                "RuleSourceAccessError",
                "RuleSource broken: missing field",
            ),
        ] {
            let error = resolved(sources, data).expect_err("unresolved");
            assert_eq!(error.0, reason);
            assert!(error.1.contains(message), "{}", error.1);
        }
    }
}
