//! A RuleSource's text with where it comes from, and a RuleData's file as the content holds it.

use std::sync::Arc;

use bytes::Bytes;

/// One RuleSource that a RuleSet names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSource {
    /// The RuleSource's name, which diagnostics carry.
    pub name: Arc<str>,
    /// Its text; intern it (see [`Compiler::intern`](crate::Compiler::intern)), so that RuleSets with equal sources share one.
    pub text: Arc<str>,
    /// Whether the source is judged on its own.
    pub validation: Validation,
}

impl ResolvedSource {
    pub(crate) fn named_text(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.name), Arc::clone(&self.text))
    }
}

/// Whether a source's syntax is judged on the source or on the RuleSet that names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Validation {
    /// On the source: its errors make it a source that is invalid for every RuleSet.
    #[default]
    Own,
    /// The author turned that off: its errors are those of the RuleSet.
    Skipped,
}

/// A data file that shares its bytes with the text that it was made from.
#[must_use]
pub fn data_file(text: Arc<str>) -> Bytes {
    struct Shared(Arc<str>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Shared(text))
}
