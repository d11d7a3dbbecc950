//! Syntax tree to text: one directive a line, as it was written but for comments, continuations and blanks. No IO.

use crate::ast::{ActionList, Argument, Body, Directive, Operator, Prefix, Quote, Rule, Selector, Variable};
use crate::error::{Diagnostic, Severity};
use crate::lexer;
use crate::parser::{self, Context};

/// The directives of a source, each on a line of its own, with the same meaning. Fails with what can't be read; what can be read
/// but makes no sense is printed all the same.
pub fn reprint(text: &[u8]) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let mut context = Context::default();
    let lines = lexer::lines(text, &mut context.diagnostics);
    let mut out = Vec::with_capacity(text.len());
    for line in &lines {
        if let Some(directive) = parser::read(line, &mut context) {
            print(&directive, &mut out);
        }
    }
    let findings = context.diagnostics.finish();
    let readable = findings.iter().all(|finding| finding.severity == Severity::Warning);
    if readable { Ok(out) } else { Err(findings) }
}

/// Writes a directive with its line end.
pub fn print(directive: &Directive<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(directive.name.bytes());
    match &directive.body {
        Body::Rule(rule) => print_rule(rule, out),
        Body::Actions(list) => print_actions(list, out),
        Body::Arguments(arguments) => print_arguments(arguments, out),
    }
    if let Some(lines) = &directive.block {
        out.extend_from_slice(b" `\n");
        for line in lines {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'`');
    }
    out.push(b'\n');
}

fn print_arguments(arguments: &[Argument<'_>], out: &mut Vec<u8>) {
    let mut before: Option<&Argument<'_>> = None;
    for argument in arguments {
        match before {
            // They may be one text that nobody quoted: the blanks in it count.
            Some(before) if before.quote == Quote::Bare && argument.quote == Quote::Bare => {
                let both = before.text.to(argument.text);
                let end = both.bytes().len() - argument.text.bytes().len();
                out.extend_from_slice(both.part(before.text.bytes().len(), end).bytes());
            }
            _ => out.push(b' '),
        }
        print_argument(argument, out);
        before = Some(argument);
    }
}

fn print_rule(rule: &Rule<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    quoted(rule.variables_quote, out, |out| {
        for (at, variable) in rule.variables.iter().enumerate() {
            if at > 0 {
                out.push(b'|');
            }
            print_variable(variable, out);
        }
    });
    out.push(b' ');
    quoted(rule.operator_quote, out, |out| print_operator(&rule.operator, out));
    if let Some(actions) = &rule.actions {
        print_actions(actions, out);
    }
}

fn print_variable(variable: &Variable<'_>, out: &mut Vec<u8>) {
    match variable.prefix {
        Prefix::None => {}
        Prefix::Count => out.push(b'&'),
        Prefix::Exclude => out.push(b'!'),
    }
    out.extend_from_slice(variable.name.bytes());
    let Some(selector) = &variable.selector else {
        return;
    };
    out.push(b':');
    match selector {
        Selector::Key(key) => print_argument(key, out),
        Selector::Pattern(pattern) => quoted(pattern.quote, out, |out| {
            out.push(b'/');
            out.extend_from_slice(pattern.text.bytes());
            out.push(b'/');
        }),
        Selector::UnclosedPattern(pattern) => {
            out.push(b'/');
            out.extend_from_slice(pattern.bytes());
        }
    }
}

fn print_operator(operator: &Operator<'_>, out: &mut Vec<u8>) {
    if operator.negated {
        out.push(b'!');
    }
    if let Some(name) = operator.name {
        out.push(b'@');
        out.extend_from_slice(name.bytes());
        if !operator.argument.bytes().is_empty() {
            out.push(b' ');
        }
    }
    out.extend_from_slice(operator.argument.bytes());
}

fn print_actions(list: &ActionList<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    quoted(list.quote, out, |out| {
        for (at, action) in list.actions.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(action.name.bytes());
            if let Some(value) = &action.value {
                out.push(b':');
                print_argument(value, out);
            }
        }
    });
}

fn print_argument(argument: &Argument<'_>, out: &mut Vec<u8>) {
    quoted(argument.quote, out, |out| out.extend_from_slice(argument.text.bytes()));
}

fn quoted(quote: Quote, out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    let mark: &[u8] = match quote {
        Quote::Bare => b"",
        Quote::Double => b"\"",
        Quote::Single => b"'",
    };
    out.extend_from_slice(mark);
    print(out);
    out.extend_from_slice(mark);
}
