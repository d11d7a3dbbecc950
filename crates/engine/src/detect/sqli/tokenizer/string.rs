//! Strings, in all ways to quote them. No IO.

use super::super::table;
use super::super::token::{Kind, Token};
use super::{Scan, word};

/// A string whose text begins after `offset` bytes and ends at the first delimiter that is neither escaped by a backslash nor
/// doubled. Without an offset the delimiter is taken to stand before the value.
pub(super) fn scan_quoted(rest: &[u8], delimiter: u8, offset: usize) -> Scan {
    let text = rest.get(offset..).unwrap_or_default();
    let end = closing(text, delimiter);
    let value = end.and_then(|end| text.get(..end)).unwrap_or(text);
    let token = Token {
        open: (offset > 0).then_some(delimiter),
        close: end.map(|_| delimiter),
        ..Token::new(Kind::String, value)
    };
    Scan::of(end.map_or(rest.len(), |end| offset + end + 1), Some(token))
}

fn closing(text: &[u8], delimiter: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(delimiter, text.get(from..)?)?;
        let backslashes = text.get(..at)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            from = at + 1;
        } else if text.get(at + 1) == Some(&delimiter) {
            from = at + 2;
        } else {
            return Some(at);
        }
    }
}

/// A name in backticks; MySQL also calls functions by such a name.
pub(super) fn scan_backtick(rest: &[u8]) -> Scan {
    let scan = scan_quoted(rest, b'`', 1);
    let name = scan.token.as_ref().map_or(&[] as &[u8], |token| token.value.as_bytes());
    let kind = match table::find(name) {
        Some(Kind::Function) => Kind::Function,
        _ => Kind::Bareword,
    };
    scan.of_kind(kind)
}

/// `e'…'`.
pub(super) fn scan_escaped(rest: &[u8]) -> Scan {
    match rest {
        [_, b'\'', _, ..] => scan_quoted(rest, b'\'', 2),
        _ => word::scan(rest),
    }
}

/// `n'…'` or `nq'…'`.
pub(super) fn scan_national(rest: &[u8]) -> Scan {
    match rest {
        [_, b'\'', _, ..] => scan_quoted(rest, b'\'', 2),
        _ => scan_chosen(rest, 1),
    }
}

/// Oracle's `q'[…]'`, after `offset` bytes.
pub(super) fn scan_chosen(rest: &[u8], offset: usize) -> Scan {
    let (open, text) = match rest.get(offset..) {
        // Bytes from 0x80 on are negative to C.
        Some([b'q' | b'Q', b'\'', open @ 33..=127, text @ ..]) => (*open, text),
        _ => return word::scan(rest),
    };
    let close = match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        same => same,
    };
    closed_by(rest, text, &[close, b'\''], b'q')
}

/// A string of `rest` whose text ends at `end`; both its quotes are told as `mark`.
fn closed_by(rest: &[u8], text: &[u8], end: &[u8], mark: u8) -> Scan {
    let found = memchr::memmem::find(text, end);
    let value = found.and_then(|at| text.get(..at)).unwrap_or(text);
    let before = rest.len() - text.len();
    let token = Token {
        open: Some(mark),
        close: found.map(|_| mark),
        ..Token::new(Kind::String, value)
    };
    Scan::of(found.map_or(rest.len(), |at| before + at + end.len()), Some(token))
}

/// `u&'…'`.
pub(super) fn scan_unicode(rest: &[u8]) -> Scan {
    let [_, b'&', quoted @ ..] = rest else {
        return word::scan(rest);
    };
    if quoted.first() != Some(&b'\'') {
        return word::scan(rest);
    }
    let scan = scan_quoted(quoted, b'\'', 1);
    let told = |token: Token| Token {
        open: Some(b'u'),
        close: token.close.map(|_| b'u'),
        ..token
    };
    Scan {
        len: scan.len + 2,
        token: scan.token.map(told),
        ..scan
    }
}

/// An amount of money, or one of PostgreSQL's `$$…$$` and `$tag$…$tag$`.
pub(super) fn scan_money(rest: &[u8]) -> Scan {
    let after = rest.get(1..).unwrap_or_default();
    let amount = after
        .iter()
        .take_while(|byte| matches!(byte, 0 | b'0'..=b'9' | b'.' | b','))
        .count();
    match (after, amount) {
        ([], _) => Scan::first(1, Kind::Bareword, rest),
        ([b'.', ..], 1) => word::scan(rest),
        ([b'$', text @ ..], _) => closed_by(rest, text, b"$$", b'$'),
        (_, 0) => scan_tagged(rest, after),
        _ => Scan::first(1 + amount, Kind::Number, rest),
    }
}

fn scan_tagged(rest: &[u8], after: &[u8]) -> Scan {
    let tag = after
        .iter()
        .take_while(|byte| **byte == 0 || byte.is_ascii_alphabetic())
        .count();
    match (tag, after.get(tag), rest.get(..tag + 2), after.get(tag + 1..)) {
        (1.., Some(b'$'), Some(end), Some(text)) => closed_by(rest, text, end, b'$'),
        _ => Scan::first(1, Kind::Bareword, rest).after_looking_at(tag),
    }
}
