//! `cmdLine`: the ways to write one command line, made one. No IO.

use super::ascii::ByteSet;

/// The bytes that it can change.
pub(super) const TRIGGERS: ByteSet = ByteSet::new(b"\"'\\^,; \t\r\n").or(ByteSet::range(b'A', b'Z'));

/// Quotes, backslashes and carets go; commas, semicolons and white space become one space, none before `/` and `(`; lower case.
pub(super) fn normalise(input: &[u8], out: &mut Vec<u8>) {
    for &byte in input {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            b'/' | b'(' => {
                if out.last() == Some(&b' ') {
                    out.pop();
                }
                out.push(byte);
            }
            _ => out.push(byte.to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn cmd_line() {
        check(
            Transformation::CmdLine,
            &[
                (b"C^OMMAND /C DiR", b"command/c dir"),
                (b"\"cmd\",;/c 'dir'", b"cmd/c dir"),
                (b"a , b\t\r\nc", b"a b c"),
                (b",,a ( b", b" a( b"),
                (b" /\x0bX\x00\xc0", b"/\x0bx\x00\xc0"),
            ],
        );
    }
}
