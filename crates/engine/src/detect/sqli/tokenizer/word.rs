//! Words, names in brackets, variables. No IO.

use super::super::table;
use super::super::token::{Kind, MAX_VALUE};
use super::{Scan, string};

/// Whether a word ends before this byte.
const fn ends_word(byte: u8) -> bool {
    ends_variable(byte) && byte != b'`' || matches!(byte, b'[' | b']' | b'{' | b'}' | 0xa0)
}

/// Whether the name of a variable ends before this byte.
const fn ends_variable(byte: u8) -> bool {
    matches!(
        byte,
        0 | b'\t'
            ..=b'\r'
                | b' '
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'?'
                | b'='
                | b'@'
                | b'!'
                | b'#'
                | b'~'
                | b'+'
                | b'-'
                | b'*'
                | b'/'
                | b'&'
                | b'|'
                | b'^'
                | b'%'
                | b'('
                | b')'
                | b','
                | b'\''
                | b';'
                | b'"'
                | b'`'
    )
}

/// A word, looked up in the table. If what stands before one of its dots or backticks is known, only that is the token.
pub(super) fn scan(rest: &[u8]) -> Scan {
    let start = rest.get(..MAX_VALUE).unwrap_or(rest);
    for (at, byte) in start.iter().enumerate() {
        if matches!(byte, b'.' | b'`')
            && let Some(kind) = start.get(..at).and_then(table::find)
            && kind != Kind::Bareword
        {
            return Scan::first(at, kind, rest).after_looking_at(MAX_VALUE);
        }
        if ends_word(*byte) {
            break;
        }
    }
    // Only now, as the rest of the word may be read once for each of its dots.
    let len = rest.iter().take_while(|byte| !ends_word(**byte)).count();
    let known = rest
        .get(..len)
        .filter(|word| word.len() <= MAX_VALUE)
        .and_then(table::find);
    Scan::first(len, known.unwrap_or(Kind::Bareword), rest).after_looking_at(MAX_VALUE)
}

/// `[name]`, as in Transact-SQL.
pub(super) fn scan_bracket(rest: &[u8]) -> Scan {
    let len = memchr::memchr(b']', rest).map_or(rest.len(), |end| end + 1);
    Scan::first(len, Kind::Bareword, rest)
}

/// `@name` or `@@name`, the name perhaps quoted. The value is without the signs, and may be empty.
pub(super) fn scan_variable(rest: &[u8]) -> Scan {
    let signs = if rest.starts_with(b"@@") { 2 } else { 1 };
    let name = rest.get(signs..).unwrap_or_default();
    let scan = match name {
        [b'`', ..] => string::scan_backtick(name).of_kind(Kind::Variable),
        [quote @ (b'\'' | b'"'), ..] => string::scan_quoted(name, *quote, 1).of_kind(Kind::Variable),
        _ => {
            let len = name.iter().take_while(|byte| !ends_variable(**byte)).count();
            Scan::first(len, Kind::Variable, name)
        }
    };
    Scan {
        len: signs + scan.len,
        ..scan
    }
}
