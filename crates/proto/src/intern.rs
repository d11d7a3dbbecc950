//! `Intern`, and `Interner`: one copy in memory of equal texts and files, so that a thousand RuleSets with the same Core Rule Set cost one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// What may be interned between two sweeps before unused entries are looked for, in bytes; more when more is in use, so that a sweep's
/// cost is spread over as much work as it does.
const SWEEP_BYTES: usize = 1 << 20;

/// Where decoded texts and files come from.
pub trait Intern {
    /// This text.
    fn text(&self, text: &str) -> Arc<str>;
    /// This file.
    fn file(&self, file: &Bytes) -> Bytes;
}

/// No sharing, for who doesn't keep contents: a copy of each text, and files as parts of the message that they came in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verbatim;

impl Intern for Verbatim {
    fn text(&self, text: &str) -> Arc<str> {
        text.into()
    }

    fn file(&self, file: &Bytes) -> Bytes {
        file.clone()
    }
}

/// Texts and files by content. Those that nobody else holds any more are forgotten while new ones come.
#[derive(Debug, Default)]
pub struct Interner {
    // A std mutex: it is held for a look-up or a sweep, never across an await.
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    texts: HashSet<Arc<str>>,
    files: HashSet<Bytes>,
    /// Bytes added since the last sweep.
    added: usize,
    /// Bytes in use at the last sweep.
    kept: usize,
}

impl Intern for Interner {
    fn text(&self, text: &str) -> Arc<str> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pool.texts.get(text) {
            return Arc::clone(known);
        }
        pool.make_room(text.len());
        let text: Arc<str> = text.into();
        pool.texts.insert(Arc::clone(&text));
        text
    }

    fn file(&self, file: &Bytes) -> Bytes {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pool.files.get(file) {
            return known.clone();
        }
        pool.make_room(file.len());
        // A copy of its own: `file` may be a slice that keeps a whole message alive.
        let file = Bytes::copy_from_slice(file);
        pool.files.insert(file.clone());
        file
    }
}

impl Pool {
    fn make_room(&mut self, bytes: usize) {
        self.added = self.added.saturating_add(bytes);
        if self.added > SWEEP_BYTES.max(self.kept) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.files.retain(|file| !file.is_unique());
        self.added = 0;
        let texts = self.texts.iter().map(|text| text.len());
        self.kept = texts.chain(self.files.iter().map(Bytes::len)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_share_one_copy() {
        let interner = Interner::default();
        assert!(Arc::ptr_eq(
            &interner.text("SecRuleEngine On"),
            &interner.text("SecRuleEngine On")
        ));
        let file = Bytes::from_static(b"evil\n");
        assert_eq!(interner.file(&file).as_ptr(), interner.file(&file).as_ptr());
        assert_ne!(interner.file(&file).as_ptr(), file.as_ptr());
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let interner = Interner::default();
        let held = interner.text("held");
        let held_file = interner.file(&Bytes::from_static(b"held"));
        for number in 0..64 {
            let _ = interner.text(&format!("{number}{}", "x".repeat(SWEEP_BYTES / 8)));
            let _ = interner.file(&Bytes::from(format!("{number}{}", "y".repeat(SWEEP_BYTES / 8))));
        }
        let pool = interner.pool.lock().expect("not poisoned");
        assert!(pool.texts.len() + pool.files.len() < 20);
        assert!(pool.texts.contains(&*held) && pool.files.contains(&held_file));
    }
}
