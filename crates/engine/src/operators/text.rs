//! Comparisons of texts: `beginsWith`, `contains`, `containsWord`, `endsWith`, `streq`, `strmatch`, `within`. No IO.

use memchr::memmem;

/// `beginsWith`.
pub fn begins_with(value: &[u8], argument: &[u8]) -> bool {
    value.starts_with(argument)
}

/// `endsWith`.
pub fn ends_with(value: &[u8], argument: &[u8]) -> bool {
    value.ends_with(argument)
}

/// `streq`.
pub fn equals(value: &[u8], argument: &[u8]) -> bool {
    value == argument
}

/// `contains`, and `strmatch`, which ModSecurity once had for its faster algorithm.
pub fn contains(value: &[u8], argument: &[u8]) -> bool {
    memmem::find(value, argument).is_some()
}

/// `within`: the value is a part of the argument.
pub fn within(value: &[u8], argument: &[u8]) -> bool {
    contains(argument, value)
}

/// `containsWord`: the argument stands in the value with no letter directly before or after it. An empty one always does.
pub fn contains_word(value: &[u8], argument: &[u8]) -> bool {
    if argument.is_empty() {
        return true;
    }
    let is_letter = |at: Option<usize>| at.and_then(|at| value.get(at)).is_some_and(u8::is_ascii_alphabetic);
    let finder = memmem::Finder::new(argument);
    let mut from = 0;
    while let Some(found) = value.get(from..).and_then(|rest| finder.find(rest)) {
        let start = from + found;
        if !is_letter(start.checked_sub(1)) && !is_letter(Some(start + argument.len())) {
            return true;
        }
        from = start + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_letter_beside_them() {
        for (value, argument, expected) in [
            (b"abc def" as &[u8], b"def" as &[u8], true),
            (b"abc def", b"abc", true),
            (b"abcdef", b"abc", false),
            (b"abcdef abc", b"abc", true),
            (b"1abc_", b"abc", true),
            (b"\xe9abc\xe9", b"abc", true),
            (b"aa aab", b"aa", true),
            (b"aaa", b"aa", false),
            (b"", b"a", false),
            (b"", b"", true),
            (b"a", b"", true),
        ] {
            assert_eq!(contains_word(value, argument), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn texts_are_compared_byte_by_byte() {
        assert!(begins_with(b"abc", b"ab") && begins_with(b"abc", b"") && !begins_with(b"ab", b"abc"));
        assert!(ends_with(b"abc", b"bc") && ends_with(b"abc", b"") && !ends_with(b"abc", b"BC"));
        assert!(equals(b"a\0", b"a\0") && !equals(b"a\0", b"a"));
        assert!(contains(b"abc", b"b") && contains(b"", b"") && !contains(b"", b"a"));
        assert!(within(b"b", b"abc") && within(b"", b"abc") && !within(b"abc", b"b"));
    }
}
