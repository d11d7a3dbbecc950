//! Percent-encoding: `urlDecode`, `urlDecodeUni`, `urlEncode`. No IO.

mod best_fit;

use super::UnicodeMap;
use super::ascii::{decode_escapes, hex_byte, hex_digits, keep_first, narrow};

/// `urlDecode`: `%HH` and `+`. What isn't an escape stays as it is.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    decode_escapes(input, out, find, |escape, out| match *escape {
        [b'+', ref rest @ ..] => {
            out.push(b' ');
            rest
        }
        [_, high, low, ref rest @ ..] if let Some(byte) = hex_byte(high, low) => {
            out.push(byte);
            rest
        }
        _ => keep_first(escape, out),
    });
}

/// `urlDecodeUni`: also IIS's `%uHHHH`.
pub(super) fn decode_uni(unicode: UnicodeMap, input: &[u8], out: &mut Vec<u8>) {
    decode_escapes(input, out, find, |escape, out| match *escape {
        [b'+', ref rest @ ..] => {
            out.push(b' ');
            rest
        }
        [_, b'u' | b'U', a, b, c, d, ref rest @ ..]
            if let (Some(high), Some(low)) = (hex_byte(a, b), hex_byte(c, d)) =>
        {
            out.push(map(unicode, high, low));
            rest
        }
        [_, high, low, ref rest @ ..] if let Some(byte) = hex_byte(high, low) => {
            out.push(byte);
            rest
        }
        _ => keep_first(escape, out),
    });
}

fn map(unicode: UnicodeMap, high: u8, low: u8) -> u8 {
    let best_fit = match unicode {
        UnicodeMap::LowByte => None,
        UnicodeMap::UsAscii => best_fit::us_ascii(u16::from_be_bytes([high, low])),
    };
    best_fit.unwrap_or_else(|| narrow(high, low))
}

fn find(input: &[u8]) -> Option<usize> {
    memchr::memchr2(b'%', b'+', input)
}

/// `urlEncode`: all but ASCII letters, digits and `*` is escaped, a space becomes `+`.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    for &byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(byte),
            _ => {
                out.push(b'%');
                out.extend_from_slice(&hex_digits(byte));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};
    use super::*;

    #[test]
    fn url_decode() {
        check(
            Transformation::UrlDecode,
            &[
                (b"a%20b+c", b"a b c"),
                (b"%2b", b"+"),
                (b"%%41", b"%A"),
                (b"%4", b"%4"),
                (b"%4g%zz%", b"%4g%zz%"),
                (b"%u0041", b"%u0041"),
                (b"%00%FF%ff", b"\x00\xff\xff"),
                (b"%2541", b"%41"),
            ],
        );
    }

    #[test]
    fn url_decode_uni() {
        check(
            Transformation::UrlDecodeUni,
            &[
                (b"%u0041%U0042", b"AB"),
                (b"%uff21%uFF5e", b"A~"),
                (b"%u004%u00fg%u", b"%u004%u00fg%u"),
                (b"%u0131", b"1"),
                (b"%41+%2B", b"A +"),
            ],
        );
    }

    #[test]
    fn url_decode_uni_takes_the_look_alike_of_a_map() {
        let mut out = Vec::new();
        decode_uni(UnicodeMap::UsAscii, b"%u0131%u2032%uff41%u1234%u00e1", &mut out);
        assert_eq!(out, b"i'a4a");
    }

    #[test]
    fn url_encode() {
        check(
            Transformation::UrlEncode,
            &[(b"a b*-_.~+/\xff\x00Z09", b"a+b*%2d%5f%2e%7e%2b%2f%ff%00Z09")],
        );
    }
}
