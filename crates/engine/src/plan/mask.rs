//! `ByteMask`: which of the 256 bytes a value has. No IO.

use crate::transformations::ByteSet;

/// A set of bytes, made for values: quick to fill and to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ByteMask([u64; 4]);

/// The upper case letters in the word of the bytes 64 to 127; the lower case ones are 32 bits further.
const UPPER: u64 = ((1 << 26) - 1) << 1;

impl ByteMask {
    /// No byte.
    pub(crate) const NONE: Self = Self([0; 4]);

    #[allow(clippy::indexing_slicing, reason = "a byte has four pairs of upper bits")]
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
    }

    /// Those of a value.
    pub(crate) fn of(value: &[u8]) -> Self {
        let mut bytes = Self::default();
        value.iter().for_each(|byte| bytes.insert(*byte));
        bytes
    }

    #[allow(clippy::indexing_slicing, reason = "a byte has four pairs of upper bits")]
    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// All bytes of either.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// Whether some byte is in both.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (a & e) | (b & f) | (c & g) | (d & h) != 0
    }

    /// With the lower case letter in place of each upper case one.
    pub(crate) fn folded(&self) -> Self {
        let [a, b, c, d] = self.0;
        Self([a, b & !UPPER | (b & UPPER) << 32, c, d])
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        let words = [0_u8, 64, 128, 192].into_iter().zip(self.0);
        words.flat_map(|(start, word)| {
            let rest = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            let left = rest.take_while(|word| *word != 0);
            left.map(move |word| start + word.trailing_zeros() as u8)
        })
    }
}

impl From<&ByteSet> for ByteMask {
    fn from(set: &ByteSet) -> Self {
        Self(set.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_is_in_a_value() {
        let bytes = ByteMask::of(b"Az\0\xffA@[`");
        assert_eq!(bytes.iter().collect::<Vec<_>>(), b"\0@A[`z\xff");
        assert_eq!(bytes.folded().iter().collect::<Vec<_>>(), b"\0@[`az\xff");
        assert_eq!(bytes.len(), 7);
        assert!(bytes.intersects(&ByteMask::of(b"xyz")) && !bytes.intersects(&ByteMask::of(b"Z")));
        assert_eq!(ByteMask::from(&ByteSet::new(b"Az\0\xffA@[`")), bytes);
        assert_eq!(ByteMask::of(b"ab").or(&ByteMask::of(b"bc")), ByteMask::of(b"abc"));
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(ByteMask::of(&all).iter().collect::<Vec<_>>(), all);
    }
}
