//! What a value is reduced to: `length`, `md5`, `sha1`. No IO.

use md5::{Digest, Md5};
use sha1::Sha1;

/// `length`: the number of bytes, in decimal digits.
pub(super) fn length(input: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut rest = input.len();
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// `md5`: the sixteen bytes of the digest.
pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Md5::digest(input));
}

/// `sha1`: the twenty bytes of the digest.
pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Sha1::digest(input));
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn lengths() {
        check(
            Transformation::Length,
            &[
                (b"", b"0"),
                (b"123456789", b"9"),
                (b"1234567890", b"10"),
                (&[0; 1005], b"1005"),
            ],
        );
    }

    #[test]
    fn digests() {
        check(
            Transformation::Md5,
            &[(b"", b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\t\x98\xec\xf8B~")],
        );
        check(
            Transformation::Sha1,
            &[(b"", b"\xda9\xa3\xee^kK\r2U\xbf\xef\x95`\x18\x90\xaf\xd8\x07\t")],
        );
    }
}
