//! Byte classes and digits as ModSecurity reads them: ASCII alone, whatever the locale. No IO.

/// A set of byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSet {
    words: [u64; 4],
    /// All members, some twice, if there are one to three: those are found many bytes at a time.
    few: Option<[u8; 3]>,
}

impl ByteSet {
    /// The set of no byte.
    pub const EMPTY: Self = Self::from_words([0; 4]);

    /// The set of the bytes in `members`.
    pub const fn new(members: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = members;
        while let [byte, after @ ..] = rest {
            set = set.or(Self::range(*byte, *byte));
            rest = after;
        }
        set
    }

    /// The set of the bytes from `first` to `last`, both included.
    pub const fn range(first: u8, last: u8) -> Self {
        // All bits up to `last`, less those below `first`.
        const fn word(at: u8, first: u8, last: u8) -> u64 {
            let (start, end) = (at * 64, at * 64 + 63);
            if last < start || first > end {
                return 0;
            }
            let low = first.saturating_sub(start);
            let high = if last < end { last - start } else { 63 };
            (u64::MAX >> (63 - high)) & (u64::MAX << low)
        }
        Self::from_words([
            word(0, first, last),
            word(1, first, last),
            word(2, first, last),
            word(3, first, last),
        ])
    }

    const fn from_words(words: [u64; 4]) -> Self {
        let set = Self { words, few: None };
        let mut found = [0; 3];
        let mut count = 0_u32;
        let mut byte = 0_u8;
        loop {
            if set.contains(byte) {
                found = match (count, found) {
                    (0, _) => [byte; 3],
                    (1, [first, ..]) => [first, byte, byte],
                    (_, [first, second, _]) => [first, second, byte],
                };
                count += 1;
            }
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        let few = if matches!(count, 1..=3) { Some(found) } else { None };
        Self { words, few }
    }

    /// The bytes that are in either set.
    pub const fn or(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.words, other.words);
        Self::from_words([a | e, b | f, c | g, d | h])
    }

    /// The set less one byte.
    pub const fn without(self, byte: u8) -> Self {
        self.complement().or(Self::range(byte, byte)).complement()
    }

    /// The bytes that are not in the set.
    pub const fn complement(self) -> Self {
        let [a, b, c, d] = self.words;
        Self::from_words([!a, !b, !c, !d])
    }

    /// A bit for each byte.
    pub(crate) const fn words(&self) -> [u64; 4] {
        self.words
    }

    /// Whether `byte` is in the set.
    #[inline]
    pub const fn contains(&self, byte: u8) -> bool {
        let [a, b, c, d] = self.words;
        let word = match byte >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        word >> (byte & 63) & 1 == 1
    }

    /// For each byte whether it is in the set: faster than [`Self::contains`], and eight times as large.
    #[allow(clippy::indexing_slicing, reason = "the loop ends at the length")]
    pub const fn to_table(self) -> [bool; 256] {
        let mut table = [false; 256];
        let mut at = 0;
        while at < table.len() {
            table[at] = self.contains(at as u8);
            at += 1;
        }
        table
    }

    /// Whether any byte of `value` is in the set.
    pub fn intersects(&self, value: &[u8]) -> bool {
        match self.few {
            Some([a, b, c]) => memchr::memchr3(a, b, c, value).is_some(),
            None => value.iter().any(|byte| self.contains(*byte)),
        }
    }
}

/// C's `isspace`: space, `\t`, `\n`, `\v`, `\f`, `\r`.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What a hexadecimal digit is worth.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits write.
pub(crate) const fn hex_byte(high: u8, low: u8) -> Option<u8> {
    match (hex_value(high), hex_value(low)) {
        (Some(high), Some(low)) => Some(high << 4 | low),
        _ => None,
    }
}

/// The two lower-case hexadecimal digits of a byte.
pub(crate) const fn hex_digits(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 15)]
}

/// The lower-case digit of a value below 16.
pub(crate) const fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

/// The byte that a code point written in hexadecimal digits stands for where only bytes exist: its low byte, and for the
/// full-width forms U+FF01 to U+FF5E the ASCII character that they look like.
pub(crate) const fn narrow(high: u8, low: u8) -> u8 {
    match (high, low) {
        (0xff, 0x01..=0x5e) => low + 0x20,
        _ => low,
    }
}

/// Copies `input` to `out` but for the escapes that `find` finds: each goes, from its first byte on, to `decode`, which
/// appends what it stands for and returns what comes after it (at least one byte further on).
pub(crate) fn decode_escapes(
    input: &[u8],
    out: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
    decode: impl for<'a> Fn(&'a [u8], &mut Vec<u8>) -> &'a [u8],
) {
    let mut rest = input;
    while let Some(at) = find(rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = decode(escape, out);
    }
    out.extend_from_slice(rest);
}

/// Copies the first byte of what turned out to be no escape.
pub(crate) fn keep_first<'a>(escape: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    match escape {
        [first, rest @ ..] => {
            out.push(*first);
            rest
        }
        [] => escape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_their_members_and_no_others() {
        let set = ByteSet::new(b"\x00%\xff").or(ByteSet::range(b'a', b'c'));
        for byte in 0..=u8::MAX {
            let member = b"\x00%\xffabc".contains(&byte);
            assert_eq!(set.contains(byte), member, "{byte:#04x}");
            assert_eq!(set.complement().contains(byte), !member, "{byte:#04x}");
        }
        assert!(set.intersects(b"xyz%") && !set.intersects(b"xyz"));
        assert_eq!(ByteSet::range(0, u8::MAX), ByteSet::EMPTY.complement());
        assert_eq!(ByteSet::new(b"ab").without(b'b'), ByteSet::new(b"a"));
        assert!(
            set.to_table()
                .iter()
                .enumerate()
                .all(|(byte, member)| *member == set.contains(byte as u8))
        );
    }

    #[test]
    fn small_sets_are_found_like_large_ones() {
        for members in [b"" as &[u8], b"a", b"ab", b"abc", b"abcd"] {
            let set = ByteSet::new(members);
            for byte in 0..=u8::MAX {
                assert_eq!(
                    set.intersects(&[b'.', byte]),
                    members.contains(&byte),
                    "{members:?} {byte:#04x}"
                );
            }
        }
    }

    #[test]
    fn full_width_forms_become_their_ascii_twins() {
        let cases = [
            (0xff, 0x21, b'A'),
            (0xff, 0x01, b'!'),
            (0xff, 0x5e, b'~'),
            (0xff, 0x5f, 0x5f),
            (0xff, 0x00, 0),
            (0x01, 0x21, 0x21),
        ];
        for (high, low, expected) in cases {
            assert_eq!(narrow(high, low), expected, "{high:02x}{low:02x}");
        }
    }
}
