//! `Memory`: what is remembered about RuleSets from one look to the next. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use coraza_compiler::{Compilation, CompileError, ResolvedRuleSet};
use coraza_ruleset::{DataFiles, Limits, Revision, RuleSetKey};

use crate::ruleset::ledger::Ledger;

/// What came of a compilation.
pub type Compiled = Result<Arc<Compilation>, CompileError>;

/// What is remembered about RuleSets.
#[derive(Debug)]
pub struct Memory {
    /// The bytes that are served.
    pub ledger: Ledger,
    compiled: HashMap<RuleSetKey, (Inputs, Compiled)>,
    published: HashMap<RuleSetKey, Published>,
    /// The RuleSets that nothing was said about yet; nothing once all were said.
    unsaid: Option<BTreeSet<RuleSetKey>>,
}

/// What a compilation depends on.
#[derive(Debug, Clone)]
pub struct Inputs {
    ruleset: ResolvedRuleSet,
    allow_unsupported: bool,
}

/// Since when this process publishes a revision in a term.
#[derive(Debug)]
struct Published {
    revision: Revision,
    epoch: Option<u64>,
    since: Duration,
}

impl Inputs {
    /// The inputs of a compilation.
    #[must_use]
    pub const fn new(ruleset: ResolvedRuleSet, allow_unsupported: bool) -> Self {
        Self {
            ruleset,
            allow_unsupported,
        }
    }

    /// What is to be compiled.
    #[must_use]
    pub const fn ruleset(&self) -> &ResolvedRuleSet {
        &self.ruleset
    }

    /// Whether rules that the engine can't run are allowed.
    #[must_use]
    pub const fn allow_unsupported(&self) -> bool {
        self.allow_unsupported
    }

    /// Whether the result must be the same. Texts are interned: the same text is the same allocation.
    fn same_as(&self, other: &Self) -> bool {
        let sources = self.ruleset.sources.iter().zip(&other.ruleset.sources);
        self.allow_unsupported == other.allow_unsupported
            && self.ruleset.sources.len() == other.ruleset.sources.len()
            && sources.into_iter().all(|(one, other)| {
                one.name == other.name && one.validation == other.validation && Arc::ptr_eq(&one.text, &other.text)
            })
            && same_files(&self.ruleset.data_files, &other.ruleset.data_files)
    }
}

fn same_files(one: &DataFiles, other: &DataFiles) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs.into_iter().all(|((name, bytes), (other_name, other_bytes))| {
            name == other_name && bytes.as_ptr() == other_bytes.as_ptr() && bytes.len() == other_bytes.len()
        })
}

impl Memory {
    /// A memory of nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            ledger: Ledger::new(limits),
            compiled: HashMap::new(),
            published: HashMap::new(),
            unsaid: None,
        }
    }

    /// What came of the last compilation, if it was of the same.
    #[must_use]
    pub fn compiled(&self, inputs: &Inputs) -> Option<Compiled> {
        let (known, compiled) = self.compiled.get(&inputs.ruleset.key)?;
        known.same_as(inputs).then(|| compiled.clone())
    }

    /// A compilation ended so. What was too large is not remembered: it may fit the next time.
    pub fn remember(&mut self, inputs: Inputs, compiled: &Compiled) {
        let key = inputs.ruleset.key.clone();
        if matches!(compiled, Err(CompileError::OversizedRules(_))) {
            self.compiled.remove(&key);
        } else {
            self.compiled.insert(key, (inputs, compiled.clone()));
        }
    }

    /// For how long this revision has been published in this term. `now` is a monotonic clock's.
    pub fn published_for(
        &mut self,
        key: &RuleSetKey,
        revision: Revision,
        epoch: Option<u64>,
        now: Duration,
    ) -> Duration {
        let published = self.published.entry(key.clone()).or_insert(Published {
            revision,
            epoch,
            since: now,
        });
        if (published.revision, published.epoch) != (revision, epoch) {
            *published = Published {
                revision,
                epoch,
                since: now,
            };
        }
        now.saturating_sub(published.since)
    }

    /// Nothing names the RuleSet any more. Gives the RuleSets that may fit now.
    pub fn forget(&mut self, key: &RuleSetKey) -> Vec<RuleSetKey> {
        self.compiled.remove(key);
        self.published.remove(key);
        self.ledger.forgotten(key)
    }

    /// These RuleSets, and no others, have to be said once before anything is published.
    pub fn expect(&mut self, keys: BTreeSet<RuleSetKey>) {
        self.unsaid = Some(keys);
    }

    /// This RuleSet was said. True once, when it was the last (or there was none).
    pub fn said(&mut self, key: Option<&RuleSetKey>) -> bool {
        let Some(unsaid) = &mut self.unsaid else { return false };
        if let Some(key) = key {
            unsaid.remove(key);
        }
        let all = unsaid.is_empty();
        if all {
            self.unsaid = None;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_compiler::{ResolvedSource, Validation, data_file};
    use coraza_ruleset::{Digest, Timestamp};

    fn key(name: &str) -> RuleSetKey {
        RuleSetKey::new("default", name).expect("a key")
    }

    fn inputs(text: &Arc<str>, file: &Arc<str>) -> Inputs {
        let source = ResolvedSource {
            name: "a".into(),
            text: Arc::clone(text),
            validation: Validation::Own,
        };
        let data_files = Arc::new([("file".into(), data_file(Arc::clone(file)))].into());
        Inputs::new(
            ResolvedRuleSet {
                key: key("crs"),
                sources: vec![source],
                data_files,
            },
            false,
        )
    }

    #[test]
    fn the_same_inputs_are_not_compiled_twice_and_others_are() {
        let (text, file): (Arc<str>, Arc<str>) = ("SecRuleEngine On".into(), "x".into());
        let mut memory = Memory::new(Limits::default());
        let broken: Compiled = Err(CompileError::InvalidRuleSet {
            diagnostics: Default::default(),
        });
        memory.remember(inputs(&text, &file), &broken);
        assert!(memory.compiled(&inputs(&text, &file)).is_some());
        let mut allowed = inputs(&text, &file);
        allowed.allow_unsupported = true;
        let mut unchecked = inputs(&text, &file);
        unchecked.ruleset.sources[0].validation = Validation::Skipped;
        let mut fewer = inputs(&text, &file);
        fewer.ruleset.sources.clear();
        for other in [
            inputs(&"other".into(), &file),
            inputs(&text, &"y".into()),
            allowed,
            unchecked,
            fewer,
        ] {
            assert!(memory.compiled(&other).is_none(), "{other:?}");
        }
        memory.forget(&key("crs"));
        assert!(memory.compiled(&inputs(&text, &file)).is_none());
    }

    #[test]
    fn a_revision_is_published_anew_in_each_term() {
        let mut memory = Memory::new(Limits::default());
        let revision = |number| Revision {
            digest: Digest::new([number; 32]),
            timestamp: Timestamp::from_unix_nanos(1),
        };
        let seconds = Duration::from_secs;
        for (number, epoch, now, age) in [
            (1, None, 10, 0),
            (1, None, 13, 3),
            (1, Some(7), 14, 0),
            (1, Some(7), 20, 6),
            (2, Some(7), 21, 0),
        ] {
            assert_eq!(
                memory.published_for(&key("crs"), revision(number), epoch, seconds(now)),
                seconds(age)
            );
        }
    }

    #[test]
    fn publishing_opens_once_when_all_were_said() {
        let mut memory = Memory::new(Limits::default());
        assert!(!memory.said(Some(&key("a"))), "nobody knows yet what there is");
        memory.expect([key("a"), key("b")].into());
        assert!(!memory.said(Some(&key("a"))) && !memory.said(Some(&key("a"))));
        assert!(memory.said(Some(&key("b"))) && !memory.said(Some(&key("b"))));
        memory.expect(BTreeSet::new());
        assert!(memory.said(None));
    }
}
