//! Validity of encodings: `validateByteRange`, `validateUrlEncoding`, `validateUtf8Encoding`. Each matches what is *not* valid.
//! No IO.

use std::ops::RangeInclusive;

use crate::transformations::ByteSet;

/// The bytes that `validateByteRange` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteRanges {
    forbidden: ByteSet,
}

impl ByteRanges {
    /// The bytes outside of the ranges.
    pub(crate) fn forbidden(&self) -> &ByteSet {
        &self.forbidden
    }

    /// Whether `value` holds a byte outside of the ranges.
    pub fn is_violated_by(&self, value: &[u8]) -> bool {
        self.forbidden.intersects(value)
    }
}

impl FromIterator<RangeInclusive<u8>> for ByteRanges {
    fn from_iter<T: IntoIterator<Item = RangeInclusive<u8>>>(ranges: T) -> Self {
        let ranges = ranges.into_iter().filter(|range| !range.is_empty());
        let allowed = ranges.fold(ByteSet::EMPTY, |allowed, range| {
            allowed.or(ByteSet::range(*range.start(), *range.end()))
        });
        Self {
            forbidden: allowed.complement(),
        }
    }
}

/// `validateUrlEncoding`: whether a `%` isn't followed by two hexadecimal digits.
pub fn is_invalid_url_encoding(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return true,
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    false
}

/// `validateUtf8Encoding`: whether the bytes are not UTF-8 (RFC 3629: nothing overlong, no surrogates, at most U+10FFFF).
pub fn is_invalid_utf8(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_of_the_ranges_are_found() {
        let ranges: ByteRanges = [9..=10, 13..=13, 32..=126].into_iter().collect();
        assert!(!ranges.is_violated_by(b"a\tb\r\n~"));
        assert!(!ranges.is_violated_by(b""));
        for byte in [0, 8, 11, 31, 127, 255] {
            assert!(ranges.is_violated_by(&[b'a', byte]), "{byte}");
        }
        let all: ByteRanges = [0..=255].into_iter().collect();
        assert!(!all.is_violated_by(&[0, 255]));
        let none: ByteRanges = [].into_iter().collect();
        assert!(none.is_violated_by(b"a") && !none.is_violated_by(b""));
    }

    #[test]
    fn invalid_url_encodings_are_found() {
        for (value, expected) in [
            ("", false),
            ("a%20b", false),
            ("%fF%00", false),
            ("%", true),
            ("%2", true),
            ("%2g", true),
            ("%%20", true),
        ] {
            assert_eq!(is_invalid_url_encoding(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn invalid_utf8_is_found() {
        for (value, expected) in [
            (b"" as &[u8], false),
            (b"a\0\xc3\xa9\xf4\x8f\xbf\xbf", false),
            (b"\xc0\x80", true),
            (b"\xed\xa0\x80", true),
            (b"\xf4\x90\x80\x80", true),
            (b"\xe2\x82", true),
            (b"\x80", true),
        ] {
            assert_eq!(is_invalid_utf8(value), expected, "{}", value.escape_ascii());
        }
    }
}
