//! `utf8toUnicode`. No IO.

use super::ascii::hex_digit;

/// What stands at the start of a text.
enum Sequence {
    /// A byte that begins no sequence.
    Byte,
    /// A code point, however badly written, of this many bytes.
    CodePoint { value: u32, length: usize, valid: bool },
    /// A first byte without those that must follow it.
    Broken,
}

/// `utf8toUnicode`: sequences of several bytes become `%uHHHH`.
///
/// Like ModSecurity it writes overlong sequences and surrogates too, with their first byte after them, drops a first byte
/// whose sequence is broken, and drops a NUL unless it is the last byte.
pub(super) fn to_unicode(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let [first, after @ ..] = rest {
        rest = match sequence(rest) {
            Sequence::Byte => {
                if *first != 0 || after.is_empty() {
                    out.push(*first);
                }
                after
            }
            Sequence::Broken => {
                if *first >= 0xf5 {
                    out.push(*first);
                }
                after
            }
            Sequence::CodePoint { value, length, valid } => {
                if *first >= 0xf5 {
                    out.push(*first);
                }
                push_escape(value, out);
                if !valid {
                    out.push(*first);
                }
                rest.get(length..).unwrap_or_default()
            }
        };
    }
}

fn sequence(text: &[u8]) -> Sequence {
    let Some(first) = text.first() else {
        return Sequence::Byte;
    };
    let (length, bits, least) = match first {
        0xc0..=0xdf => (2, first & 0x1f, 0x80),
        0xe0..=0xef => (3, first & 0x0f, 0x800),
        0xf0..=0xf7 => (4, first & 0x07, 0x1_0000),
        _ => return Sequence::Byte,
    };
    let Some(following) = text.get(1..length) else {
        return Sequence::Broken;
    };
    if following.iter().any(|byte| byte & 0xc0 != 0x80) {
        return Sequence::Broken;
    }
    let value = following
        .iter()
        .fold(u32::from(bits), |value, byte| value << 6 | u32::from(byte & 0x3f));
    let valid = value >= least && !matches!(value, 0xd800..=0xdfff);
    Sequence::CodePoint { value, length, valid }
}

/// Appends `%u` and at least four lower-case digits.
fn push_escape(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%u");
    let digits = (u32::BITS - value.leading_zeros()).div_ceil(4).max(4);
    for place in (0..digits).rev() {
        out.push(hex_digit((value >> (4 * place) & 15) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn utf8_to_unicode() {
        check(
            Transformation::Utf8ToUnicode,
            &[
                (b"a\xc2\xa3b", b"a%u00a3b"),
                (
                    b"\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf",
                    b"%u20ac%u1f600%u10ffff",
                ),
                (
                    b"\xc0\x80\xe0\x9f\xbf\xf0\x8f\xbf\xbf",
                    b"%u0000\xc0%u07ff\xe0%uffff\xf0",
                ),
                (b"\xed\xbf\xbf", b"%udfff\xed"),
                (b"\xf5\x80\x80\x80\xf8\x80", b"\xf5%u140000\xf8\x80"),
                (b"\xc2A\xe2\x82A\xc2", b"A\x82A"),
                (b"a\x00b\x00", b"ab\x00"),
            ],
        );
    }
}
