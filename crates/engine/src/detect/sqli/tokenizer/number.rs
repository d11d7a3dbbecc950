//! Numbers. No IO.

use super::super::token::Kind;
use super::{Scan, is_white, word};

/// A number that begins with a digit or a dot; a lone dot is a dot.
pub(super) fn scan(rest: &[u8]) -> Scan {
    let literal = match rest {
        [b'0', b'x' | b'X', digits @ ..] => Some(span(digits, |byte| byte.is_ascii_hexdigit())),
        [b'0', b'b' | b'B', digits @ ..] => Some(span(digits, |byte| matches!(byte, b'0' | b'1'))),
        _ => None,
    };
    match literal {
        Some(0) => Scan::first(2, Kind::Bareword, rest),
        Some(digits) => Scan::first(2 + digits, Kind::Number, rest),
        None => scan_decimal(rest),
    }
}

fn scan_decimal(rest: &[u8]) -> Scan {
    let after = |len: usize| rest.get(len..).unwrap_or_default();
    let mut len = digits(rest);
    if let [b'.', fraction @ ..] = after(len) {
        len += 1 + digits(fraction);
        if len == 1 {
            return Scan::first(1, Kind::Dot, rest);
        }
    }
    let mut without_exponent = false;
    if let [b'e' | b'E', exponent @ ..] = after(len) {
        let sign = usize::from(matches!(exponent, [b'+' | b'-', ..]));
        let exponent = digits(exponent.get(sign..).unwrap_or_default());
        without_exponent = exponent == 0;
        len += 1 + sign + exponent;
    }
    // Oracle's suffixes for floats, but not the first letter of a word, except that of `1fUNION`.
    len += match after(len) {
        [b'd' | b'D' | b'f' | b'F'] => 1,
        [b'd' | b'D' | b'f' | b'F', next, ..] if is_white(*next) || matches!(next, b';' | b'u' | b'U') => 1,
        _ => 0,
    };
    if without_exponent {
        return Scan::of(len, None);
    }
    Scan::first(len, Kind::Number, rest)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// How many bytes at the start are digits, or NULs.
fn span(text: &[u8], is_digit: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| **byte == 0 || is_digit(**byte)).count()
}

/// `b'01'` or `x'1f'`; else a word.
pub(super) fn scan_digits_in_quotes(rest: &[u8], is_digit: impl Fn(u8) -> bool) -> Scan {
    let [_, b'\'', digits @ ..] = rest else {
        return word::scan(rest);
    };
    let count = span(digits, is_digit);
    match digits.get(count) {
        Some(b'\'') => Scan::first(count + 3, Kind::Number, rest),
        _ => word::scan(rest).after_looking_at(count),
    }
}
