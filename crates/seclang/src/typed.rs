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
            actions: actions::actions(rule.actions.as_ref().map_or(&[], |list| &list.actions), context),
        }))),
        ast::Body::Actions(list) if name == DirectiveName::SecAction => {
            Some(DirectiveKind::Rule(Arc::new(Definition {
                targets: Box::default(),
                operator: None,
                actions: actions::actions(&list.actions, context),
            })))
        }
        ast::Body::Actions(list) => Some(default_action(directive.name, &list.actions, context)),
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
    let mut actions = actions::actions(list, context);
    for written in list {
        let Some(action) = ActionName::parse(written.name.bytes()) else {
            continue;
        };
        if action == ActionName::Block {
            let message = "`block` means what the default says, so it says nothing here";
            context.warn(Kind::DefaultActionForbidden, written.text, message);
        } else if action == ActionName::T {
            let message = "each rule of the phase begins with this transformation, unless it says `t:none`";
            context.warn(Kind::DefaultActionForbidden, written.text, message);
        } else if let Some(reason) = forbidden_default(action) {
            let message = format!("`{action}` can't be a default: {reason}");
            context.error(Kind::DefaultActionForbidden, written.text, message);
        }
    }
    if actions.phase().is_none() {
        let hint = "add `phase:1` to `phase:5`: a default is of one phase";
        context.error_hint(Kind::DefaultActionPhase, name, "`SecDefaultAction` needs a phase", hint);
    }
    if actions.disruptive().is_none() {
        let hint = "add `pass`, `deny` or another disruptive action, which `block` then stands for";
        let message = "`SecDefaultAction` needs a disruptive action";
        context.error_hint(Kind::DefaultActionDisruptive, name, message, hint);
    }
    actions.0 = actions
        .0
        .into_iter()
        .filter(|action| action.name != ActionName::Block)
        .collect();
    let phase = actions.phase().unwrap_or_default();
    DirectiveKind::DefaultAction(Arc::new(DefaultAction { phase, actions }))
}

/// Why an action can't be a default, if it can't.
fn forbidden_default(action: ActionName) -> Option<&'static str> {
    match action {
        // A tag of all rules is what the Core Rule Set's set-up shows in its examples.
        ActionName::Phase | ActionName::Tag => None,
        ActionName::Chain | ActionName::Skip | ActionName::SkipAfter => Some("it says which rule comes next"),
        metadata if metadata.is_metadata() => Some("it describes one rule"),
        _ => None,
    }
}
