//! Backslash escapes: `jsDecode`, `cssDecode`, `escapeSeqDecode`. No IO.

use super::ascii::{decode_escapes, hex_byte, hex_value, is_space, narrow};

fn find(input: &[u8]) -> Option<usize> {
    memchr::memchr(b'\\', input)
}

/// `jsDecode`: JavaScript's `\uHHHH`, `\xHH`, `\OOO` and the letters. An unknown escape loses its backslash.
pub(super) fn js(input: &[u8], out: &mut Vec<u8>) {
    decode_escapes(input, out, find, |escape, out| match *escape {
        [_, b'u', a, b, c, d, ref rest @ ..] if let (Some(high), Some(low)) = (hex_byte(a, b), hex_byte(c, d)) => {
            out.push(narrow(high, low));
            rest
        }
        [_, b'x', high, low, ref rest @ ..] if let Some(byte) = hex_byte(high, low) => {
            out.push(byte);
            rest
        }
        [_, b'0'..=b'7', ..] => {
            // Three digits only where they are a byte: \477 is \47 and a 7.
            let digits = match escape {
                [_, b'4'..=b'7', ..] => 2,
                _ => 3,
            };
            octal(escape, digits, out)
        }
        _ => letter(escape, out),
    });
}

/// `escapeSeqDecode`: ANSI C's escapes. An unknown escape loses its backslash.
pub(super) fn ansi_c(input: &[u8], out: &mut Vec<u8>) {
    decode_escapes(input, out, find, |escape, out| match *escape {
        [_, b'x' | b'X', high, low, ref rest @ ..] if let Some(byte) = hex_byte(high, low) => {
            out.push(byte);
            rest
        }
        [_, b'0'..=b'7', ..] => octal(escape, 3, out),
        _ => letter(escape, out),
    });
}

/// Decodes a backslash and the octal digits after it, at most `most`; only the low byte counts.
fn octal<'a>(escape: &'a [u8], most: usize, out: &mut Vec<u8>) -> &'a [u8] {
    let digits = escape.get(1..).unwrap_or_default();
    let count = digits
        .iter()
        .take(most)
        .take_while(|digit| matches!(digit, b'0'..=b'7'))
        .count();
    let (digits, rest) = digits.split_at(count);
    let value = digits
        .iter()
        .fold(0_u16, |value, digit| value * 8 + u16::from(digit - b'0'));
    out.push(value.to_le_bytes()[0]);
    rest
}

/// Decodes a backslash and one byte: a control character by its letter, else the byte itself. A last backslash stays.
fn letter<'a>(escape: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let [_, byte, ref rest @ ..] = *escape else {
        out.extend_from_slice(escape);
        return &[];
    };
    out.push(match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => byte,
    });
    rest
}

/// `cssDecode`: CSS 2's escapes, one to six hexadecimal digits and one white space after them. A last backslash goes, and so
/// does one with the newline after it.
pub(super) fn css(input: &[u8], out: &mut Vec<u8>) {
    decode_escapes(input, out, find, |escape, out| {
        let after = escape.get(1..).unwrap_or_default();
        let count = after
            .iter()
            .take(6)
            .take_while(|digit| hex_value(**digit).is_some())
            .count();
        let (digits, rest) = after.split_at(count);
        match (digits, rest) {
            ([], [b'\n', rest @ ..]) => rest,
            ([], [byte, rest @ ..]) => {
                out.push(*byte);
                rest
            }
            ([], []) => rest,
            _ => {
                out.push(css_code_point(digits));
                match rest {
                    [space, rest @ ..] if is_space(*space) => rest,
                    _ => rest,
                }
            }
        }
    });
}

/// The byte for a code point of one to six digits. A full-width form counts as one only if it has no digits above it but zeros.
fn css_code_point(digits: &[u8]) -> u8 {
    let code_point = digits.iter().fold(0_u32, |value, digit| {
        value << 4 | u32::from(hex_value(*digit).unwrap_or(0))
    });
    match code_point.to_be_bytes() {
        [_, 0, high, low] => narrow(high, low),
        [.., low] => low,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn js_decode() {
        check(
            Transformation::JsDecode,
            &[
                (br"\u0041\x42\103", b"ABC"),
                (br"\uff41\uFF5e\uff5f\uff00", b"a~_\x00"),
                (br"\a\b\f\n\r\t\v\'\q\\", b"\x07\x08\x0c\n\r\t\x0b'q\\"),
                (br"\377\400\477\8\1a", b"\xff 0'78\x01a"),
                (br"\u\u0\u01\x\x4g\U0041", b"uu0u01xx4gU0041"),
                (br"a\", br"a\"),
            ],
        );
    }

    #[test]
    fn escape_seq_decode() {
        check(
            Transformation::EscapeSeqDecode,
            &[
                (br"\a\12\123\1234\x41\X42", b"\x07\nSS4AB"),
                (br"\400\666", b"\x00\xb6"),
                (br"\u0041\e\?\8", b"u0041e?8"),
                (br"\xag\x4\", b"xagx4\\"),
            ],
        );
    }

    #[test]
    fn css_decode() {
        check(
            Transformation::CssDecode,
            &[
                (br"\41 b\0041b", b"Ab\x1b"),
                (b"\\00041  b\\41\n1\\41\x0b1", b"A bA1A1"),
                (br"\1234567", b"V7"),
                (br"\ff41x\00ff41x\0ff41x", b"axaxax"),
                (br"\ff211x\fff211", b"\x11x\x11"),
                (br"\00ff211", b"A1"),
                (b"\\\na\\\r\nb", b"a\r\nb"),
                (br"\zz\\a\", br"zz\a"),
            ],
        );
    }
}
