//! What is remembered between compilations: texts, what is known about them, and verdicts on patterns, each by content.
//!
//! Nothing is remembered for its own sake. A text is remembered while somebody outside holds it, a verdict while a source that
//! is remembered has the pattern; and what is known about texts is bounded, the least recently used going first.

mod texts;
mod verdicts;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coraza_seclang::parse;

use crate::analysis::Analysis;
use texts::Texts;
use verdicts::Verdicts;

/// How often work was done rather than remembered, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Sources parsed.
    pub sources_parsed: u64,
    /// Patterns compiled.
    pub patterns_compiled: u64,
    /// Texts that are remembered now.
    pub texts: usize,
    /// The bytes of those that are remembered with what is known about them.
    pub analyzed_bytes: usize,
    /// Patterns that are remembered now.
    pub patterns: usize,
}

/// The memory of a compiler. Its locks are held for look-ups only, never while parsing or compiling; two threads that meet the
/// same new text both do the work, and both come to the same result.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    texts: Mutex<Texts>,
    verdicts: Mutex<Verdicts>,
    sources_parsed: AtomicU64,
    patterns_compiled: AtomicU64,
}

impl Memo {
    /// The one shared copy of a text.
    pub(crate) fn intern(&self, text: &str) -> Arc<str> {
        let mut texts = lock(&self.texts);
        texts.find(text).unwrap_or_else(|| {
            let text: Arc<str> = text.into();
            texts.insert(&text, None);
            text
        })
    }

    /// What is known about a source.
    pub(crate) fn analyze(&self, text: &Arc<str>) -> Arc<Analysis> {
        if let Some(analysis) = lock(&self.texts).analysis(text) {
            return analysis;
        }
        self.sources_parsed.fetch_add(1, Ordering::Relaxed);
        let analysis = Arc::new(Analysis::of(parse(text.as_bytes()), |pattern| self.verdict(pattern)));
        lock(&self.texts).insert(text, Some(Arc::clone(&analysis)));
        analysis
    }

    /// The verdict on a pattern.
    pub(crate) fn verdict(&self, pattern: &[u8]) -> Arc<crate::pattern::Verdict> {
        if let Some(verdict) = lock(&self.verdicts).find(pattern) {
            return verdict;
        }
        self.patterns_compiled.fetch_add(1, Ordering::Relaxed);
        let verdict = Arc::new(crate::pattern::Verdict::of(pattern));
        lock(&self.verdicts).insert(pattern, &verdict);
        verdict
    }

    /// Forgets what nobody uses any more. It also happens by itself, from time to time.
    pub(crate) fn forget_unused(&self) {
        lock(&self.texts).forget_unused();
        lock(&self.verdicts).forget_unused();
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let texts = lock(&self.texts);
        Statistics {
            sources_parsed: self.sources_parsed.load(Ordering::Relaxed),
            patterns_compiled: self.patterns_compiled.load(Ordering::Relaxed),
            texts: texts.len(),
            analyzed_bytes: texts.analyzed_bytes(),
            patterns: lock(&self.verdicts).len(),
        }
    }
}

/// What the mutexes guard is whole between any two calls, so a thread that panicked left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
