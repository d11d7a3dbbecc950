//! Text to syntax tree to typed directives, one source at a time. No IO.

use crate::ast;
use crate::error::{Diagnostic, Diagnostics, Kind, Severity};
use crate::lexer::{self, Line, Word};
use crate::rules::{self, ActionName, DirectiveKind};
use crate::span::{MAX_SOURCE_BYTES, Span};
use crate::typed;

mod actions;
mod directive;
mod rule;
mod variables;

pub(crate) use actions::actions;
pub(crate) use variables::variables;

/// One source, parsed: all that can be said about it without the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The directives, in order; those with errors are left out, but for rules, which chains need.
    pub directives: Vec<rules::Directive>,
    /// What is wrong with it, in order.
    pub diagnostics: Vec<Diagnostic>,
    /// How many bytes were looked at, each time that they were: a measure of the work, proportional to the text.
    pub work: u64,
}

impl Parsed {
    /// Whether some finding stops it from being used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// What a parse gathers besides its result.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) diagnostics: Diagnostics,
    pub(crate) work: u64,
}

impl Context {
    /// Counts the bytes of a word that is about to be read through.
    pub(crate) fn read(&mut self, word: Word<'_>) {
        self.work += word.bytes().len() as u64;
    }

    pub(crate) fn error(&mut self, kind: Kind, word: Word<'_>, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(kind, word.span(), message));
    }

    pub(crate) fn error_hint(&mut self, kind: Kind, word: Word<'_>, message: impl Into<String>, hint: &str) {
        self.diagnostics
            .push(Diagnostic::error(kind, word.span(), message).hint(hint));
    }

    pub(crate) fn warn(&mut self, kind: Kind, word: Word<'_>, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(kind, word.span(), message));
    }
}

/// Parses one source. Goes on after errors, at the next directive, so that all of them are found at once.
pub fn parse(text: &[u8]) -> Parsed {
    let mut context = Context {
        work: text.len() as u64,
        ..Context::default()
    };
    if text.len() > MAX_SOURCE_BYTES {
        let message = format!("the source is {} bytes long, more than {MAX_SOURCE_BYTES}", text.len());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::SourceTooLarge, Span::new(0, 1), message));
        return Parsed {
            diagnostics: context.diagnostics.finish(),
            ..Parsed::default()
        };
    }
    let lines = lexer::lines(text, &mut context.diagnostics);
    let mut directives = Vec::with_capacity(lines.len());
    let mut swallowed = false;
    for line in &lines {
        // What follows an unclosed quote was meant to be part of it, up to the next directive.
        if swallowed && !directive::begins(line) {
            continue;
        }
        if line.is_unfinished() {
            directives.extend(directive::broken(line).map(|kind| rules::Directive {
                kind,
                span: line.span(),
            }));
            continue;
        }
        let errors = context.diagnostics.errors();
        let kind = match directive::directive(line, &mut context) {
            Ok(directive) => {
                swallowed = false;
                typed::directive(&directive, line, &mut context)
            }
            Err(unreadable) => {
                swallowed = unreadable == directive::Unreadable::UnclosedQuote;
                directive::broken(line)
            }
        };
        let kind = if context.diagnostics.errors() == errors {
            kind
        } else {
            kind.and_then(without_meaning)
        };
        directives.extend(kind.map(|kind| rules::Directive {
            kind,
            span: line.span(),
        }));
    }
    Parsed {
        directives,
        diagnostics: context.diagnostics.finish(),
        work: context.work,
    }
}

/// Reads a logical line without asking what it means; nothing, if that can't be done.
pub(crate) fn read<'a>(line: &'a Line<'a>, context: &mut Context) -> Option<ast::Directive<'a>> {
    directive::directive(line, context).ok()
}

/// What is left of a directive with errors: only rules, which chains must be able to count.
fn without_meaning(kind: DirectiveKind) -> Option<DirectiveKind> {
    match kind {
        DirectiveKind::Rule(rule) => Some(DirectiveKind::BrokenRule {
            chain: rule.actions.has(ActionName::Chain),
        }),
        DirectiveKind::BrokenRule { chain } => Some(DirectiveKind::BrokenRule { chain }),
        _ => None,
    }
}
