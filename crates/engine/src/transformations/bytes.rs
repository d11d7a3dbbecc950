//! Byte by byte: `lowercase`, `uppercase`, `removeNulls`, `replaceNulls`, `parityEven7bit`, `parityOdd7bit`, `parityZero7bit`.
//! No IO.

use super::ascii::ByteSet;

/// The bytes that [`even_parity`] leaves as they are: those whose eighth bit is their parity.
const EVEN: ByteSet = {
    let mut set = ByteSet::EMPTY;
    let mut byte = 0;
    loop {
        if even_parity(byte) == byte {
            set = set.or(ByteSet::range(byte, byte));
        }
        if byte == u8::MAX {
            break set;
        }
        byte += 1;
    }
};

/// The bytes that [`even_parity`] changes.
pub(super) const CHANGED_BY_EVEN: ByteSet = EVEN.complement();
/// The bytes that [`odd_parity`] changes.
pub(super) const CHANGED_BY_ODD: ByteSet = EVEN;

/// Appends what `map` makes of each byte.
pub(super) fn map(input: &[u8], out: &mut Vec<u8>, map: impl Fn(u8) -> u8) {
    out.extend(input.iter().map(|byte| map(*byte)));
}

/// `removeNulls`.
pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().copied().filter(|byte| *byte != 0));
}

/// `replaceNulls`: by spaces.
pub(super) const fn replace_null(byte: u8) -> u8 {
    if byte == 0 { b' ' } else { byte }
}

/// `parityEven7bit`: the eighth bit becomes the parity of the byte. Like ModSecurity it counts the eighth bit that was there, so
/// that only of seven-bit values it makes an even number of ones.
pub(super) const fn even_parity(byte: u8) -> u8 {
    byte & 0x7f | ((byte.count_ones() & 1) as u8) << 7
}

/// `parityOdd7bit`: the opposite eighth bit.
pub(super) const fn odd_parity(byte: u8) -> u8 {
    even_parity(byte) ^ 0x80
}

/// `parityZero7bit`: the eighth bit is zero.
pub(super) const fn zero_parity(byte: u8) -> u8 {
    byte & 0x7f
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn case() {
        check(Transformation::Lowercase, &[(b"ABZ\xc0[`@", b"abz\xc0[`@")]);
        check(Transformation::Uppercase, &[(b"abz\xe0{`@", b"ABZ\xe0{`@")]);
    }

    #[test]
    fn nulls() {
        check(
            Transformation::RemoveNulls,
            &[(b"\x00a\x00b\x00", b"ab"), (b"\x00", b"")],
        );
        check(Transformation::ReplaceNulls, &[(b"\x00a\x00b\x00", b" a b ")]);
    }

    #[test]
    fn parity() {
        check(
            Transformation::ParityEven7bit,
            &[(b"\x00\x01\x02\x03\x07\xff", b"\x00\x81\x82\x03\x87\x7f")],
        );
        check(
            Transformation::ParityOdd7bit,
            &[(b"\x00\x01\x02\x03\x07\xff", b"\x80\x01\x02\x83\x07\xff")],
        );
        check(
            Transformation::ParityZero7bit,
            &[(b"\x00\x01\xff\x80A", b"\x00\x01\x7f\x00A")],
        );
    }
}
