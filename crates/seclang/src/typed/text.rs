//! Words to texts and templates: escapes taken out, macros found. No IO.

use memchr::{memchr, memmem};

use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::parser::Context;
use crate::rules::{Macro, Template, Text, Variable};
use crate::span::offset;

/// The bytes of a word, with `\"` and `\'` as the quotes that they stand for.
pub(super) fn text(word: Word<'_>) -> Text {
    let bytes = word.bytes();
    let mut plain: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, from) = rest.split_at(at);
        plain.extend_from_slice(before);
        // A backslash before a backslash escapes it, so both stay and what follows is no escape.
        let taken = match from.get(1) {
            Some(quote @ (b'"' | b'\'')) => {
                plain.push(*quote);
                2
            }
            Some(b'\\') => {
                plain.extend_from_slice(b"\\\\");
                2
            }
            _ => {
                plain.push(b'\\');
                1
            }
        };
        rest = from.get(taken..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    Text {
        bytes: plain.into_boxed_slice(),
        span: word.span(),
    }
}

/// A word with its macros, which must be of known variables.
pub(super) fn template(word: Word<'_>, context: &mut Context) -> Template {
    let text = text(word);
    let macros = macros(&text, Some(word), context);
    Template { text, macros }
}

/// A regular expression with its macros: `%{...}` that is no macro is part of the expression.
pub(super) fn pattern(word: Word<'_>, context: &mut Context) -> Template {
    let text = text(word);
    let macros = macros(&text, None, context);
    Template { text, macros }
}

/// The macros of a text. What is no macro is reported if it comes from `strict`, else it is left alone.
fn macros(text: &Text, strict: Option<Word<'_>>, context: &mut Context) -> Box<[Macro]> {
    context.work += text.len() as u64;
    let mut macros = Vec::new();
    let mut at = 0;
    while let Some(start) = text
        .get(at..)
        .and_then(|rest| memmem::find(rest, b"%{"))
        .map(|found| at + found)
    {
        let inner = text.get(start + 2..).unwrap_or_default();
        // A macro holds no other one, so no byte is looked at twice.
        let length = inner
            .iter()
            .position(|byte| matches!(byte, b'}' | b'{' | b'%'))
            .unwrap_or(inner.len());
        let (name, key) = name_and_key(inner.get(..length).unwrap_or_default());
        at = start + 2 + length;
        let closed = inner.get(length) == Some(&b'}') && !name.is_empty();
        match Variable::parse(name).filter(|_| closed) {
            Some(variable) => {
                at += 1;
                let key = key.map(Box::from);
                macros.push(Macro {
                    start: offset(start),
                    end: offset(at),
                    variable,
                    key,
                });
            }
            None if strict.is_some() => {
                let span = text.locate(start..at + usize::from(closed));
                let diagnostic = if closed {
                    let nearest = context.diagnostics.nearest(&Variable::NAMES, name);
                    let message = format!("unknown variable `{}` in a macro", String::from_utf8_lossy(name));
                    Diagnostic::error(Kind::UnknownMacro, span, message).suggest("", nearest)
                } else {
                    let message = "`%{` does not begin a macro";
                    Diagnostic::error(Kind::MalformedMacro, span, message)
                        .hint("a macro is `%{VARIABLE}` or `%{COLLECTION.key}`")
                };
                context.diagnostics.push(diagnostic);
            }
            None => {}
        }
    }
    macros.into_boxed_slice()
}

/// `tx.score` or `REQUEST_HEADERS:Host` in two.
fn name_and_key(inner: &[u8]) -> (&[u8], Option<&[u8]>) {
    match inner.iter().position(|byte| matches!(byte, b'.' | b':')) {
        Some(at) => (inner.get(..at).unwrap_or_default(), inner.get(at + 1..)),
        None => (inner, None),
    }
}
