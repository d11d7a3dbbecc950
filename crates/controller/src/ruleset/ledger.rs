//! `Ledger`: how many bytes each RuleSet's served content has, so that a namespace and the cluster stay within their limits. Pure.
//!
//! What is served keeps its place. New content counts everything else that is served; content that is served already, as after a
//! restart, counts only what became current before it. So no RuleSet is ever degraded by the growth of another, every replica and
//! every restart comes to the same verdict from the revisions in the statuses, and if a limit is lowered the latest are refused first.

use std::collections::{BTreeMap, BTreeSet};

use coraza_ruleset::limits::Scope;
use coraza_ruleset::{Content, Digest, Limits, Oversized, Revision, RuleSetKey, Timestamp};

/// What is served or about to be, by key.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    entries: BTreeMap<RuleSetKey, Entry>,
    /// RuleSets that were refused for the sake of others: they are looked at again when bytes become free.
    refused: BTreeSet<RuleSetKey>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// The revision that is served, and its size; nothing if there is none yet.
    served: Option<(Revision, u64)>,
    /// The size of content that was admitted and is being compiled: two at a time must not both take what is left.
    reserved: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.served.map_or(0, |(_, bytes)| bytes).max(self.reserved)
    }

    fn since(&self) -> Option<Timestamp> {
        self.served.map(|(revision, _)| revision.timestamp)
    }
}

impl Ledger {
    /// A ledger in which nothing is served.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Whether this content may be served for the key. If so its bytes are reserved until [`served`](Self::served),
    /// [`cancelled`](Self::cancelled) or [`forgotten`](Self::forgotten).
    ///
    /// # Errors
    /// [`Oversized`] names the limit and the numbers.
    pub fn admit(&mut self, key: &RuleSetKey, content: &Content, digest: Digest) -> Result<(), Oversized> {
        let place = self
            .entries
            .get(key)
            .and_then(|entry| entry.served)
            .filter(|(revision, _)| revision.digest == digest);
        let place = place.map(|(revision, _)| (revision.timestamp, key));
        let counts = |other: &(&RuleSetKey, &Entry)| {
            let earlier = |place| other.1.since().is_none_or(|since| (since, other.0) < place);
            other.0 != key && place.is_none_or(earlier)
        };
        let (mut namespace, mut total) = (0_u64, 0_u64);
        for (other, entry) in self.entries.iter().filter(counts) {
            total = total.saturating_add(entry.bytes());
            if other.namespace() == key.namespace() {
                namespace = namespace.saturating_add(entry.bytes());
            }
        }
        let verdict = self.limits.admit(content, namespace, total);
        match &verdict {
            Err(oversized) if oversized.scope != Scope::RuleSet => self.refused.insert(key.clone()),
            _ => self.refused.remove(key),
        };
        if verdict.is_ok() {
            self.entries.entry(key.clone()).or_default().reserved = u64::try_from(content.size()).unwrap_or(u64::MAX);
        }
        verdict
    }

    /// The key is served with so many bytes. Gives the refused RuleSets that may fit now.
    pub fn served(&mut self, key: &RuleSetKey, revision: Revision, bytes: u64) -> Vec<RuleSetKey> {
        self.update(key, |_| Entry {
            served: Some((revision, bytes)),
            reserved: 0,
        })
    }

    /// The admitted content didn't compile. Gives the refused RuleSets that may fit now.
    pub fn cancelled(&mut self, key: &RuleSetKey) -> Vec<RuleSetKey> {
        self.update(key, |entry| Entry { reserved: 0, ..entry })
    }

    /// The key was served so when this process had not seen it yet: what a status says counts until we know better.
    pub fn recalled(&mut self, key: &RuleSetKey, revision: Revision, bytes: u64) {
        self.entries
            .entry(key.clone())
            .or_default()
            .served
            .get_or_insert((revision, bytes));
    }

    /// The key is served no longer. Gives the refused RuleSets that may fit now.
    pub fn forgotten(&mut self, key: &RuleSetKey) -> Vec<RuleSetKey> {
        self.refused.remove(key);
        self.update(key, |_| Entry::default())
    }

    fn update(&mut self, key: &RuleSetKey, update: impl FnOnce(Entry) -> Entry) -> Vec<RuleSetKey> {
        let before = self.entries.remove(key).unwrap_or_default();
        let after = update(before);
        if after.bytes() > 0 || after.served.is_some() {
            self.entries.insert(key.clone(), after);
        }
        if before.bytes() > after.bytes() {
            self.retry(key)
        } else {
            Vec::new()
        }
    }

    fn retry(&self, freed: &RuleSetKey) -> Vec<RuleSetKey> {
        self.refused.iter().filter(|key| *key != freed).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_ruleset::RulesText;

    fn key(text: &str) -> RuleSetKey {
        text.parse().expect("a key")
    }

    fn content(bytes: usize) -> Content {
        Content {
            rules: RulesText::new(["x".repeat(bytes).into()]),
            ..Content::default()
        }
    }

    fn revision(content: &Content, time: u64) -> Revision {
        Revision {
            digest: content.digest(),
            timestamp: Timestamp::from_unix_nanos(time),
        }
    }

    /// Ten bytes a RuleSet, twenty a namespace, thirty in all.
    fn ledger() -> Ledger {
        Ledger::new(Limits {
            ruleset: 10,
            namespace: 20,
            total: 30,
        })
    }

    fn serve(ledger: &mut Ledger, name: &str, bytes: usize, time: u64) -> Result<Vec<RuleSetKey>, Scope> {
        let content = content(bytes);
        ledger
            .admit(&key(name), &content, content.digest())
            .map_err(|oversized| oversized.scope)?;
        Ok(ledger.served(&key(name), revision(&content, time), bytes as u64))
    }

    #[test]
    fn what_comes_last_is_refused_and_returns_when_there_is_room() {
        let mut ledger = ledger();
        assert_eq!(serve(&mut ledger, "a/one", 10, 1), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/two", 8, 2), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/three", 5, 3), Err(Scope::Namespace));
        assert_eq!(serve(&mut ledger, "b/one", 9, 4), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "b/two", 9, 5), Err(Scope::Total));
        assert_eq!(serve(&mut ledger, "b/two", 11, 5), Err(Scope::RuleSet));
        assert_eq!(
            serve(&mut ledger, "a/two", 5, 6),
            Ok(vec![key("a/three")]),
            "b/two waits for nobody"
        );
        assert_eq!(serve(&mut ledger, "a/three", 5, 7), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/four", 1, 8), Err(Scope::Namespace));
        assert_eq!(ledger.forgotten(&key("a/one")), [key("a/four")]);
        assert!(ledger.forgotten(&key("a/one")).is_empty());
    }

    #[test]
    fn what_is_being_compiled_has_its_bytes_reserved() {
        let mut ledger = ledger();
        let content = content(10);
        for name in ["a/one", "a/two"] {
            assert!(ledger.admit(&key(name), &content, content.digest()).is_ok());
        }
        assert!(ledger.admit(&key("a/three"), &content, content.digest()).is_err());
        assert_eq!(ledger.cancelled(&key("a/one")), [key("a/three")]);
        assert!(ledger.admit(&key("a/three"), &content, content.digest()).is_ok());
        assert!(ledger.cancelled(&key("b/none")).is_empty());
    }

    #[test]
    fn growth_degrades_the_one_that_grows() {
        let mut ledger = ledger();
        assert_eq!(serve(&mut ledger, "a/old", 10, 1), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/new", 10, 2), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/old", 9, 3), Ok(vec![]));
        assert_eq!(serve(&mut ledger, "a/new", 10, 2), Ok(vec![]), "looked at again");
        assert_eq!(serve(&mut ledger, "a/more", 2, 4), Err(Scope::Namespace));
    }

    #[test]
    fn after_a_restart_the_order_of_looking_does_not_matter() {
        let sets = [
            ("a/one", 10, 1),
            ("a/two", 10, 2),
            ("b/one", 10, 3),
            ("a/refused", 9, 0),
        ];
        for rotation in 0..sets.len() {
            let mut ledger = ledger();
            for (name, bytes, time) in sets.iter().filter(|(_, _, time)| *time > 0) {
                ledger.recalled(&key(name), revision(&content(*bytes), *time), *bytes as u64);
            }
            for (name, bytes, time) in sets.iter().cycle().skip(rotation).take(sets.len()) {
                let admitted = serve(&mut ledger, name, *bytes, *time).is_ok();
                assert_eq!(admitted, *time > 0, "{name} after {rotation}");
            }
        }
    }

    #[test]
    fn a_lowered_limit_refuses_the_latest() {
        let mut ledger = Ledger::new(Limits {
            ruleset: 10,
            namespace: 15,
            total: 30,
        });
        let (old, new) = (content(10), content(9));
        ledger.recalled(&key("a/new"), revision(&new, 2), 9);
        ledger.recalled(&key("a/old"), revision(&old, 1), 10);
        assert!(ledger.admit(&key("a/new"), &new, new.digest()).is_err());
        assert!(ledger.admit(&key("a/old"), &old, old.digest()).is_ok());
    }
}
