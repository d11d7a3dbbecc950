//! `Content` and `CompiledRuleSet`: rules and data files that were found good, and the revision that they are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::key::RuleSetKey;
use crate::revision::{Digest, Revision};

/// The version of what [`Content::digest`] hashes; a change of the form must change it, or equal digests would no longer mean
/// equal content.
const DIGEST_FORMAT: u8 = 1;

/// Data files by name, in the order of their names.
pub type DataFiles = BTreeMap<Arc<str>, Bytes>;

/// The rules of a RuleSet: its sources' texts, joined by exactly one line feed when they are read.
///
/// The sources stay apart in memory so that a thousand RuleSets that share a Core Rule Set share its text too. How a text is
/// cut into sources is no part of its identity: equality, digest and what is served look at the joined bytes only.
#[derive(Clone, Default)]
pub struct RulesText {
    sources: Arc<[Arc<str>]>,
}

impl RulesText {
    /// The text of these sources, in this order.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
        }
    }

    /// The sources' texts, in order.
    #[must_use]
    pub fn sources(&self) -> &[Arc<str>] {
        &self.sources
    }

    /// The pieces of the joined text, line feeds between sources included.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let separators = std::iter::once("").chain(std::iter::repeat("\n"));
        separators
            .zip(self.sources.iter())
            .flat_map(|(separator, source)| [separator, &**source])
            .filter(|piece| !piece.is_empty())
    }

    /// The length of the joined text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        let separators = self.sources.len().saturating_sub(1);
        self.sources
            .iter()
            .map(|source| source.len())
            .sum::<usize>()
            .saturating_add(separators)
    }

    /// Whether the joined text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for RulesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces().try_for_each(|piece| f.write_str(piece))
    }
}

/// Rules may be secret: only their size is shown.
impl fmt::Debug for RulesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RulesText({} sources, {} bytes)", self.sources.len(), self.len())
    }
}

impl PartialEq for RulesText {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .pieces()
                .flat_map(str::bytes)
                .eq(other.pieces().flat_map(str::bytes))
    }
}

impl Eq for RulesText {}

/// What a revision is a revision of: the rules and the data files that they name. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The rules.
    pub rules: RulesText,
    /// The files that `@pmFromFile` and its kin read.
    pub data_files: Arc<DataFiles>,
}

impl Content {
    /// The SHA-256 of the content: a format version, then the rules and each data file in the order of their names, every
    /// part with its length in front so that no two contents make the same bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update([DIGEST_FORMAT]);
        hash.update(length(self.rules.len()));
        self.rules.pieces().for_each(|piece| hash.update(piece));
        for (name, bytes) in self.data_files.iter() {
            hash.update(length(name.len()));
            hash.update(&**name);
            hash.update(length(bytes.len()));
            hash.update(bytes);
        }
        Digest::new(hash.finalize().into())
    }

    /// The payload's size in bytes: rules, file names and files, as the Go operator's metrics count it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data_files
            .iter()
            .map(|(name, bytes)| name.len().saturating_add(bytes.len()))
            .fold(self.rules.len(), usize::saturating_add)
    }
}

/// A length as the digest has it: eight bytes, most significant first, on every platform.
fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes()
}

/// A RuleSet that compiled: which one, which revision, and its content. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledRuleSet {
    /// Which RuleSet.
    pub key: RuleSetKey,
    /// The content's digest and since when it is current.
    pub revision: Revision,
    /// Rules and data files.
    pub content: Content,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(sources: &[&str], files: &[(&str, &str)]) -> Content {
        Content {
            rules: RulesText::new(sources.iter().map(|source| Arc::from(*source))),
            data_files: Arc::new(
                files
                    .iter()
                    .map(|(name, text)| (Arc::from(*name), Bytes::copy_from_slice(text.as_bytes())))
                    .collect(),
            ),
        }
    }

    #[test]
    fn sources_are_joined_by_one_line_feed_byte_for_byte() {
        assert_eq!(content(&["a", "b\n", "", "c"], &[]).rules.to_string(), "a\nb\n\n\nc");
        assert_eq!(content(&["a", "b\n", "", "c"], &[]).rules.len(), 7);
        assert!(content(&[], &[]).rules.is_empty());
        assert_eq!(content(&["", ""], &[]).rules.to_string(), "\n");
    }

    #[test]
    fn digest_is_known_so_that_no_change_of_form_goes_unseen() {
        assert_eq!(
            content(&["SecRuleEngine On"], &[("bad.data", "evil\n")])
                .digest()
                .to_string(),
            "1e539762aaca400c360e4d82911ab61ed74c673d95e119b90102c6b17e875ca6"
        );
    }

    #[test]
    fn digest_tells_contents_apart_that_concatenate_to_the_same_bytes() {
        let digests = [
            content(&["ab"], &[]),
            content(&["a"], &[("b", "")]),
            content(&["a"], &[("", "b")]),
            content(&[], &[("a", "b")]),
            content(&[], &[("ab", "")]),
            content(&[], &[("a", ""), ("b", "")]),
        ]
        .map(|content| content.digest());
        let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }

    proptest! {
        #[test]
        fn identity_is_of_the_joined_text(sources in prop::collection::vec("[ab\n]{0,4}", 1..5)) {
            let apart = content(&sources.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
            let joined = content(&[&sources.join("\n")], &[]);
            prop_assert_eq!(apart.rules.to_string(), sources.join("\n"));
            prop_assert_eq!(apart.digest(), joined.digest());
            prop_assert_eq!(apart.size(), joined.size());
            prop_assert_eq!(apart, joined);
        }
    }
}
