//! Lists of variables: `ARGS|!ARGS:password|&REQUEST_HEADERS:/^x-/|XML:/*`. No IO.

use memchr::memchr;

use super::Context;
use crate::ast::{Prefix, Selector, Variable};
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
    let opening = if text.bytes().starts_with(b"'/") { 2 } else { 1 };
    let is_pattern = text.bytes().get(opening - 1) == Some(&b'/');
    if is_pattern && !is_document {
        let (pattern, after) = pattern(text.from(opening), opening == 2, context);
        let stray = after.bytes().iter().position(&is_end).unwrap_or(after.bytes().len());
        let (stray, after) = after.split(stray);
        if !stray.trim().bytes().is_empty() {
            context.error(
                Kind::MalformedVariable,
                stray.trim(),
                "nothing may stand between a pattern and the next variable",
            );
        }
        return (Some(Selector::Pattern(pattern)), after);
    }
    if let Some(quoted) = text.strip(b'\'')
        && let Some(at) = memchr(b'\'', quoted.bytes())
    {
        let (key, after) = quoted.split(at);
        let after = after.from(1);
        let end = after.bytes().iter().position(is_end).unwrap_or(after.bytes().len());
        return (Some(Selector::Key(key)), after.from(end));
    }
    let end = text.bytes().iter().position(is_end).unwrap_or(text.bytes().len());
    let (key, after) = text.split(end);
    (Some(Selector::Key(key.trim())), after)
}

/// Reads up to the `/` that closes a pattern, which may hold `\/` and separators.
fn pattern<'a>(text: Word<'a>, quoted: bool, context: &mut Context) -> (Word<'a>, Word<'a>) {
    let mut escaped = false;
    for (at, byte) in text.bytes().iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'/' => {
                let after = text.from(at + 1);
                let after = if quoted {
                    after.strip(b'\'').unwrap_or(after)
                } else {
                    after
                };
                return (text.part(0, at), after);
            }
            _ => {}
        }
    }
    // Coraza takes the rest of the list for the pattern; so be it, but somebody should know.
    context.warn(
        Kind::UnclosedPattern,
        text,
        "this pattern is not closed by `/`, so it reaches to the end of the list",
    );
    (text, text.from(text.bytes().len()))
}
