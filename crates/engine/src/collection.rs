//! Named values of a transaction, in the order in which they arrived. No IO.

use std::sync::Arc;

/// Bytes of a transaction: shared, so that a rule can hold a value while its actions change the collection that it came from.
pub(crate) type Bytes = Arc<[u8]>;

/// One value and the name that it arrived under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name; not necessarily unique.
    pub(crate) key: Bytes,
    /// The value.
    pub(crate) value: Bytes,
}

/// Values under names. Names are compared without regard to ASCII case, as rules do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collection {
    entries: Vec<Entry>,
}

impl Collection {
    /// Adds a value, also where the name exists.
    pub(crate) fn push(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.entries.push(Entry {
            key: key.into(),
            value: value.into(),
        });
    }

    /// Replaces the value of a name, or adds it. The name keeps its first spelling and its place.
    pub(crate) fn set(&mut self, key: &[u8], value: impl Into<Bytes>) {
        match self
            .entries
            .iter_mut()
            .find(|entry| entry.key.eq_ignore_ascii_case(key))
        {
            Some(entry) => entry.value = value.into(),
            None => self.push(key, value),
        }
    }

    /// Takes all values of a name out.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.entries.retain(|entry| !entry.key.eq_ignore_ascii_case(key));
    }

    /// The first value of a name.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let found = self.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
        found.map(|entry| &entry.value)
    }

    /// All values, in order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// Takes all values out.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_and_names_their_spelling() {
        let mut collection = Collection::default();
        collection.push(*b"Host", *b"a");
        collection.push(*b"x", *b"b");
        collection.push(*b"HOST", *b"c");
        assert_eq!(collection.get(b"host").map(|value| &**value), Some(b"a" as &[u8]));
        collection.set(b"hOST", *b"d");
        let all: Vec<_> = collection.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
        assert_eq!(all, [(b"Host" as &[u8], b"d" as &[u8]), (b"x", b"b"), (b"HOST", b"c")]);
        collection.remove(b"host");
        assert_eq!(collection.iter().count(), 1);
        assert_eq!(collection.get(b"host"), None);
    }
}
