//! Texts by content, held weakly, each with what is known about it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use crate::analysis::Analysis;

/// How many bytes of text may be remembered with what is known about them, which takes several times that memory: ninety
/// Core Rule Sets that differ in every source.
const MAX_ANALYZED_BYTES: usize = 64 << 20;

/// After so many new bytes it is time to look for what nobody uses any more: a few sources of the largest kind.
const SWEEP_BYTES: usize = 4 << 20;

/// Below this there is nothing to win by looking for unused entries.
const FEW: usize = 1_024;

/// Texts that somebody outside holds.
#[derive(Debug, Default)]
pub(super) struct Texts {
    hasher: RandomState,
    /// By hash; texts with the same hash are told apart by comparing.
    by_hash: HashMap<u64, Vec<Entry>>,
    len: usize,
    analyzed_bytes: usize,
    /// Entries that were used, and bytes that were known about, when unused ones were last forgotten.
    used: usize,
    used_bytes: usize,
    /// Counts look-ups, so that entries know when they were last used.
    lookups: u64,
}

#[derive(Debug)]
struct Entry {
    text: Weak<str>,
    bytes: usize,
    analysis: Option<Arc<Analysis>>,
    last_used: u64,
}

impl Texts {
    /// The shared copy of a text.
    pub(super) fn find(&mut self, text: &str) -> Option<Arc<str>> {
        self.entry(text).map(|(shared, _)| shared)
    }

    /// What is known about a text.
    pub(super) fn analysis(&mut self, text: &str) -> Option<Arc<Analysis>> {
        self.lookups = self.lookups.saturating_add(1);
        let now = self.lookups;
        let (_, entry) = self.entry(text)?;
        entry.last_used = now;
        entry.analysis.clone()
    }

    /// Remembers a text and, if given, what is known about it.
    pub(super) fn insert(&mut self, text: &Arc<str>, analysis: Option<Arc<Analysis>>) {
        if self.len >= self.used.saturating_mul(2).max(FEW)
            || self.analyzed_bytes >= self.used_bytes.saturating_add(SWEEP_BYTES).min(MAX_ANALYZED_BYTES)
        {
            self.forget_unused();
            self.forget_oldest();
        }
        let (now, bytes) = (self.lookups, text.len());
        let analyzed = analysis.is_some();
        let known = self.entry(text).map(|(_, entry)| {
            entry.last_used = now;
            let before = entry.analysis.is_some();
            entry.analysis = analysis.clone().or(entry.analysis.take());
            before
        });
        if known.is_none() {
            let entry = Entry {
                text: Arc::downgrade(text),
                bytes,
                analysis,
                last_used: now,
            };
            self.by_hash
                .entry(self.hasher.hash_one(&**text))
                .or_default()
                .push(entry);
            self.len = self.len.saturating_add(1);
        }
        if analyzed && known != Some(true) {
            self.analyzed_bytes = self.analyzed_bytes.saturating_add(bytes);
        }
    }

    /// Forgets texts that nobody outside holds any more.
    pub(super) fn forget_unused(&mut self) {
        for entries in self.by_hash.values_mut() {
            entries.retain(|entry| entry.text.strong_count() > 0);
        }
        self.by_hash.retain(|_, entries| !entries.is_empty());
        self.len = self.by_hash.values().map(Vec::len).sum();
        self.analyzed_bytes = self.analyzed().map(|(_, bytes)| bytes).sum();
        (self.used, self.used_bytes) = (self.len, self.analyzed_bytes);
    }

    /// Keeps the texts, but forgets what is known about those used least recently until there is room again.
    fn forget_oldest(&mut self) {
        if self.analyzed_bytes < MAX_ANALYZED_BYTES {
            return;
        }
        let mut by_age: Vec<_> = self.analyzed().collect();
        by_age.sort_unstable();
        let mut left = self.analyzed_bytes;
        let oldest = by_age.iter().take_while(|(_, bytes)| {
            let full = left > MAX_ANALYZED_BYTES / 2;
            left = left.saturating_sub(*bytes);
            full
        });
        let Some((last_forgotten, _)) = oldest.last().copied() else {
            return;
        };
        for entry in self
            .by_hash
            .values_mut()
            .flatten()
            .filter(|entry| entry.last_used <= last_forgotten)
        {
            entry.analysis = None;
        }
        self.analyzed_bytes = self.analyzed().map(|(_, bytes)| bytes).sum();
        self.used_bytes = self.analyzed_bytes;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn analyzed_bytes(&self) -> usize {
        self.analyzed_bytes
    }

    /// When each text about which something is known was last used, and its length.
    fn analyzed(&self) -> impl Iterator<Item = (u64, usize)> {
        let known = self.by_hash.values().flatten().filter(|entry| entry.analysis.is_some());
        known.map(|entry| (entry.last_used, entry.bytes))
    }

    fn entry(&mut self, text: &str) -> Option<(Arc<str>, &mut Entry)> {
        let hash = self.hasher.hash_one(text);
        self.by_hash.get_mut(&hash)?.iter_mut().find_map(|entry| {
            let shared = entry.text.upgrade().filter(|shared| **shared == *text)?;
            Some((shared, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use coraza_seclang::parse;

    use super::*;
    use crate::pattern::Verdict;

    fn analysis() -> Arc<Analysis> {
        Arc::new(Analysis::of(parse(b""), |pattern| Arc::new(Verdict::of(pattern))))
    }

    /// A text of a MiB that no other number has.
    fn large(number: usize) -> Arc<str> {
        let digits = number.to_string();
        let padding = " ".repeat((1 << 20) - digits.len());
        (digits + &padding).into()
    }

    #[test]
    fn what_is_known_is_bounded_and_the_longest_unused_goes_first() {
        let mut texts = Texts::default();
        let first = large(0);
        texts.insert(&first, Some(analysis()));
        let held: Vec<_> = (1..=100).map(large).collect();
        for text in &held {
            assert!(texts.analysis(&first).is_some(), "it is used all the time");
            assert!(texts.analysis(text).is_none());
            texts.insert(text, Some(analysis()));
            assert!(texts.analyzed_bytes() <= MAX_ANALYZED_BYTES);
        }
        assert!(texts.analysis(&held[0]).is_none(), "long unused");
        assert!(texts.analysis(&held[99]).is_some());
        assert_eq!(texts.len(), 101, "the texts themselves are still shared");
    }

    #[test]
    fn a_text_is_counted_once() {
        let mut texts = Texts::default();
        let text = large(0);
        for _ in 0..3 {
            texts.insert(&text, None);
            texts.insert(&text, Some(analysis()));
        }
        assert_eq!((texts.len(), texts.analyzed_bytes()), (1, 1 << 20));
        texts.insert(&text, None);
        assert!(
            texts.analysis(&text).is_some(),
            "knowing nothing new takes nothing away"
        );
        assert!(texts.find(&text).is_some_and(|shared| Arc::ptr_eq(&shared, &text)));
    }
}
