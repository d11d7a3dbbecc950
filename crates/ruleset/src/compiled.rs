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
/// cut into sources is no part of its identity, nor is what they are called: equality and digest look at the joined bytes only.
#[derive(Clone, Default)]
pub struct RulesText {
    sources: Arc<[Arc<str>]>,
    /// One for each source, or none at all.
    names: Arc<[Arc<str>]>,
}

/// A source of a text, by what people know it: its name, and how many of the joined text's lines it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLines {
    /// The RuleSource's name.
    pub name: Arc<str>,
    /// Its lines, at least 1. A text that ends with a line feed has an empty one after it.
    pub lines: usize,
}

impl RulesText {
    /// The text of these sources, in this order; their names aren't known.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
            names: Arc::default(),
        }
    }

    /// The text of these sources, in this order, each after its name.
    #[must_use]
    pub fn named(sources: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let (names, sources): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        Self {
            sources: sources.into(),
            names: names.into(),
        }
    }

    /// A joined text, cut into its sources again; in one piece if these aren't the lines of this text.
    #[must_use]
    pub fn cut(joined: &str, lines: &[SourceLines]) -> Self {
        let mut rest = Some(joined);
        let mut sources = Vec::with_capacity(lines.len());
        for source in lines {
            let Some(text) = rest else { break };
            let end = text.match_indices('\n').nth(source.lines.saturating_sub(1));
            let (piece, after) = match end.and_then(|(end, _)| text.split_at_checked(end)) {
                Some((piece, after)) => (piece, after.strip_prefix('\n')),
                None => (text, None),
            };
            sources.push((Arc::clone(&source.name), Arc::from(piece)));
            rest = after;
        }
        let cut = Self::named(sources);
        if rest.is_none() && cut.lines().eq(lines.iter().cloned()) {
            cut
        } else {
            Self::new([Arc::from(joined)])
        }
    }

    /// The sources' texts, in order.
    #[must_use]
    pub fn sources(&self) -> &[Arc<str>] {
        &self.sources
    }

    /// The sources' names, in order; none if they aren't known.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whose the lines of the joined text are, in order; nothing if names aren't known.
    pub fn lines(&self) -> impl Iterator<Item = SourceLines> {
        self.names
            .iter()
            .zip(self.sources.iter())
            .map(|(name, text)| SourceLines {
                name: Arc::clone(name),
                lines: text.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1),
            })
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

    fn named(sources: &[(&str, &str)]) -> RulesText {
        let arcs = |(name, text): &(&str, &str)| (Arc::from(*name), Arc::from(*text));
        RulesText::named(sources.iter().map(arcs))
    }

    #[test]
    fn names_are_no_part_of_the_identity() {
        let (one, other) = (named(&[("a", "x"), ("b", "y")]), named(&[("c", "x\ny")]));
        assert_eq!(one, other);
        let digest = |rules: RulesText| {
            let data_files = Arc::default();
            Content { rules, data_files }.digest()
        };
        assert_eq!(digest(one), digest(other));
    }

    #[test]
    fn a_text_is_cut_as_its_lines_say_or_not_at_all() {
        let lines = |lines: &[(&str, usize)]| -> Vec<_> {
            let source = |(name, lines): &(&str, usize)| SourceLines {
                name: Arc::from(*name),
                lines: *lines,
            };
            lines.iter().map(source).collect()
        };
        let cut = RulesText::cut("1\n2\n\n3", &lines(&[("a", 3), ("b", 1)]));
        assert_eq!((&*cut.sources()[0], &*cut.sources()[1]), ("1\n2\n", "3"));
        for wrong in [
            &[("a", 3)][..],
            &[("a", 4), ("b", 1)],
            &[("a", 0), ("b", 4)],
            &[("a", 5)],
            &[("a", usize::MAX)],
            &[],
        ] {
            let whole = RulesText::cut("1\n2\n\n3", &lines(wrong));
            assert_eq!((whole.sources().len(), whole.names().len()), (1, 0), "{wrong:?}");
            assert_eq!(whole.to_string(), "1\n2\n\n3");
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_by_its_own_lines_is_as_it_was(sources in prop::collection::vec(("[a-z]{1,3}", "[ab\n]{0,6}"), 1..5)) {
            let sources: Vec<_> = sources.iter().map(|(name, text)| (&**name, &**text)).collect();
            let rules = named(&sources);
            let cut = RulesText::cut(&rules.to_string(), &rules.lines().collect::<Vec<_>>());
            prop_assert_eq!(cut.sources(), rules.sources());
            prop_assert_eq!(cut.names(), rules.names());
        }

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
