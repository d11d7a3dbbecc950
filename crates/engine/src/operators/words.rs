//! Any of many words, in any ASCII case: `pm`, `pmFromFile`, `pmFromDataset`. No IO.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::list;
use crate::plan::Requirement;

/// `TX:0` to `TX:9`.
pub const MAX_CAPTURES: usize = 10;

/// A set of words that is searched in one pass, whatever their number.
#[derive(Clone, Debug)]
pub struct Words {
    automaton: AhoCorasick,
    requirement: Requirement,
    identity: Box<[u8]>,
}

/// A set of words is too large to be searched.
#[derive(Debug, thiserror::Error)]
#[error("failed to build the automaton of the words")]
pub struct WordsError(#[from] aho_corasick::BuildError);

impl Words {
    /// Makes words ready for searching. Empty ones are left out: they would be everywhere.
    ///
    /// # Errors
    /// If the automaton would have more states than fit in 31 bits.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Result<Self, WordsError> {
        let words = words.into_iter().filter(|word| !word.as_ref().is_empty());
        let words: Vec<W> = words.collect();
        let identity = Self::identity_of(&words);
        let requirement = Requirement::of_words(&words);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            // A tenth of the memory of the DFA, and each worker of each gateway has its own.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(words)?;
        Ok(Self {
            automaton,
            requirement,
            identity,
        })
    }

    /// The words of a data file: one a line, white space around it; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// As for [`Words::new`].
    pub fn from_file(text: &[u8]) -> Result<Self, WordsError> {
        Self::new(list::lines(text))
    }

    /// Whether any of the words stands in `value`.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.automaton.is_match(value)
    }

    /// The words as they stand in `value`, the longest at each place, none overlapping: what `capture` stores.
    pub fn captures<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let found = self.automaton.find_iter(value).take(MAX_CAPTURES);
        found.map(|word| value.get(word.range()).unwrap_or_default())
    }

    /// What tells these words from all others.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// What would tell these words from all others: each with its length.
    pub(crate) fn identity_of<W: AsRef<[u8]>>(words: &[W]) -> Box<[u8]> {
        let words = words.iter().map(AsRef::as_ref).filter(|word| !word.is_empty());
        let parts = words.flat_map(|word| word.len().to_le_bytes().into_iter().chain(word.iter().copied()));
        parts.collect()
    }

    /// What a value must have for any of the words to stand in it.
    pub(crate) fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// The memory that the automaton takes, in bytes.
    pub fn memory_usage(&self) -> usize {
        self.automaton.memory_usage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        let words = Words::new(["abc", "DEF", "", "\u{e9}"]).unwrap();
        for (value, expected) in [
            ("xxABCx", true),
            ("def", true),
            ("ab", false),
            ("", false),
            ("\u{c9}", false),
        ] {
            assert_eq!(words.is_match(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_longest_words_are_captured() {
        let words = Words::new(["a", "abc", "bcd"]).unwrap();
        let found: Vec<_> = words.captures(b"xabcdAb").collect();
        assert_eq!(found, [b"abc" as &[u8], b"A"]);
        assert_eq!(words.captures(&b"a".repeat(50)).count(), MAX_CAPTURES);
    }

    #[test]
    fn files_hold_one_word_a_line() {
        let words = Words::from_file(b"# comment\r\n two words \r\n\n x").unwrap();
        assert!(words.is_match(b"TWO WORDS") && words.is_match(b"x"));
        assert!(!words.is_match(b"two") && !words.is_match(b"comment") && !words.is_match(b" "));
        assert!(!Words::from_file(b"\n").unwrap().is_match(b""));
    }
}
