//! Any of many words, in any ASCII case: `pm`, `pmFromFile`, `pmFromDataset`. No IO.

use std::cmp::Reverse;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use super::list;
use crate::plan::Requirement;

/// `TX:0` to `TX:9`.
pub const MAX_CAPTURES: usize = 10;

/// How many bytes of words one automaton is made of, about: a worker that serves nobody while it is made does so for few milliseconds.
pub(crate) const AUTOMATON_BYTES: usize = 8 << 10;

/// A set of words that is searched in one pass, or in a few if they are thousands.
#[derive(Clone, Debug)]
pub struct Words {
    automata: Box<[AhoCorasick]>,
    requirement: Requirement,
    identity: Box<[u8]>,
}

/// Words on their way: [`step`](Self::step) until there is nothing left to do, then [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct WordsBuilder {
    /// Those that no automaton has yet, the last ones first.
    left: Vec<Box<[u8]>>,
    words: Words,
}

impl WordsBuilder {
    pub(crate) fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().filter(|word| !word.as_ref().is_empty());
        let words: Vec<W> = words.collect();
        Self {
            words: Words {
                automata: Box::default(),
                requirement: Requirement::of_words(&words),
                identity: Words::identity_of(&words),
            },
            left: words.iter().rev().map(|word| word.as_ref().into()).collect(),
        }
    }

    /// Makes one more automaton, and says whether there was any to make.
    pub(crate) fn step(&mut self) -> Result<bool, WordsError> {
        let mut bytes = 0;
        let mut own = Vec::new();
        while bytes < AUTOMATON_BYTES
            && let Some(word) = self.left.pop()
        {
            bytes += word.len();
            own.push(word);
        }
        if own.is_empty() {
            return Ok(false);
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            // A tenth of the memory of the DFA, and each worker of each gateway has its own.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(own)?;
        let automata = std::mem::take(&mut self.words.automata).into_iter();
        self.words.automata = automata.chain([automaton]).collect();
        Ok(true)
    }

    /// The words, after the last step.
    pub(crate) fn finish(mut self) -> Result<Words, WordsError> {
        while self.step()? {}
        Ok(self.words)
    }
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
        WordsBuilder::new(words).finish()
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
        self.automata.iter().any(|automaton| automaton.is_match(value))
    }

    /// How often a value is looked through.
    pub(crate) fn passes(&self) -> usize {
        self.automata.len()
    }

    /// The words as they stand in `value`, the longest at each place, none overlapping: what `capture` stores.
    pub fn captures<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let find = move |automaton: &AhoCorasick, from| automaton.find(Input::new(value).span(from..value.len()));
        let mut next: Vec<_> = self.automata.iter().map(|automaton| find(automaton, 0)).collect();
        let mut end = 0;
        let found = std::iter::from_fn(move || {
            for (next, automaton) in next.iter_mut().zip(&self.automata) {
                if next.is_some_and(|next| next.start() < end) {
                    *next = find(automaton, end);
                }
            }
            let first = next.iter().flatten();
            let first = first.min_by_key(|found| (found.start(), Reverse(found.end())))?;
            end = first.end();
            value.get(first.range())
        });
        found.take(MAX_CAPTURES)
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
        self.automata.iter().map(AhoCorasick::memory_usage).sum()
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
    fn many_words_are_found_as_few_are() {
        // So many that they are in several automata, and of each length; the value has words of all of them.
        let words: Vec<String> = (0..4_000)
            .map(|number| format!("{}w{number}", "x".repeat(number % 3)))
            .collect();
        let many = Words::new(&words).unwrap();
        assert!(many.passes() > 2, "{}", many.passes());
        for (value, expected) in [
            ("w3999xw1w12w123w40201", vec!["w3999", "xw1", "w12", "w123", "w402"]),
            ("xxw2 xW3997", vec!["xxw2", "xW3997"]),
            ("w w", vec![]),
        ] {
            let found: Vec<_> = many.captures(value.as_bytes()).map(<[u8]>::to_vec).collect();
            let expected: Vec<_> = expected.into_iter().map(str::as_bytes).collect();
            assert_eq!(found, expected, "{value}");
            assert_eq!(many.is_match(value.as_bytes()), !expected.is_empty());
        }
    }

    #[test]
    fn files_hold_one_word_a_line() {
        let words = Words::from_file(b"# comment\r\n two words \r\n\n x").unwrap();
        assert!(words.is_match(b"TWO WORDS") && words.is_match(b"x"));
        assert!(!words.is_match(b"two") && !words.is_match(b"comment") && !words.is_match(b" "));
        assert!(!Words::from_file(b"\n").unwrap().is_match(b""));
    }
}
