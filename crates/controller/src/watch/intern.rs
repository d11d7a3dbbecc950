//! `Interner`: one copy of each text, however many objects have it. Pure.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One copy of each text that somebody still holds. A thousand tenants with the same Core Rule Set cost one.
#[derive(Debug, Default)]
pub struct Interner {
    // A std mutex: nothing awaits under it.
    pool: Mutex<Pool>,
    /// Keyed at random: who could choose texts with equal hashes could make a look-up slow.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Pool {
    texts: HashMap<u64, Vec<Weak<str>>>,
    /// How many hashes there may be before those of forgotten texts are swept.
    sweep_at: usize,
}

/// How many texts a pool may have before it is worth looking for forgotten ones.
const FIRST_SWEEP: usize = 1024;

impl Interner {
    /// The shared copy of a text.
    #[must_use]
    pub fn text(&self, text: &str) -> Arc<str> {
        let hash = self.hasher.hash_one(text);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.sweep();
        let candidates = pool.texts.entry(hash).or_default();
        if let Some(shared) = candidates
            .iter()
            .filter_map(Weak::upgrade)
            .find(|candidate| **candidate == *text)
        {
            return shared;
        }
        candidates.retain(|candidate| candidate.strong_count() > 0);
        let shared: Arc<str> = text.into();
        candidates.push(Arc::downgrade(&shared));
        shared
    }
}

impl Pool {
    /// Drops what nobody holds, whenever the pool has doubled since the last time: a constant cost per text.
    fn sweep(&mut self) {
        if self.texts.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.texts
            .retain(|_, candidates| candidates.iter().any(|candidate| candidate.strong_count() > 0));
        self.sweep_at = self.texts.len().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let interner = Interner::default();
        let (one, same, other) = (interner.text("rules"), interner.text("rules"), interner.text("others"));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn texts_that_nobody_holds_are_forgotten() {
        let interner = Interner::default();
        let kept = interner.text("kept");
        (0..10 * FIRST_SWEEP).for_each(|number| drop(interner.text(&number.to_string())));
        assert!(interner.pool.lock().expect("not poisoned").texts.len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&kept, &interner.text("kept")));
    }
}
