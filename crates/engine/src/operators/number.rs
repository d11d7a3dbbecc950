//! Comparisons of integers: `eq`, `ge`, `gt`, `le`, `lt` compare what [`parse`] reads on both sides. No IO.

/// The integer that a text begins with, after white space, as C's `atoll` reads it; 0 if there is none. What doesn't fit is the
/// nearest that does.
pub fn parse(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    let digits = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .map(|byte| i64::from(byte - b'0'));
    digits.fold(0, |value: i64, digit| {
        let digit = if negative { -digit } else { digit };
        value.saturating_mul(10).saturating_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_leniently() {
        for (text, expected) in [
            (b"5" as &[u8], 5),
            (b" \t-5x", -5),
            (b"+05", 5),
            (b"", 0),
            (b"x5", 0),
            (b"- 5", 0),
            (b"1.9", 1),
            (b"9223372036854775807", i64::MAX),
            (b"99999999999999999999", i64::MAX),
            (b"-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(parse(text), expected, "{}", text.escape_ascii());
        }
    }
}
