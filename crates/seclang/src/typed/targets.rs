//! Variable lists to targets. No IO.

use super::text::text;
use crate::ast::{self, Prefix};
use crate::error::{Diagnostic, Kind};
use crate::parser::Context;
use crate::rules::{Selector, Target, TargetMode, Variable};

/// The targets of a `SecRule`.
pub(super) fn of_rule(list: &[ast::Variable<'_>], context: &mut Context) -> Box<[Target]> {
    let targets = targets(list, context);
    let looks_at_nothing = !targets.is_empty() && targets.iter().all(|target| target.mode == TargetMode::Exclude);
    if looks_at_nothing && let (Some(first), Some(last)) = (list.first(), list.last()) {
        context.warn(
            Kind::NoTarget,
            first.text.to(last.text),
            "all variables are excluded, so the rule never matches",
        );
    }
    targets
}

/// The targets of any list.
pub(super) fn targets(list: &[ast::Variable<'_>], context: &mut Context) -> Box<[Target]> {
    list.iter().filter_map(|variable| target(variable, context)).collect()
}

fn target(written: &ast::Variable<'_>, context: &mut Context) -> Option<Target> {
    let ast::Variable {
        text: whole,
        prefix,
        name,
        selector,
    } = written;
    let Some(variable) = Variable::parse(name.bytes()) else {
        let nearest = context.diagnostics.nearest(&Variable::NAMES, name.bytes());
        let message = format!("unknown variable `{}`", name.shown());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::UnknownVariable, name.span(), message).suggest("", nearest));
        return None;
    };
    if variable.is_never_filled() {
        context.warn(Kind::NoEffect, *whole, format!("`{variable}` is always empty here"));
    }
    Some(Target {
        mode: match prefix {
            Prefix::None => TargetMode::Values,
            Prefix::Count => TargetMode::Count,
            Prefix::Exclude => TargetMode::Exclude,
        },
        variable,
        selector: selector.map_or(Selector::All, |selector| selection(variable, selector, context)),
        span: whole.span(),
    })
}

fn selection(variable: Variable, selector: ast::Selector<'_>, context: &mut Context) -> Selector {
    let word = match selector {
        ast::Selector::Key(argument) | ast::Selector::Pattern(argument) => argument.text,
        ast::Selector::UnclosedPattern(word) => word,
    };
    if !variable.is_collection() {
        let message = format!("`{variable}` holds one value, so nothing can be selected in it");
        context.error(Kind::KeyOnScalar, word, message);
    } else if word.bytes().is_empty() {
        let message = format!("a key of `{variable}` is missing after the colon");
        context.error(Kind::MalformedVariable, word, message);
    }
    match selector {
        ast::Selector::Key(_) if variable.is_document() => Selector::Path(text(word)),
        ast::Selector::Key(_) => Selector::Key(text(word)),
        ast::Selector::Pattern(_) | ast::Selector::UnclosedPattern(_) => Selector::Pattern(text(word)),
    }
}
