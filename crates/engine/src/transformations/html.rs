//! `htmlEntityDecode`. No IO.

use super::ascii::{decode_escapes, hex_value, keep_first};

/// The named entities that ModSecurity knows, in lower case, with their Latin-1 bytes.
const NAMED: [(&[u8], u8); 5] = [
    (b"quot", b'"'),
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"nbsp", 0xa0),
];

/// `htmlEntityDecode`: `&#DDD;`, `&#xHH;` and five names, in any case, with or without the semicolon.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let find = |rest: &[u8]| memchr::memchr(b'&', rest);
    decode_escapes(input, out, find, |entity, out| {
        let decoded = match entity {
            [_, b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
            [_, b'#', digits @ ..] => number(digits, 10),
            [_, name @ ..] => named(name),
            [] => None,
        };
        let Some((byte, rest)) = decoded else {
            return keep_first(entity, out);
        };
        out.push(byte);
        rest.strip_prefix(b";").unwrap_or(rest)
    });
}

/// The low byte of a number, which stops growing where C's `strtol` does, and what follows its digits.
fn number(text: &[u8], radix: u8) -> Option<(u8, &[u8])> {
    let is_digit = |byte: u8| hex_value(byte).filter(|value| *value < radix);
    let count = text.iter().take_while(|byte| is_digit(**byte).is_some()).count();
    let (digits, rest) = text.split_at(count);
    let value = digits
        .iter()
        .filter_map(|byte| is_digit(*byte))
        .fold(0_i64, |value, digit| {
            value.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit))
        });
    (count > 0).then_some((value.to_le_bytes()[0], rest))
}

fn named(text: &[u8]) -> Option<(u8, &[u8])> {
    NAMED.iter().find_map(|(name, byte)| {
        let (start, rest) = text.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some((*byte, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn html_entity_decode() {
        check(
            Transformation::HtmlEntityDecode,
            &[
                (b"&#65;&#x42;&#X43&#68a", b"ABCDa"),
                (b"&quot;&AMP;&Lt&gt;&nbsp;", b"\"&<>\xa0"),
                (b"&amp;amp;", b"&amp;"),
                (b"&#x;&#;&;&euro;&", b"&#x;&#;&;&euro;&"),
                (b"&#0;&#256;&#x100000041;", b"\x00\x00A"),
                (b"&#999999999999999999999;", b"\xff"),
                (b"&#x0000000000000041;", b"A"),
                // Browsers read these names without a semicolon too, and go on with what follows.
                (b"&ltscript&gt", b"<script>"),
            ],
        );
    }
}
