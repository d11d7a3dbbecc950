//! Lists of actions: `id:1,phase:2,msg:'a, b',t:none`. No IO.

use super::Context;
use crate::ast::{Action, Argument, Quote};
use crate::error::Kind;
use crate::lexer::Word;

/// Reads a list of actions: commas separate them, but between single quotes and after a backslash.
pub(crate) fn actions<'a>(text: Word<'a>, context: &mut Context) -> Vec<Action<'a>> {
    context.read(text);
    let mut list = Vec::new();
    if text.trim().bytes().is_empty() {
        return list;
    }
    let mut element = Element::default();
    let mut escaped = false;
    for (at, byte) in text.bytes().iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\'' => element.quote = if element.quote.is_some() { None } else { Some(at) },
            _ if element.quote.is_some() => {}
            b':' => element.colon = element.colon.or(Some(at)),
            b',' => {
                list.extend(element.finish(text, at, context));
                element = Element {
                    start: at + 1,
                    ..Element::default()
                };
            }
            _ => {}
        }
    }
    if let Some(at) = element.quote {
        let hint = "close it, or write a quote that belongs to the text as `\\'`";
        context.error_hint(
            Kind::UnclosedQuote,
            text.part(at, at + 1),
            "this quote is not closed",
            hint,
        );
    }
    list.extend(element.finish(text, text.bytes().len(), context));
    list
}

/// The action that is being read: offsets in the list.
#[derive(Default)]
struct Element {
    start: usize,
    colon: Option<usize>,
    /// Where the quote was opened that isn't closed yet.
    quote: Option<usize>,
}

impl Element {
    fn finish<'a>(&self, list: Word<'a>, end: usize, context: &mut Context) -> Option<Action<'a>> {
        let text = list.part(self.start, end).trim();
        let name = list.part(self.start, self.colon.unwrap_or(end)).trim();
        if name.bytes().is_empty() {
            // The comma is a better place than the nothing beside it.
            let place = if text.bytes().is_empty() {
                list.part(self.start.saturating_sub(1), self.start.max(1))
            } else {
                text
            };
            context.error(Kind::EmptyAction, place, "an action is missing here");
            return None;
        }
        let value = self.colon.map(|colon| unquote(list.part(colon + 1, end).trim()));
        Some(Action { text, name, value })
    }
}

/// A value without the quotes around it, if there are any.
fn unquote(value: Word<'_>) -> Argument<'_> {
    let bytes = value.bytes();
    let quote = match (bytes.first(), bytes.last()) {
        (Some(b'\''), Some(b'\'')) if bytes.len() >= 2 => Quote::Single,
        (Some(b'"'), Some(b'"')) if bytes.len() >= 2 => Quote::Double,
        _ => {
            return Argument {
                text: value,
                quote: Quote::Bare,
            };
        }
    };
    Argument {
        text: value.part(1, bytes.len() - 1),
        quote,
    }
}
