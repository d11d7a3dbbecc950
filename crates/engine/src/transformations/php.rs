//! `phpArgsNames`: the name under which PHP keeps an argument. No IO.

use super::ascii::is_space;

/// Leading spaces go, spaces and dots before the first `[` become underscores; then only `[…]` indexes are kept, and a `[` that
/// is never closed becomes an underscore with everything after it unchanged. A name that begins with `[` is no name.
pub(super) fn args_name(input: &[u8], out: &mut Vec<u8>) {
    let spaces = input.iter().take_while(|byte| **byte == b' ').count();
    let name = input.get(spaces..).unwrap_or_default();
    let (variable, mut indexes) = name.split_at(memchr::memchr(b'[', name).unwrap_or(name.len()));
    if variable.is_empty() {
        return;
    }
    out.extend(
        variable
            .iter()
            .map(|byte| if matches!(byte, b' ' | b'.') { b'_' } else { *byte }),
    );
    let mut first = true;
    while let [b'[', index @ ..] = indexes {
        let Some(end) = memchr::memchr(b']', index) else {
            if first {
                out.push(b'_');
                out.extend_from_slice(index);
            }
            return;
        };
        let (key, rest) = index.split_at(end);
        out.push(b'[');
        if !matches!(key, [space] if is_space(*space)) {
            out.extend_from_slice(key);
        }
        out.push(b']');
        indexes = rest.get(1..).unwrap_or_default();
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Transformation, check};

    #[test]
    fn php_args_names() {
        check(
            Transformation::PhpArgsNames,
            &[
                (b"  a_b.c d", b"a_b_c_d"),
                (b"a[_b c.", b"a__b c."),
                (b"[a][b]", b""),
                (b"a[b][ ]c", b"a[b][]"),
                (b"a[b][c", b"a[b]"),
                (b"x.[a.b ]", b"x_[a.b ]"),
            ],
        );
    }
}
