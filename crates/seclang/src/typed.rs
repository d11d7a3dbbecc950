//! Syntax tree to typed directives: what a directive means as far as it can be said without the others. No IO.
//!
//! Every function here gives the best it can and reports what is wrong; the caller drops what had errors.

use std::sync::Arc;

use crate::ast;
use crate::error::Kind;
use crate::lexer::{Line, Word};
use crate::parser::Context;
use crate::rules::{ActionName, DefaultAction, Definition, DirectiveKind, DirectiveName};

mod actions;
mod argument;
mod ctl;
mod operator;
mod selector;
mod setting;
mod targets;
mod text;
mod update;

/// What a directive means; nothing, if it has no effect.
pub(crate) fn directive(
    directive: &ast::Directive<'_>,
    line: &Line<'_>,
    context: &mut Context,
) -> Option<DirectiveKind> {
    // The name was looked up before the arguments were read.
    let name = DirectiveName::parse(directive.name.bytes())?;
    match &directive.body {
        ast::Body::Rule(rule) => Some(DirectiveKind::Rule(Arc::new(Definition {
            targets: targets::of_rule(&rule.variables, context),
            operator: Some(operator::operator(&rule.operator, context)),
            actions: actions::actions(rule.actions.as_deref().unwrap_or_default(), context),
        }))),
        ast::Body::Actions(list) if name == DirectiveName::SecAction => {
            Some(DirectiveKind::Rule(Arc::new(Definition {
                targets: Box::default(),
                operator: None,
                actions: actions::actions(list, context),
            })))
        }
        ast::Body::Actions(list) => Some(default_action(directive.name, list, context)),
        ast::Body::Arguments(arguments) => {
            let arguments = argument::Arguments {
                name: directive.name,
                list: arguments,
            };
            match name {
                DirectiveName::SecMarker => arguments
                    .text(context)
                    .map(|label| DirectiveKind::Marker(text::text(label))),
                DirectiveName::SecRuleRemoveById
                | DirectiveName::SecRuleRemoveByTag
                | DirectiveName::SecRuleRemoveByMsg
                | DirectiveName::SecRuleUpdateTargetById
                | DirectiveName::SecRuleUpdateTargetByTag
                | DirectiveName::SecRuleUpdateTargetByMsg
                | DirectiveName::SecRuleUpdateActionById => update::update(name, &arguments, context),
                _ => setting::setting(name, &arguments, line, context).map(DirectiveKind::Setting),
            }
        }
    }
}

fn default_action(name: Word<'_>, list: &[ast::Action<'_>], context: &mut Context) -> DirectiveKind {
    let actions = actions::actions(list, context);
    for (written, action) in list
        .iter()
        .filter_map(|action| Some((action, ActionName::parse(action.name.bytes())?)))
    {
        let forbidden = match action {
            ActionName::Phase => continue,
            ActionName::T => "transformations belong to rules",
            ActionName::Block => "`block` means what the default says",
            ActionName::Chain | ActionName::Skip | ActionName::SkipAfter => "it says which rule comes next",
            metadata if metadata.is_metadata() => "it describes one rule",
            _ => continue,
        };
        let message = format!("`{action}` can't be a default: {forbidden}");
        context.error(Kind::DefaultActionForbidden, written.text, message);
    }
    if actions.phase().is_none() {
        let hint = "add `phase:1` to `phase:5`: a default is of one phase";
        context.error_hint(Kind::DefaultActionPhase, name, "`SecDefaultAction` needs a phase", hint);
    }
    if actions.disruptive().is_none() {
        let hint = "add `pass`, `deny` or another disruptive action, which `block` then stands for";
        context.error_hint(
            Kind::DefaultActionDisruptive,
            name,
            "`SecDefaultAction` needs a disruptive action",
            hint,
        );
    }
    let phase = actions.phase().unwrap_or_default();
    DirectiveKind::DefaultAction(Arc::new(DefaultAction { phase, actions }))
}
