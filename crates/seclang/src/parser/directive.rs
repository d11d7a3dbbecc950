//! The arguments of a directive: names, quotes, words. No IO.

use memchr::memchr;

use super::{Context, actions, rule};
use crate::ast::{ActionList, Argument, Body, Directive, Quote};
use crate::error::{Diagnostic, Kind};
use crate::lexer::{Line, Word};
use crate::rules::{DirectiveKind, DirectiveName};

/// Why a line is no directive; it has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its name is unknown.
    UnknownName,
    /// A quote isn't closed, so that the lines after it may belong to it.
    UnclosedQuote,
    /// An argument is missing, or there is one too many.
    Arguments,
}

/// Reads a logical line.
pub(super) fn directive<'a>(line: &'a Line<'a>, context: &mut Context) -> Result<Directive<'a>, Unreadable> {
    let word = line.word();
    context.read(word);
    let (name, rest) = word.split_space();
    let rest = rest.trim();
    let body = match DirectiveName::parse(name.bytes()) {
        None => {
            unknown(name, context);
            return Err(Unreadable::UnknownName);
        }
        Some(DirectiveName::SecRule) => Body::Rule(rule::rule(name, rest, context)?),
        Some(DirectiveName::SecAction | DirectiveName::SecDefaultAction) => {
            if rest.bytes().is_empty() {
                context.error(
                    Kind::MissingArgument,
                    name,
                    format!("`{}` needs a list of actions", name.shown()),
                );
                return Err(Unreadable::Arguments);
            }
            let list = last_argument(rest, context)?;
            Body::Actions(ActionList {
                actions: actions::actions(list.text, context),
                quote: list.quote,
            })
        }
        Some(_) => Body::Arguments(arguments(rest, context)?),
    };
    let block = line
        .block()
        .map(|block| block.lines.iter().map(|(line, _)| *line).collect());
    Ok(Directive { name, body, block })
}

/// What is left of a rule that can't be read.
pub(super) fn broken<'a>(line: &'a Line<'a>) -> Option<DirectiveKind> {
    let (name, rest) = line.word().split_space();
    let is_rule = matches!(
        DirectiveName::parse(name.bytes()),
        Some(DirectiveName::SecRule | DirectiveName::SecAction)
    );
    // A guess, to keep the rules after it from being called wrong.
    let mut tokens = rest.bytes().split(|byte| matches!(byte, b',' | b'"' | b' ' | b'\t'));
    let chain = tokens.any(|token| token.eq_ignore_ascii_case(b"chain"));
    is_rule.then_some(DirectiveKind::BrokenRule { chain })
}

/// Whether a line looks like the start of a directive, known or not, rather than like a part of the one before it.
pub(super) fn begins(line: &Line<'_>) -> bool {
    let name = line.word().split_space().0.bytes();
    DirectiveName::parse(name).is_some()
        || (name.starts_with(b"Sec") && name.get(3).is_some_and(u8::is_ascii_uppercase))
}

fn unknown(name: Word<'_>, context: &mut Context) {
    let nearest = context.diagnostics.nearest(&DirectiveName::NAMES, name.bytes());
    let message = format!("unknown directive `{}`", name.shown());
    context
        .diagnostics
        .push(Diagnostic::error(Kind::UnknownDirective, name.span(), message).suggest("", nearest));
}

/// All arguments of a directive.
fn arguments<'a>(rest: Word<'a>, context: &mut Context) -> Result<Vec<Argument<'a>>, Unreadable> {
    let mut arguments = Vec::new();
    let mut rest = rest.trim_start();
    while !rest.bytes().is_empty() {
        let (argument, after) = next_argument(rest, context)?;
        arguments.push(argument);
        rest = after.trim_start();
    }
    Ok(arguments)
}

/// The first argument of a non-empty text, and what is after it.
pub(super) fn next_argument<'a>(word: Word<'a>, context: &mut Context) -> Result<(Argument<'a>, Word<'a>), Unreadable> {
    let quote = match word.bytes().first() {
        Some(b'"') => Quote::Double,
        Some(b'\'') => Quote::Single,
        _ => {
            let (text, after) = word.split_space();
            return Ok((
                Argument {
                    text,
                    quote: Quote::Bare,
                },
                after,
            ));
        }
    };
    match closing(word.bytes()) {
        Some(at) => Ok((
            Argument {
                text: word.part(1, at),
                quote,
            },
            word.from(at + 1),
        )),
        None => Err(unclosed(word, context)),
    }
}

/// The last argument of a directive, a list of actions: it reaches to the end, whatever quotes are in it.
pub(super) fn last_argument<'a>(word: Word<'a>, context: &mut Context) -> Result<Argument<'a>, Unreadable> {
    let word = word.trim();
    let quote = match word.bytes().first() {
        Some(b'"') => Quote::Double,
        Some(b'\'') => Quote::Single,
        _ => {
            return Ok(Argument {
                text: word,
                quote: Quote::Bare,
            });
        }
    };
    let last = word.bytes().len() - 1;
    let Some(first_closing) = closing(word.bytes()) else {
        return Err(unclosed(word, context));
    };
    let rest = word.from(first_closing + 1);
    let ends_here = rest.bytes().first().is_none_or(u8::is_ascii_whitespace);
    if first_closing < last && (ends_here || word.bytes().first() != word.bytes().last()) {
        let message = "nothing may follow the list of actions";
        context.error_hint(
            Kind::UnexpectedArgument,
            rest.trim(),
            message,
            "write a quote inside the list as `\\\"`",
        );
        return Err(Unreadable::Arguments);
    }
    Ok(Argument {
        text: word.part(1, last),
        quote,
    })
}

fn unclosed(word: Word<'_>, context: &mut Context) -> Unreadable {
    let message = "this quote is not closed";
    let hint = "close it on the same logical line; a line goes on with the next one only if it ends with `\\`";
    context.error_hint(Kind::UnclosedQuote, word.part(0, 1), message, hint);
    Unreadable::UnclosedQuote
}

/// Where the quote that the bytes begin with is closed: at the next one that no odd number of backslashes precedes.
fn closing(bytes: &[u8]) -> Option<usize> {
    let quote = *bytes.first()?;
    let mut from = 1;
    loop {
        let at = from + memchr(quote, bytes.get(from..)?)?;
        let before = bytes.get(from..at).unwrap_or_default();
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_closed_unless_escaped() {
        let cases = [
            (&br#""a" b"#[..], Some(2)),
            (br#""a\" b""#, Some(6)),
            (br#""a\\" b""#, Some(4)),
            (br#""a"#, None),
            (br#"""#, None),
        ];
        for (text, expected) in cases {
            assert_eq!(closing(text), expected, "{}", text.escape_ascii());
        }
    }
}
