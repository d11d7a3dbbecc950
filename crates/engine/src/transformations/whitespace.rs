//! White space: `compressWhitespace`, `removeWhitespace`, `trim`, `trimLeft`, `trimRight`. No IO.

use super::ascii::is_space;

/// `compressWhitespace`: each run of white space to one space.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    let mut after_space = false;
    for &byte in input {
        let space = is_space(byte);
        if !(space && after_space) {
            out.push(if space { b' ' } else { byte });
        }
        after_space = space;
    }
}

/// Whether `removeWhitespace` removes the byte: white space, and both bytes of a no-break space in UTF-8.
pub(super) const fn is_removed(byte: u8) -> bool {
    is_space(byte) || matches!(byte, 0xa0 | 0xc2)
}

/// `removeWhitespace`.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().copied().filter(|byte| !is_removed(*byte)));
}

/// What `trimLeft` leaves.
pub(super) fn trim_left(input: &[u8]) -> &[u8] {
    let start = input.iter().take_while(|byte| is_space(**byte)).count();
    input.get(start..).unwrap_or_default()
}

/// What `trimRight` leaves.
pub(super) fn trim_right(input: &[u8]) -> &[u8] {
    let spaces = input.iter().rev().take_while(|byte| is_space(**byte)).count();
    input.get(..input.len() - spaces).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn compress_whitespace() {
        check(
            Transformation::CompressWhitespace,
            &[(b" \t\n\r\x0b\x0cx  y ", b" x y "), (b"\ta\xa0\xa0b", b" a\xa0\xa0b")],
        );
    }

    #[test]
    fn remove_whitespace() {
        check(
            Transformation::RemoveWhitespace,
            &[(b"a b\t\xa0c\xc2\xa0d\x85\x00", b"abcd\x85\x00")],
        );
    }

    #[test]
    fn trims() {
        check(
            Transformation::Trim,
            &[
                (b" \t\x0b\x0c\r\na b \n", b"a b"),
                (b"\x00 a\xa0 ", b"\x00 a\xa0"),
                (b"  ", b""),
            ],
        );
        check(Transformation::TrimLeft, &[(b"  a ", b"a "), (b"  ", b"")]);
        check(Transformation::TrimRight, &[(b" a  ", b" a"), (b"  ", b"")]);
    }
}
