//! Hexadecimal text: `hexDecode`, `hexEncode`, `sqlHexDecode`. No IO.

use super::ascii::{hex_byte, hex_digits};

/// `hexDecode`: each pair of bytes to one, by ModSecurity's arithmetic even where they are no digits; an odd last byte goes.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[high, low]| worth(*high).wrapping_mul(16).wrapping_add(worth(*low))),
    );
}

/// What C's one-line conversion makes of any byte.
const fn worth(byte: u8) -> u8 {
    match byte {
        b'A'.. => (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10),
        _ => byte.wrapping_sub(b'0'),
    }
}

/// `hexEncode`: two lower-case digits for each byte.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().flat_map(|byte| hex_digits(*byte)));
}

/// `sqlHexDecode`: `0x` with at least one pair of digits becomes the bytes that they write.
pub(super) fn decode_sql(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    loop {
        rest = match *rest {
            [b'0', b'x' | b'X', a, b, ..] if hex_byte(a, b).is_some() => literal(rest, out),
            [byte, ref rest @ ..] => {
                out.push(byte);
                rest
            }
            [] => return,
        };
    }
}

/// Decodes the pairs of digits after `0x`; an odd last digit may begin the next number.
fn literal<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = text.get(2..).unwrap_or_default();
    while let [high, low, after @ ..] = rest
        && let Some(byte) = hex_byte(*high, *low)
    {
        out.push(byte);
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn hex_decode() {
        check(
            Transformation::HexDecode,
            &[
                (b"4142", b"AB"),
                (b"414", b"A"),
                (b"4zz1", b"c1"),
                (b"zz", b"S"),
                (b"4", b""),
            ],
        );
    }

    #[test]
    fn hex_encode() {
        check(Transformation::HexEncode, &[(b"\x00\xffA", b"00ff41"), (b"", b"")]);
    }

    #[test]
    fn sql_hex_decode() {
        check(
            Transformation::SqlHexDecode,
            &[
                (b"0x4142", b"AB"),
                (b"a0X41b", b"aAb"),
                (b"0x414 0x4 0x 0x4z", b"A4 0x4 0x 0x4z"),
                (b"00x41", b"0A"),
                (b"0x0x41", b"0xA"),
                (b"0xc80x41", b"\xc8A"),
            ],
        );
    }
}
