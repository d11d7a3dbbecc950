//! What three tokens that follow each other become. Pure.

use super::super::token::{Kind, Token};

/// What becomes of three tokens. All but the first two make the rules begin again from the first token.
pub(super) enum Triple {
    /// Nothing: the first is settled.
    Keep,
    /// The first is settled, and no function.
    FirstIsBareword,
    /// The second goes.
    DropSecond,
    /// The second and third go.
    KeepFirst,
    DropAll,
}

/// The first rule that applies.
pub(super) fn judge(first: &Token, second: &Token, third: &Token) -> Triple {
    use Kind::{
        Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParenthesis, Logic, Number, Operator,
        RightParenthesis, SqlType, String, Variable,
    };
    match (first.kind, second.kind, third.kind) {
        (Number, Operator, Number)
        | (Logic, _, Logic)
        | (Variable, Operator, Variable | Number | Bareword)
        | (Bareword | Number, Operator, Number | Bareword)
        | (Number | Bareword | String | Variable, Comma, Number | Bareword | String | Variable)
        | (Bareword, Dot, Bareword) => Triple::KeepFirst,
        (Operator, kind, Operator) if kind != LeftParenthesis => Triple::KeepFirst,
        (Bareword | Number | Variable | String, Operator, SqlType) if second.value.as_bytes() == b"::" => {
            Triple::KeepFirst
        }
        (Expression | Group | Comma, Operator, LeftParenthesis)
        | (Comma, Operator, Function)
        | (Keyword | Expression | Group, Operator, Number | Bareword | Variable | String | Function)
            if second.is_unary_operator() =>
        {
            Triple::DropSecond
        }
        // `1,-1` is `1`: one token back, so that this folds further.
        (Comma, Operator, Number | Bareword | Variable | String) if second.is_unary_operator() => Triple::DropAll,
        (Expression, Dot, Bareword) => Triple::DropSecond,
        // The function USER has no arguments.
        (Function, LeftParenthesis, kind) if kind != RightParenthesis && first.value.is(b"USER") => {
            Triple::FirstIsBareword
        }
        _ => Triple::Keep,
    }
}
