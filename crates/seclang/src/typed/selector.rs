//! Which rules and which collections are meant: ids, ranges of ids, names. No IO.

use super::argument::digits;
use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::parser::Context;
use crate::rules::{IdRange, RuleId, Variable};

/// Ids and ranges of ids between commas or blanks: `1,5-9 20`.
pub(super) fn ids(word: Word<'_>, kind: Kind, context: &mut Context) -> Vec<IdRange> {
    let mut ranges = Vec::new();
    let mut rest = word;
    loop {
        let end = rest
            .bytes()
            .iter()
            .position(|byte| *byte == b',' || byte.is_ascii_whitespace());
        let (field, after) = rest.split(end.unwrap_or(rest.bytes().len()));
        match range(field.bytes()) {
            Some(range) => ranges.push(range),
            // Blanks beside a comma are no empty field.
            None if field.bytes().is_empty() && !word.bytes().is_empty() => {}
            None => {
                let message = format!("`{}` is no rule id and no range of them", field.shown());
                context.error_hint(kind, field, message, "write 1000 or 1000-1999, the smaller one first");
            }
        }
        if end.is_none() {
            return ranges;
        }
        rest = after.from(1);
    }
}

fn range(bytes: &[u8]) -> Option<IdRange> {
    let id = |bytes: &[u8]| digits(bytes).filter(|id| *id > 0).map(RuleId);
    let (first, last) = match bytes.iter().position(|byte| *byte == b'-') {
        Some(at) => (id(bytes.get(..at)?)?, id(bytes.get(at + 1..)?)?),
        None => (id(bytes)?, id(bytes)?),
    };
    (first <= last).then_some(IdRange { first, last })
}

/// A collection, by name.
pub(super) fn collection(name: Word<'_>, context: &mut Context) -> Option<Variable> {
    let Some(variable) = Variable::parse(name.bytes()) else {
        let nearest = context.diagnostics.nearest(&Variable::NAMES, name.bytes());
        let message = format!("unknown collection `{}`", name.shown());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::UnknownVariable, name.span(), message).suggest("", nearest));
        return None;
    };
    if !variable.is_collection() {
        context.error(
            Kind::KeyOnScalar,
            name,
            format!("`{variable}` holds one value, it is no collection"),
        );
        return None;
    }
    Some(variable)
}
