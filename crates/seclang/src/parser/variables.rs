//! Lists of variables: `ARGS|!ARGS:password|&REQUEST_HEADERS:/^x-/|XML:/*`. No IO.

use super::Context;
use crate::ast::{Argument, Prefix, Quote, Selector, Variable};
use crate::error::Kind;
use crate::lexer::Word;
use crate::rules;

/// Reads a list whose elements stand between `separators`.
pub(crate) fn variables<'a>(text: Word<'a>, separators: &[u8], context: &mut Context) -> Vec<Variable<'a>> {
    context.read(text);
    let mut list = Vec::new();
    let mut rest = text;
    loop {
        let (variable, after) = variable(rest, separators, context);
        if variable.name.bytes().is_empty() {
            let element = if variable.text.bytes().is_empty() {
                rest.part(0, 1)
            } else {
                variable.text
            };
            context.error(Kind::MalformedVariable, element, "a variable is missing here");
        } else {
            list.push(variable);
        }
        match after {
            Some(after) => rest = after,
            None => return list,
        }
    }
}

/// The first element of a list, and what is after the separator that ends it.
fn variable<'a>(rest: Word<'a>, separators: &[u8], context: &mut Context) -> (Variable<'a>, Option<Word<'a>>) {
    let all = rest.trim_start();
    let (prefix, named) = match (all.strip(b'!'), all.strip(b'&')) {
        (Some(named), _) => (Prefix::Exclude, named),
        (_, Some(named)) => (Prefix::Count, named),
        _ => (Prefix::None, all),
    };
    let is_end = |byte: &u8| separators.contains(byte);
    let bytes = named.bytes();
    let end_of_name = bytes
        .iter()
        .position(|byte| matches!(byte, b':' | b'.') || is_end(byte))
        .unwrap_or(bytes.len());
    let (name, after) = named.split(end_of_name);
    // ModSecurity 3 takes `TX.name` for `TX:name`.
    let (selector, after) = match after.strip(b':').or(after.strip(b'.')) {
        Some(selector) => selection(name, selector, is_end, context),
        None => (None, after),
    };
    let length = all.bytes().len() - after.bytes().len();
    let text = all.part(0, length).trim();
    let next = if after.bytes().is_empty() {
        None
    } else {
        Some(after.from(1))
    };
    (
        Variable {
            text,
            prefix,
            name: name.trim(),
            selector,
        },
        next,
    )
}

/// What stands after the colon, and what is after that.
fn selection<'a>(
    name: Word<'a>,
    text: Word<'a>,
    is_end: impl Fn(&u8) -> bool,
    context: &mut Context,
) -> (Option<Selector<'a>>, Word<'a>) {
    let is_document = rules::Variable::parse(name.bytes()).is_some_and(rules::Variable::is_document);
    let quoted = text.strip(b'\'');
    let slashed = quoted.unwrap_or(text).strip(b'/').filter(|_| !is_document);
    let (selector, after) = if let Some(slashed) = slashed {
        let Some(at) = closing_slash(slashed.bytes()) else {
            // Coraza takes the rest of the list for the pattern; so be it, but somebody should know.
            let message = "this pattern is not closed by `/`, so it reaches to the end of the list";
            context.warn(Kind::UnclosedPattern, slashed, message);
            return (
                Some(Selector::UnclosedPattern(slashed)),
                slashed.from(slashed.bytes().len()),
            );
        };
        let (pattern, after) = (slashed.part(0, at), slashed.from(at + 1));
        let quote = if quoted.is_some() { Quote::Single } else { Quote::Bare };
        let after = quoted.and_then(|_| after.strip(b'\'')).unwrap_or(after);
        (Selector::Pattern(Argument { text: pattern, quote }), after)
    } else if let Some((key, after)) = quoted.and_then(|quoted| quoted.split_once(b'\'')) {
        (
            Selector::Key(Argument {
                text: key,
                quote: Quote::Single,
            }),
            after,
        )
    } else {
        let end = text.bytes().iter().position(&is_end).unwrap_or(text.bytes().len());
        let (key, after) = text.split(end);
        (
            Selector::Key(Argument {
                text: key.trim(),
                quote: Quote::Bare,
            }),
            after,
        )
    };
    let end = after.bytes().iter().position(is_end).unwrap_or(after.bytes().len());
    let (stray, after) = after.split(end);
    if !stray.trim().bytes().is_empty() {
        let message = "nothing may stand between this key and the next variable";
        context.error(Kind::MalformedVariable, stray.trim(), message);
    }
    (Some(selector), after)
}

/// Where the first `/` is that no backslash escapes.
fn closing_slash(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    bytes.iter().position(|byte| {
        let found = *byte == b'/' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        found
    })
}
