//! Paths: `normalisePath`, `normalisePathWin`. No IO.

/// `normalisePath`: repeated slashes, `.` segments and `..` segments with what they undo go. A relative path may still begin
/// with `..`, an absolute one never goes above its root. Nothing gets or loses a final slash.
pub(super) fn normalise(input: &[u8], out: &mut Vec<u8>) {
    join(input, |byte| byte == b'/', out);
}

/// `normalisePathWin`: a backslash is a slash.
pub(super) fn normalise_win(input: &[u8], out: &mut Vec<u8>) {
    join(input, |byte| matches!(byte, b'/' | b'\\'), out);
}

fn join(input: &[u8], is_separator: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    let at_end = |byte: Option<&u8>| byte.is_some_and(|byte| is_separator(*byte));
    let (absolute, trailing) = (at_end(input.first()), at_end(input.last()));
    if absolute {
        out.push(b'/');
    }
    for segment in input.split(|byte| is_separator(*byte)) {
        match segment {
            b"" | b"." => {}
            b".." if pop_segment(out) || absolute => {}
            _ => push_segment(segment, out),
        }
    }
    match out.as_slice() {
        b"/" if !trailing => out.clear(),
        [] | [.., b'/'] => {}
        _ if trailing => out.push(b'/'),
        _ => {}
    }
}

fn push_segment(segment: &[u8], out: &mut Vec<u8>) {
    if !matches!(out.as_slice(), [] | [.., b'/']) {
        out.push(b'/');
    }
    out.extend_from_slice(segment);
}

/// Removes the last segment, with the slash before it unless that is the root. False if there is none that `..` can undo.
fn pop_segment(path: &mut Vec<u8>) -> bool {
    let slash = memchr::memrchr(b'/', path);
    let start = slash.map_or(0, |slash| slash + 1);
    match path.get(start..) {
        None | Some(b"" | b"..") => false,
        Some(_) => {
            // A slash at 0 is the root.
            path.truncate(slash.map_or(0, |slash| slash.max(1)));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn normalise_path() {
        check(
            Transformation::NormalisePath,
            &[
                (b"/", b"/"),
                (b"//", b"/"),
                (b"/..", b""),
                (b"/../", b"/"),
                (b"/a/..", b""),
                (b"/a/../", b"/"),
                (b"/a/../b", b"/b"),
                (b"a/../", b""),
                (b"a//./b/", b"a/b/"),
                (b"./../a", b"../a"),
                (b"a/b/../../../c", b"../c"),
                (b"../../", b"../../"),
                (b"/../../a/../b/./c/", b"/b/c/"),
                (b"a/\x00/../b", b"a/b"),
                (b"a\\..\\b", b"a\\..\\b"),
                // ModSecurity 3.0.15 drops every segment that ends in two dots.
                (b"/.../a../b", b"/.../a../b"),
            ],
        );
    }

    #[test]
    fn normalise_path_win() {
        check(
            Transformation::NormalisePathWin,
            &[
                (b"\\a\\..\\b/", b"/b/"),
                (b"..\\", b"../"),
                (b"dir\\..\\..\\foo", b"../foo"),
                (b"C:\\x\\\\y", b"C:/x/y"),
            ],
        );
    }
}
