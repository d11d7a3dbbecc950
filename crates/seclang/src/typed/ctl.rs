//! `ctl:option=value`. No IO.

use super::argument::{choice, number, switch};
use super::setting::audit_parts;
use super::text::text;
use super::{selector, targets};
use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::parser::{Context, variables};
use crate::rules::{AuditEngine, BodyProcessor, Ctl, CtlName, EngineMode, PartsChange, RuleSelector, Target};

/// The option and its value.
pub(super) fn ctl(word: Word<'_>, context: &mut Context) -> Option<Ctl> {
    let (name, value) = match word.split_once(b'=') {
        Some((name, value)) => (name.trim(), value.trim()),
        None => (word, word.from(word.bytes().len())),
    };
    let Some(option) = CtlName::parse(name.bytes()) else {
        let nearest = context.diagnostics.nearest(&CtlName::NAMES, name.bytes());
        let message = format!("unknown option `{}` of `ctl`", name.shown());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::UnknownCtl, name.span(), message).suggest("ctl:", nearest));
        return None;
    };
    let value = unquoted(value);
    if value.bytes().is_empty() {
        context.error(
            Kind::MissingValue,
            word,
            format!("`ctl:{option}` needs a value: `ctl:{option}=...`"),
        );
        return None;
    }
    of_option(option, value, word, context)
}

fn of_option(option: CtlName, value: Word<'_>, whole: Word<'_>, context: &mut Context) -> Option<Ctl> {
    const KIND: Kind = Kind::InvalidValue;
    match option {
        CtlName::AuditEngine => choice(value, &AuditEngine::NAMES, KIND, context).map(Ctl::AuditEngine),
        CtlName::AuditLogParts => parts_change(value, context).map(Ctl::AuditLogParts),
        CtlName::DebugLogLevel => {
            let level = number(value, 0, 9, KIND, context)?;
            u8::try_from(level).ok().map(Ctl::DebugLogLevel)
        }
        CtlName::ForceRequestBodyVariable => switch(value, KIND, context).map(Ctl::ForceRequestBodyVariable),
        CtlName::ForceResponseBodyVariable => switch(value, KIND, context).map(Ctl::ForceResponseBodyVariable),
        CtlName::RequestBodyAccess => switch(value, KIND, context).map(Ctl::RequestBodyAccess),
        CtlName::ResponseBodyAccess => switch(value, KIND, context).map(Ctl::ResponseBodyAccess),
        CtlName::RequestBodyLimit => number(value, 0, u64::MAX, KIND, context).map(Ctl::RequestBodyLimit),
        CtlName::ResponseBodyLimit => number(value, 0, u64::MAX, KIND, context).map(Ctl::ResponseBodyLimit),
        CtlName::RequestBodyProcessor => {
            choice(value, &BodyProcessor::NAMES, KIND, context).map(Ctl::RequestBodyProcessor)
        }
        CtlName::ResponseBodyProcessor => {
            choice(value, &BodyProcessor::NAMES, KIND, context).map(Ctl::ResponseBodyProcessor)
        }
        CtlName::RuleEngine => choice(value, &EngineMode::NAMES, KIND, context).map(Ctl::RuleEngine),
        CtlName::RuleRemoveById => Some(Ctl::RuleRemove(ids(value, context))),
        CtlName::RuleRemoveByMsg => Some(Ctl::RuleRemove(RuleSelector::Msg(text(value)))),
        CtlName::RuleRemoveByTag => Some(Ctl::RuleRemove(RuleSelector::Tag(text(value)))),
        CtlName::RuleRemoveTargetById => {
            let (rules, targets) = rules_and_targets(option, value, context)?;
            Some(Ctl::RuleRemoveTarget(ids(rules, context), targets))
        }
        CtlName::RuleRemoveTargetByMsg => {
            let (rules, targets) = rules_and_targets(option, value, context)?;
            Some(Ctl::RuleRemoveTarget(RuleSelector::Msg(text(rules)), targets))
        }
        CtlName::RuleRemoveTargetByTag => {
            let (rules, targets) = rules_and_targets(option, value, context)?;
            Some(Ctl::RuleRemoveTarget(RuleSelector::Tag(text(rules)), targets))
        }
        CtlName::HashEnforcement | CtlName::HashEngine | CtlName::ParseXmlIntoArgs => {
            context.warn(Kind::NoEffect, whole, format!("`ctl:{option}` has no effect here"));
            Some(Ctl::NoEffect(option))
        }
    }
}

fn ids(word: Word<'_>, context: &mut Context) -> RuleSelector {
    RuleSelector::Ids(selector::ids(word, Kind::InvalidValue, context).into_boxed_slice())
}

/// `rules;targets` in two.
fn rules_and_targets<'a>(option: CtlName, value: Word<'a>, context: &mut Context) -> Option<(Word<'a>, Box<[Target]>)> {
    let Some((rules, list)) = value.split_once(b';') else {
        let hint = format!("write `ctl:{option}=RULE;VARIABLE`");
        context.error_hint(
            Kind::InvalidValue,
            value,
            format!("`ctl:{option}` needs a rule and a variable"),
            &hint,
        );
        return None;
    };
    let list = variables(list, b"|", context);
    Some((unquoted(rules.trim()), targets::targets(&list, context)))
}

fn parts_change(value: Word<'_>, context: &mut Context) -> Option<PartsChange> {
    if let Some(parts) = value.strip(b'+') {
        return audit_parts(parts, Kind::InvalidValue, context).map(PartsChange::Add);
    }
    if let Some(parts) = value.strip(b'-') {
        return audit_parts(parts, Kind::InvalidValue, context).map(PartsChange::Remove);
    }
    audit_parts(value, Kind::InvalidValue, context).map(PartsChange::Set)
}

fn unquoted(word: Word<'_>) -> Word<'_> {
    let bytes = word.bytes();
    let is_quoted = bytes.len() >= 2 && bytes.first() == Some(&b'\'') && bytes.last() == Some(&b'\'');
    if is_quoted { word.part(1, bytes.len() - 1) } else { word }
}
