//! Comments of SQL, C and HTML: `removeComments`, `removeCommentsChar`, `replaceComments`. No IO.

/// `removeComments`: `/*…*/` and `<!--…-->` (either end ends either), and all from `--` or `#` on.
///
/// Like ModSecurity it copies the byte after a comment unread, and a NUL for it at the end; an unfinished comment becomes a space.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    loop {
        let comment = match *rest {
            [] | [b'#', ..] | [b'-', b'-', ..] => return,
            [b'/', b'*', ref comment @ ..] | [b'<', b'!', b'-', b'-', ref comment @ ..] => comment,
            [byte, ref after @ ..] => {
                out.push(byte);
                rest = after;
                continue;
            }
        };
        rest = match after_comment(comment) {
            None => return out.push(b' '),
            Some([byte, after @ ..]) => {
                out.push(*byte);
                after
            }
            Some([]) => return out.push(0),
        };
    }
}

/// What stands after the first end of a comment.
fn after_comment(comment: &[u8]) -> Option<&[u8]> {
    let mut rest = comment;
    loop {
        rest = match *rest {
            [] => return None,
            [b'*', b'/', ref after @ ..] | [b'-', b'-', b'>', ref after @ ..] => return Some(after),
            [_, ref after @ ..] => after,
        };
    }
}

/// `removeCommentsChar`: only the marks `/*`, `*/`, `<!--`, `-->`, `--` and `#`.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    loop {
        rest = match *rest {
            [] => return,
            [b'/', b'*', ref rest @ ..]
            | [b'*', b'/', ref rest @ ..]
            | [b'<', b'!', b'-', b'-', ref rest @ ..]
            | [b'-', b'-', b'>', ref rest @ ..]
            | [b'-', b'-', ref rest @ ..]
            | [b'#', ref rest @ ..] => rest,
            [byte, ref rest @ ..] => {
                out.push(byte);
                rest
            }
        };
    }
}

/// `replaceComments`: each `/*…*/`, finished or not, by one space.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some(start) = memchr::memmem::find(rest, b"/*") {
        let (before, comment) = rest.split_at(start);
        out.extend_from_slice(before);
        out.push(b' ');
        let comment = comment.get(2..).unwrap_or_default();
        let end = memchr::memmem::find(comment, b"*/").map_or(comment.len(), |end| end + 2);
        rest = comment.get(end..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn remove_comments() {
        check(
            Transformation::RemoveComments,
            &[
                (b"a/*b*/c<!--d-->e", b"ace"),
                (b"a--b", b"a"),
                (b"a#b", b"a"),
                (b"a-b/c*/d<!-e", b"a-b/c*/d<!-e"),
                (b"a/*b", b"a "),
                (b"/*/", b" "),
                (b"a/*b-->c", b"ac"),
                (b"/*a*/", b"\x00"),
                (b"/*a*//*b*/", b"/*b*/"),
                (b"/*a*/--b", b"--b"),
            ],
        );
    }

    #[test]
    fn remove_comments_char() {
        check(
            Transformation::RemoveCommentsChar,
            &[
                (b"a/*b*/c<!--d-->e--f#g", b"abcdefg"),
                (b"--->", b"->"),
                (b"/*/<!-", b"/<!-"),
            ],
        );
    }

    #[test]
    fn replace_comments() {
        check(
            Transformation::ReplaceComments,
            &[
                (b"a/*b*/c", b"a c"),
                (b"/*/b*/c", b" c"),
                (b"a/*b", b"a "),
                (b"a/*b*/*/", b"a */"),
                (b"a*/b", b"a*/b"),
            ],
        );
    }
}
