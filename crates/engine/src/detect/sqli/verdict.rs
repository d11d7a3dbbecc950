//! Whether folded tokens are an attack: the fingerprint in the table, less what is known to be harmless. Pure.

use super::Fingerprint;
use super::table;
use super::token::{Kind, Token};

/// Whether tokens with this fingerprint are an attack. `read` is how many tokens there were before folding.
pub(super) fn is_attack(text: &[u8], tokens: &[Token], fingerprint: Fingerprint, read: usize) -> bool {
    table::is_attack(fingerprint.as_bytes()) && !is_harmless(text, tokens, fingerprint, read)
}

fn is_harmless(text: &[u8], tokens: &[Token], fingerprint: Fingerprint, read: usize) -> bool {
    let letters = fingerprint.as_bytes();
    // What SQL Server's audit doesn't log.
    if letters.len() > 1 && letters.ends_with(b"c") && memchr::memmem::find(text, b"sp_password").is_some() {
        return false;
    }
    match (letters.len(), tokens) {
        (2, [first, second]) => is_harmless_pair(text, first, second, read),
        (3, [first, second, third]) => match letters {
            b"sos" | b"s&s" => !is_inside_of_quotes(first, third),
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => read == 3,
            // Only INTO OUTFILE and INTO DUMPFILE are no prose.
            _ => second.kind == Kind::Keyword && !begins_with_into(second),
        },
        _ => false,
    }
}

fn is_harmless_pair(text: &[u8], first: &Token, second: &Token, read: usize) -> bool {
    let comment = second.value.as_bytes();
    if second.kind == Kind::Union {
        return read == 2;
    }
    // Many a text has a hash after a word or number.
    if comment.starts_with(b"#") {
        return true;
    }
    match (first.kind, second.kind) {
        (Kind::Bareword, Kind::Comment) if !comment.starts_with(b"/") => true,
        (Kind::Number, Kind::Comment) if comment.starts_with(b"/") => false,
        // `1--`, but not `1234-ABCD--`, nor base64.
        (Kind::Number, Kind::Comment) => read <= 2 && !may_end_number(text, first.value.as_bytes().len()),
        _ => comment.len() > 2 && comment.starts_with(b"-"),
    }
}

/// Whether a number of this length at the start of the text is followed by what ends a number.
fn may_end_number(text: &[u8], len: usize) -> bool {
    match text.get(len..).unwrap_or_default() {
        // Bytes from 0x80 on are negative to C.
        [] | [0..=b' ' | 0x80.., ..] => true,
        after => after.starts_with(b"/*") || after.starts_with(b"--"),
    }
}

/// `' + '`: what is left of two strings that the value was put between.
fn is_inside_of_quotes(first: &Token, last: &Token) -> bool {
    first.open.is_none() && last.close.is_none() && first.close == last.open
}

fn begins_with_into(token: &Token) -> bool {
    let word = token.value.as_bytes();
    word.len() >= 5 && word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"INTO"))
}
