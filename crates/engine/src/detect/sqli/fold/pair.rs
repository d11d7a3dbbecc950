//! What two tokens that follow each other become. Pure.

use super::super::table;
use super::super::token::{Kind, Token, Value};

/// Where the rules begin again.
#[derive(Clone, Copy)]
pub(super) enum Left {
    /// At the same token.
    Stay,
    /// At the token before.
    Back,
    /// At the first token.
    Start,
}

/// What becomes of a pair. All but the first three make the rules begin again.
pub(super) enum Pair {
    /// Nothing; look at a third token too.
    Keep,
    /// The first is of another kind; look at a third token too.
    KeepFirstAs(Kind),
    /// The second is of another kind; look at the first three tokens.
    KeepSecondAs(Kind),
    FirstIs(Kind, Left),
    SecondIs(Kind),
    /// Both are one phrase.
    Merge(Phrase),
    /// Only the second stays.
    FirstIsSecond,
    DropSecond(Left),
    DropBoth,
    /// The second can't be parsed as all databases do: the end.
    Evil,
}

/// Two words that mean something together.
pub(super) struct Phrase {
    pub(super) kind: Kind,
    pub(super) value: Value,
}

/// The first rule that applies.
pub(super) fn judge(first: &Token, second: &Token) -> Pair {
    use Kind::{
        Backslash, Bareword, Collate, Function, Keyword, LeftBrace, LeftParenthesis, Logic, Operator, RightBrace,
        RightParenthesis, Semicolon, SqlType, String, Tsql, Variable,
    };
    match (first.kind, second.kind) {
        (String, String) | (Semicolon, Semicolon) => return Pair::DropSecond(Left::Stay),
        (Operator | Logic, SqlType) => return Pair::DropSecond(Left::Start),
        (Operator | Logic, Operator) if second.is_unary_operator() => return Pair::DropSecond(Left::Start),
        (LeftParenthesis, Operator) if second.is_unary_operator() => return Pair::DropSecond(Left::Back),
        _ => {}
    }
    if let Some(phrase) = merge(first, second) {
        return Pair::Merge(phrase);
    }
    let parenthesis = second.kind == LeftParenthesis;
    match (first.kind, second.kind) {
        (Semicolon, Function) if starts_with_if(second) => Pair::SecondIs(Tsql),
        (Bareword | Variable, LeftParenthesis) if is_function_without_arguments(first) => {
            Pair::FirstIs(Function, Left::Stay)
        }
        // `a IN (…)`, but `a` in prose.
        (Keyword, _) if first.value.is(b"IN") || first.value.is(b"NOT IN") => {
            Pair::FirstIs(if parenthesis { Operator } else { Bareword }, Left::Stay)
        }
        // `LIKE (…)`, and the function. Without parenthesis it ends the search too.
        (Operator, _) if first.value.is(b"LIKE") || first.value.is(b"NOT LIKE") => {
            if parenthesis {
                Pair::KeepFirstAs(Function)
            } else {
                Pair::Keep
            }
        }
        (SqlType, kind) if may_follow_type(kind) => Pair::FirstIsSecond,
        // There are too many collations for a table; their names have an underscore.
        (Collate, Bareword) if has_underscore(second) => Pair::KeepSecondAs(SqlType),
        // Transact-SQL reads `\%1` as `0 % 1`, and any other backslash as nothing.
        (Backslash, _) if second.is_arithmetic_operator() => Pair::FirstIs(Kind::Number, Left::Start),
        (Backslash, _) => Pair::FirstIsSecond,
        // MySQL's ``{ ``.``.id }``.
        (LeftBrace, Bareword) if second.value.as_bytes().is_empty() => Pair::Evil,
        // ODBC's `{name expression}`.
        (LeftBrace, Bareword) => Pair::DropBoth,
        (LeftParenthesis, LeftParenthesis) | (RightParenthesis, RightParenthesis) | (_, RightBrace) => {
            Pair::DropSecond(Left::Start)
        }
        _ => Pair::Keep,
    }
}

/// The phrase of the table that two words make. A bareword's phrase counts too: it is not the same as none.
fn merge(first: &Token, second: &Token) -> Option<Phrase> {
    if !begins_phrase(first.kind) || !(begins_phrase(second.kind) || second.kind == Kind::Logic) {
        return None;
    }
    if !table::may_begin_phrase(first.value.as_bytes()) {
        return None;
    }
    let value = Value::phrase(first.value.as_bytes(), second.value.as_bytes())?;
    let kind = table::find(value.as_bytes())?;
    Some(Phrase { kind, value })
}

const fn begins_phrase(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Keyword
            | Kind::Bareword
            | Kind::Operator
            | Kind::Union
            | Kind::Function
            | Kind::Expression
            | Kind::Tsql
            | Kind::SqlType
    )
}

fn starts_with_if(token: &Token) -> bool {
    token
        .value
        .as_bytes()
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"IF"))
}

fn is_function_without_arguments(token: &Token) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.value.is(name))
}

const fn may_follow_type(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bareword
            | Kind::Number
            | Kind::SqlType
            | Kind::LeftParenthesis
            | Kind::Function
            | Kind::Variable
            | Kind::String
    )
}

/// Whether there is an underscore where C would look for it: before a NUL.
fn has_underscore(token: &Token) -> bool {
    token
        .value
        .as_bytes()
        .iter()
        .take_while(|byte| **byte != 0)
        .any(|byte| *byte == b'_')
}
