//! Directives that change or remove other rules. No IO.

use super::argument::{Arguments, digits};
use super::text::text;
use super::{actions, selector, targets};
use crate::ast::Quote;
use crate::error::Kind;
use crate::lexer::Word;
use crate::parser::{self, Context};
use crate::rules::{
    ActionName, ActionUpdate, DirectiveKind, DirectiveName, IdRange, RuleId, RuleSelector, Target, TargetUpdate,
};

/// Separators of variables here: ModSecurity takes commas too.
const SEPARATORS: &[u8] = b"|,";

/// What a `SecRuleRemove...` or `SecRuleUpdate...` does.
pub(super) fn update(
    name: DirectiveName,
    arguments: &Arguments<'_, '_>,
    context: &mut Context,
) -> Option<DirectiveKind> {
    match name {
        DirectiveName::SecRuleRemoveByTag => arguments
            .text(context)
            .map(|tag| DirectiveKind::Remove(RuleSelector::Tag(text(tag)))),
        DirectiveName::SecRuleRemoveByMsg => arguments
            .text(context)
            .map(|msg| DirectiveKind::Remove(RuleSelector::Msg(text(msg)))),
        DirectiveName::SecRuleUpdateTargetById => {
            let (ids, used) = leading_ids(arguments, context)?;
            update_targets(RuleSelector::Ids(ids.into_boxed_slice()), used, arguments, context)
        }
        DirectiveName::SecRuleUpdateTargetByTag => {
            let tag = arguments.required(0, "a tag and a list of variables", context)?;
            update_targets(RuleSelector::Tag(text(tag)), 1, arguments, context)
        }
        DirectiveName::SecRuleUpdateTargetByMsg => {
            let msg = arguments.required(0, "a message and a list of variables", context)?;
            update_targets(RuleSelector::Msg(text(msg)), 1, arguments, context)
        }
        DirectiveName::SecRuleUpdateActionById => update_actions(arguments, context),
        // SecRuleRemoveById: all arguments are ids.
        _ => {
            arguments.required(0, "an id or a range of ids", context)?;
            let ids: Vec<IdRange> = arguments
                .words()
                .flat_map(|word| selector::ids(word, Kind::InvalidArgument, context))
                .collect();
            Some(DirectiveKind::Remove(RuleSelector::Ids(ids.into_boxed_slice())))
        }
    }
}

/// The ids that the arguments begin with, and how many arguments they are.
fn leading_ids(arguments: &Arguments<'_, '_>, context: &mut Context) -> Option<(Vec<IdRange>, usize)> {
    arguments.required(0, "an id and a list of variables", context)?;
    let is_number = |word: Word<'_>| word.bytes().first().is_some_and(u8::is_ascii_digit);
    let number = arguments.words().take_while(|word| is_number(*word)).count().max(1);
    let ids = arguments
        .words()
        .take(number)
        .flat_map(|word| selector::ids(word, Kind::InvalidArgument, context))
        .collect();
    Some((ids, number))
}

/// The arguments from `at` on: what is added, and perhaps what it replaces.
fn update_targets(
    rules: RuleSelector,
    at: usize,
    arguments: &Arguments<'_, '_>,
    context: &mut Context,
) -> Option<DirectiveKind> {
    let added = arguments.required(at, "a list of variables", context)?;
    arguments.at_most(at + 2, context);
    let mut read = |word: Word<'_>| -> Box<[Target]> {
        let list = parser::variables(word, SEPARATORS, context);
        targets::targets(&list, context)
    };
    let targets = read(added);
    let replaced = arguments.words().nth(at + 1).map(read);
    Some(DirectiveKind::UpdateTargets(rules, TargetUpdate { targets, replaced }))
}

/// `id:member "actions"`.
fn update_actions(arguments: &Arguments<'_, '_>, context: &mut Context) -> Option<DirectiveKind> {
    let rule = arguments.required(0, "an id and a list of actions", context)?;
    let list = arguments.required(1, "a list of actions", context)?;
    let quoted = arguments.list.get(1).is_some_and(|list| list.quote != Quote::Bare);
    let list = match arguments.list.last() {
        Some(last) if !quoted => list.to(last.text),
        _ => {
            arguments.at_most(2, context);
            list
        }
    };
    let (id, member) = rule
        .split_once(b':')
        .map_or((rule, None), |(id, member)| (id, Some(member)));
    let number = digits(id.bytes()).filter(|id| *id > 0).map(RuleId);
    let member = member.map_or(Some(0), |member| {
        digits(member.bytes()).and_then(|member| u32::try_from(member).ok())
    });
    let (Some(id), Some(member)) = (number, member) else {
        let message = format!("`{}` is no rule id", rule.shown());
        context.error_hint(
            Kind::InvalidArgument,
            rule,
            message,
            "write 1000, or 1000:1 for the second rule of a chain",
        );
        return None;
    };
    let written = parser::actions(list, context);
    for action in &written {
        if let Some(name @ (ActionName::Id | ActionName::Phase | ActionName::Chain)) =
            ActionName::parse(action.name.bytes())
        {
            context.error(
                Kind::InvalidArgument,
                action.text,
                format!("`{name}` of a rule can't be changed"),
            );
        }
    }
    let actions = actions::actions(&written, context);
    Some(DirectiveKind::UpdateActions(ActionUpdate { id, member, actions }))
}
