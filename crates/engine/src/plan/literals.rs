//! `Literals`: which of many short strings stand in a value, in one pass over it. No IO.
//!
//! An automaton of them all would be a long step to build, in which a worker serves nobody. Here each string is put into a table by itself,
//! and at each place of a value it is asked whether the bytes up to there are one of the strings. There are few lengths to ask for, since a
//! requirement keeps but the first bytes of what it wants; and nearly all places are done with after one or two bits.

/// The longest string: what a number of 64 bits has room for.
pub(super) const MAX_LENGTH: usize = 8;

/// Strings of two to [`MAX_LENGTH`] bytes in lower case, each with a number: their places in the order in which they came.
#[derive(Debug)]
pub(super) struct Literals {
    strings: Vec<Literal>,
    /// Places in `strings`, where their hashes lead, or the next free ones; twice as many as strings at least.
    slots: Box<[u32]>,
    /// Whether a string ends in these bytes: for two, three and four of them.
    ends: [Bits; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Literal {
    /// Its bytes, the last one lowest.
    bytes: u64,
    length: usize,
}

const FREE: u32 = u32::MAX;

impl Literals {
    /// Room for so many.
    pub(super) fn with_room_for(count: usize) -> Self {
        let slots = (2 * count).next_power_of_two().max(16);
        Self {
            strings: Vec::with_capacity(count),
            slots: vec![FREE; slots].into_boxed_slice(),
            ends: [Bits::new(), Bits::new(), Bits::new()],
        }
    }

    /// Adds a string if it isn't there. Of a longer one only the beginning is looked for. `None` if there is no room, or for one that is too
    /// short.
    pub(super) fn insert(&mut self, string: &[u8]) -> Option<u32> {
        let string = string.get(..MAX_LENGTH).unwrap_or(string);
        let literal = Literal {
            bytes: string.iter().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)),
            length: string.len(),
        };
        let slot = match self.find(literal) {
            Ok(known) => return Some(known),
            Err(slot) => slot,
        };
        if string.len() < 2 || 2 * self.strings.len() >= self.slots.len() {
            return None;
        }
        let number = self.strings.len() as u32;
        self.strings.push(literal);
        *self.slots.get_mut(slot)? = number;
        for (bits, length) in self.ends.iter_mut().zip(2..=string.len()) {
            bits.insert(literal.last(length));
        }
        Some(number)
    }

    /// The number of a string, or where it would stand.
    fn find(&self, literal: Literal) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = literal.hash() & mask;
        loop {
            match self.slots.get(slot) {
                Some(&number) if number != FREE => {
                    if self.strings.get(number as usize) == Some(&literal) {
                        return Ok(number);
                    }
                    slot = (slot + 1) & mask;
                }
                // There is always a free one.
                _ => return Err(slot),
            }
        }
    }

    /// Calls `found` with the number of each string that stands in `value`, in any ASCII case, as often as it does.
    pub(super) fn find_all(&self, value: &[u8], mut found: impl FnMut(u32)) {
        let [pairs, triples, quads] = &self.ends;
        let mut bytes = 0_u64;
        for (at, byte) in value.iter().enumerate() {
            bytes = bytes << 8 | u64::from(byte.to_ascii_lowercase());
            let place = Literal { bytes, length: at + 1 };
            if !pairs.contains(place.last(2)) {
                continue;
            }
            let mut ask = |length: usize| {
                // At the beginning there aren't as many bytes.
                if length <= at + 1
                    && let Ok(number) = self.find(Literal {
                        bytes: place.last(length),
                        length,
                    })
                {
                    found(number);
                }
            };
            ask(2);
            if !triples.contains(place.last(3)) {
                continue;
            }
            ask(3);
            if quads.contains(place.last(4)) {
                (4..=MAX_LENGTH).for_each(ask);
            }
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn memory_usage(&self) -> usize {
        let bits: usize = self.ends.iter().map(|bits| bits.0.len() * size_of::<u64>()).sum();
        self.strings.capacity() * size_of::<Literal>() + self.slots.len() * size_of::<u32>() + bits
    }
}

impl Literal {
    /// The last so many of its bytes.
    #[inline]
    fn last(self, length: usize) -> u64 {
        self.bytes & (u64::MAX >> (64 - 8 * length.min(MAX_LENGTH)))
    }

    #[inline]
    fn hash(self) -> usize {
        let mixed = (self.bytes ^ (self.length as u64) << 57).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize
    }
}

/// A set of numbers that may have some more than were put into it.
#[derive(Debug)]
struct Bits(Box<[u64; 1 << 10]>);

impl Bits {
    fn new() -> Self {
        Self(Box::new([0; 1 << 10]))
    }

    /// One of 65,536 bits: two bytes have one each.
    #[inline]
    fn place(number: u64) -> (usize, u64) {
        let mixed = if number >> 16 == 0 {
            number
        } else {
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
        };
        ((mixed >> 6) as usize & 0x3ff, 1 << (mixed & 63))
    }

    fn insert(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn contains(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_is_there(
            strings in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"abc\x00\xff"[..]), 2..9), 0..40),
            value in prop::collection::vec(prop::sample::select(&b"abcABC\x00\xff"[..]), 0..40),
        ) {
            let mut literals = Literals::with_room_for(strings.len());
            let numbers: Vec<_> = strings.iter().map(|string| literals.insert(string).unwrap()).collect();
            let mut found = BTreeSet::new();
            literals.find_all(&value, |number| { found.insert(number); });
            let lower = value.to_ascii_lowercase();
            for (string, number) in strings.iter().zip(numbers) {
                let there = lower.windows(string.len()).any(|part| part == string);
                prop_assert_eq!(found.contains(&number), there, "{:?}", string);
            }
        }
    }

    #[test]
    fn strings_have_a_length_and_a_room() {
        let mut literals = Literals::with_room_for(0);
        assert_eq!(literals.insert(b"a"), None);
        assert_eq!(literals.insert(b"abcdefghij"), literals.insert(b"abcdefgh"));
        let strings = (0..20_u8).map(|number| [number, 1]);
        let numbers: Vec<_> = strings.map(|string| literals.insert(&string)).collect();
        assert_eq!(numbers.iter().flatten().count(), 7, "{numbers:?}");
        let mut found = Vec::new();
        literals.find_all(b"xAbCdEfGhIj", |number| found.push(number));
        assert_eq!(found, [0]);
    }
}
