//! Words, names in brackets, variables. No IO.

use super::super::table;
use super::super::token::{Kind, MAX_VALUE};
use super::{Scan, string};
use crate::transformations::ByteSet;

/// What ends the name of a variable.
const VARIABLE_END: ByteSet = ByteSet::range(b'\t', b'\r').or(ByteSet::new(b"\0 <>:\\?=@!#~+-*/&|^%(),';\"`"));

/// What ends a word: not a backtick, which may end what is looked up.
const WORD_END: ByteSet = VARIABLE_END.without(b'`').or(ByteSet::new(b"[]{}\xa0"));

static ENDS_VARIABLE: [bool; 256] = VARIABLE_END.to_table();
static ENDS_WORD: [bool; 256] = WORD_END.to_table();

fn is_in(table: &[bool; 256], byte: u8) -> bool {
    table.get(usize::from(byte)).copied().unwrap_or(false)
}

/// A word, looked up in the table. If what stands before one of its dots or backticks is known, only that is the token.
pub(super) fn scan(rest: &[u8]) -> Scan {
    let start = rest.get(..MAX_VALUE).unwrap_or(rest);
    let mut len = 0;
    for byte in start {
        if is_in(&ENDS_WORD, *byte) {
            break;
        }
        if matches!(byte, b'.' | b'`')
            && let Some(kind) = start.get(..len).and_then(table::find)
            && kind != Kind::Bareword
        {
            return Scan::first(len, kind, rest).after_looking_at(MAX_VALUE);
        }
        len += 1;
    }
    if len == MAX_VALUE {
        // Only now: the rest of a word would be read once for each of its dots.
        let rest = rest.get(len..).unwrap_or_default();
        len += rest.iter().take_while(|byte| !is_in(&ENDS_WORD, **byte)).count();
    }
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
            let len = name.iter().take_while(|byte| !is_in(&ENDS_VARIABLE, **byte)).count();
            Scan::first(len, Kind::Variable, name)
        }
    };
    Scan {
        len: signs + scan.len,
        ..scan
    }
}
