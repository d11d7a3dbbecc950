//! `Pairs`: header fields as the ABI passes them, read in place. No IO.
//!
//! ```text
//! count: u32 │ (name's length: u32, value's length: u32) × count │ (name, NUL, value, NUL) × count        little endian
//! ```

use std::ops::Range;

/// Names and values, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    bytes: Vec<u8>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Pairs {
    /// Reads what the host passed; nothing if it contradicts itself.
    #[must_use]
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let count = number(&bytes, 0)?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        // Before anything is allocated for that many.
        bytes.get(..at)?;
        let mut fields = Vec::with_capacity(count);
        for index in 0..count {
            let lengths = 4 + index * 8;
            let name = field(&mut at, number(&bytes, lengths)?)?;
            let value = field(&mut at, number(&bytes, lengths + 4)?)?;
            fields.push((name, value));
        }
        // The last NUL is there, so every range before it is.
        bytes.get(..at)?;
        Some(Self { bytes, fields })
    }

    /// As the host wants them.
    #[must_use]
    pub fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        let mut bytes = Vec::with_capacity(size + 4);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend(length(pairs.len()));
        for (name, value) in pairs {
            bytes.extend(length(name.len()));
            bytes.extend(length(value.len()));
        }
        for (name, value) in pairs {
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.fields.iter().map(move |(name, value)| (text(name), text(value)))
    }

    /// The fields that aren't pseudo header fields.
    pub fn regular(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().filter(|(name, _)| !name.starts_with(b":"))
    }

    /// The first value of a field; names are compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn field(at: &mut usize, length: usize) -> Option<Range<usize>> {
    let end = at.checked_add(length)?;
    let range = *at..end;
    *at = end.checked_add(1)?;
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_found_whatever_their_bytes() {
        let pairs = Pairs::decode(Pairs::encode(&[
            (b":path", b"/"),
            (b"x", b"\xff\0"),
            (b"X", b"2"),
            (b"", b""),
        ]));
        let pairs = pairs.expect("pairs");
        assert_eq!(pairs.get("x"), Some(&b"\xff\0"[..]));
        assert_eq!(pairs.get(":Path"), Some(&b"/"[..]));
        assert_eq!(pairs.get("y"), None);
        assert_eq!(pairs.iter().count(), 4);
        assert_eq!(pairs.regular().count(), 3);
        assert_eq!(Pairs::decode(Vec::new()), Some(Pairs::default()));
    }

    #[test]
    fn a_host_that_contradicts_itself_is_not_believed() {
        let good = Pairs::encode(&[(b"name", b"value")]);
        for length in 1..good.len() {
            assert_eq!(Pairs::decode(good.get(..length).unwrap().to_vec()), None, "{length}");
        }
        for bytes in [
            &[0xff; 4][..],
            &[0xff; 12],
            &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(Pairs::decode(bytes.to_vec()), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(pairs) = Pairs::decode(bytes) {
                pairs.iter().count();
            }
        }

        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20)) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let pairs = Pairs::decode(Pairs::encode(&fields)).expect("pairs");
            prop_assert_eq!(pairs.iter().collect::<Vec<_>>(), fields);
        }
    }
}
