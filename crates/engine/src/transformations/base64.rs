//! Base64: `base64Decode`, `base64DecodeExt`, `base64Encode`. No IO.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a digit of the alphabet is worth.
const fn worth(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value as u32)
}

/// Groups of four digits to bytes, as they come.
#[derive(Default)]
struct Group {
    bits: u32,
    digits: u32,
}

impl Group {
    fn push(&mut self, value: u32, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | value;
        self.digits += 1;
        if self.digits == 4 {
            let [_, bytes @ ..] = self.bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            *self = Self::default();
        }
    }

    /// The whole bytes of an unfinished group: two digits hold one, three hold two.
    fn finish(self, out: &mut Vec<u8>) {
        let [_, first, second, _] = (self.bits << (6 * (4 - self.digits))).to_be_bytes();
        match self.digits {
            2 => out.push(first),
            3 => out.extend_from_slice(&[first, second]),
            _ => {}
        }
    }
}

/// `base64Decode`: RFC 4648 with padding, line ends, and spaces before a line end. Up to the first NUL, as ModSecurity's text
/// ends there. What isn't valid as a whole stays as it is.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let text = memchr::memchr(0, input)
        .and_then(|end| input.get(..end))
        .unwrap_or(input);
    if !decode_strict(text, out) {
        out.clear();
        out.extend_from_slice(input);
    }
}

fn decode_strict(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut group = Group::default();
    let mut padding = 0;
    let mut rest = text;
    loop {
        let line = skip_spaces(rest);
        let spaces = line.len() < rest.len();
        rest = match *line {
            [] => break,
            [b'\r', b'\n', ref rest @ ..] | [b'\n', ref rest @ ..] => rest,
            _ if spaces => return false,
            [b'=', ref rest @ ..] if padding < 2 => {
                padding += 1;
                rest
            }
            [digit, ref rest @ ..] => match worth(digit) {
                Some(value) if padding == 0 => {
                    group.push(value, out);
                    rest
                }
                _ => return false,
            },
        };
    }
    let complete = matches!((group.digits, padding), (0, 0) | (2, 2) | (3, 1));
    group.finish(out);
    complete
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

/// `base64DecodeExt`: whatever stands between the digits is skipped. Padding after the first digit of a group makes it empty.
pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) {
    let mut group = Group::default();
    let mut rest = input;
    while let [byte, after @ ..] = rest {
        rest = after;
        match worth(*byte) {
            Some(value) => group.push(value, out),
            None if *byte == b'=' && group.digits == 1 && after.first() != Some(&b'=') => return out.clear(),
            None => {}
        }
    }
    group.finish(out);
}

/// `base64Encode`: RFC 4648 with padding.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    let digit = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A');
    for chunk in input.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let padded = |digit: u8, needs: usize| if chunk.len() < needs { b'=' } else { digit };
        let (third, fourth) = (padded(digit(bits >> 6), 2), padded(digit(bits), 3));
        out.extend_from_slice(&[digit(bits >> 18), digit(bits >> 12), third, fourth]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn base64_decode() {
        check(
            Transformation::Base64Decode,
            &[
                (b"VGVzdA==", b"Test"),
                (b"VGVz\r\ndGVzdGU=", b"Testeste"),
                (b"\nQU\nJD \n QUJD", b"\nQU\nJD \n QUJD"),
                (b"QUJD \nQUJD  ", b"ABCABC"),
                (b"   ", b""),
                (b"QUJD\x00QUJD", b"ABC"),
                (b"\x00QUJD", b""),
                (b"QU\x00JD", b"QU\x00JD"),
                (b"VGVzdA", b"VGVzdA"),
                (b"VGVz!", b"VGVz!"),
                (b"Q===", b"Q==="),
                (b"QQ==QQ==", b"QQ==QQ=="),
                (b"QUJD\r", b"QUJD\r"),
            ],
        );
    }

    #[test]
    fn base64_decode_ext() {
        check(
            Transformation::Base64DecodeExt,
            &[
                (b"V!G.Vz\x00dA", b"Test"),
                (b"VGVzdA==VGVz", b"Test\x05FW"),
                (b"YWJj=YWJj", b"abcabc"),
                (b"Y=Q=", b""),
                (b"A===", b""),
                (b"VGVzd", b"Tes"),
                (b"VGVz9", b"Tes"),
                (b"V", b""),
            ],
        );
    }

    #[test]
    fn base64_encode() {
        check(
            Transformation::Base64Encode,
            &[
                (b"", b""),
                (b"a", b"YQ=="),
                (b"ab", b"YWI="),
                (b"abc", b"YWJj"),
                (b"\xff\xfe\xfd\x00", b"//79AA=="),
            ],
        );
    }
}
