//! Lists of actions: each name with a value of its type, and what may not stand together. No IO.

use super::argument::{digits, number};
use super::text::{template, text};
use super::{ctl, selector};
use crate::ast;
use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::parser::Context;
use crate::rules::{
    Action, ActionName, Actions, AllowScope, Change, ExpireVar, Phase, RuleId, SetVar, Severity, Transformation, Value,
    Variable,
};

/// The longest status code there is.
const MAX_STATUS: u64 = 599;

/// The actions of a list.
pub(super) fn actions(list: &[ast::Action<'_>], context: &mut Context) -> Actions {
    let mut actions = Vec::with_capacity(list.len());
    // One bit per name.
    let mut seen = 0_u64;
    let mut disruptive: Option<ActionName> = None;
    for written in list {
        let Some(name) = known(written.name, context) else {
            continue;
        };
        let bit = 1 << (name as u64);
        if !name.is_repeatable() && seen & bit != 0 {
            let message = format!("`{name}` stands here twice, the last one counts");
            context.warn(Kind::DuplicateAction, written.text, message);
        }
        seen |= bit;
        if name.is_disruptive()
            && let Some(other) = disruptive.replace(name).filter(|other| *other != name)
        {
            let message = format!("`{name}` replaces `{other}`: a rule has one disruptive action, the last one");
            context.warn(Kind::ConflictingActions, written.text, message);
        }
        if let Some(value) = value(name, written, context) {
            actions.push(Action {
                name,
                value,
                span: written.text.span(),
            });
        }
    }
    Actions(actions.into_boxed_slice())
}

fn known(name: Word<'_>, context: &mut Context) -> Option<ActionName> {
    let known = ActionName::parse(name.bytes());
    if known.is_none() {
        let nearest = context.diagnostics.nearest(&ActionName::NAMES, name.bytes());
        let message = format!("unknown action `{}`", name.shown());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::UnknownAction, name.span(), message).suggest("", nearest));
    }
    known
}

/// The value of an action; nothing if it can't be used.
fn value(name: ActionName, written: &ast::Action<'_>, context: &mut Context) -> Option<Value> {
    let given = written
        .value
        .map(|value| value.text)
        .filter(|value| !value.bytes().is_empty());
    if let Some(reason) = without_effect(name) {
        let message = format!("`{name}` has no effect here: {reason}");
        context.warn(Kind::NoEffect, written.text, message);
    }
    match name {
        ActionName::Allow => return allow(given, context),
        ActionName::SanitiseMatchedBytes => {
            return Some(given.map_or(Value::Nothing, |value| Value::Text(text(value))));
        }
        _ => {}
    }
    if takes_no_value(name) {
        if let Some(value) = given {
            let hint = if name == ActionName::Deny {
                "write `deny,status:403`"
            } else {
                "remove the colon and the value"
            };
            context.error_hint(Kind::UnexpectedValue, value, format!("`{name}` takes no value"), hint);
        }
        return Some(Value::Nothing);
    }
    let Some(word) = given else {
        context.error(Kind::MissingValue, written.text, format!("`{name}` needs a value"));
        return None;
    };
    of_name(name, word, written.text, context)
}

/// Why an action of ModSecurity 2 does nothing here, if it does nothing.
fn without_effect(name: ActionName) -> Option<&'static str> {
    use ActionName as A;
    Some(match name {
        A::Append | A::Prepend => "bodies are looked at, never changed",
        A::SetEnv => "rules run in a sandbox without an environment",
        A::Xmlns => "paths into documents have no prefixes",
        A::SanitiseArg
        | A::SanitiseMatched
        | A::SanitiseMatchedBytes
        | A::SanitiseRequestHeader
        | A::SanitiseResponseHeader => "values are cut in logs, not masked",
        A::SetSid | A::SetUid | A::SetRsc => "there are no persistent collections",
        _ => return None,
    })
}

fn takes_no_value(name: ActionName) -> bool {
    matches!(
        name,
        ActionName::Auditlog
            | ActionName::Block
            | ActionName::Capture
            | ActionName::Chain
            | ActionName::Deny
            | ActionName::Drop
            | ActionName::Log
            | ActionName::MultiMatch
            | ActionName::NoAuditlog
            | ActionName::NoLog
            | ActionName::Pass
            | ActionName::SanitiseMatched
    )
}

/// The value of an action that must have one.
fn of_name(name: ActionName, word: Word<'_>, whole: Word<'_>, context: &mut Context) -> Option<Value> {
    use ActionName as A;
    match name {
        A::Id => id(word, context).map(Value::Id),
        A::Phase => phase(word, context).map(Value::Phase),
        A::Severity => severity(word, context).map(Value::Severity),
        A::T => transformation(word, context).map(Value::Transformation),
        A::Ctl => ctl::ctl(word, context).map(|ctl| Value::Ctl(Box::new(ctl))),
        A::SetVar => set_var(word, context).map(|set_var| Value::SetVar(Box::new(set_var))),
        A::ExpireVar | A::DeprecateVar => expire_var(name, word, whole, context),
        A::InitCol => init_col(word, whole, context),
        A::SetEnv | A::Xmlns => pair(name, word, context),
        A::Status => in_range(word, 100, MAX_STATUS, context),
        A::Skip => in_range(word, 1, u64::from(u32::MAX), context),
        A::Maturity | A::Accuracy => in_range(word, 0, 9, context),
        A::Pause => in_range(word, 0, u64::from(u32::MAX), context),
        A::Exec => {
            let hint = "rules run in a sandbox without files, network and programs";
            context.error_hint(
                Kind::OutsideSandbox,
                whole,
                "`exec` can't be used: it runs a program",
                hint,
            );
            None
        }
        A::Rev | A::Ver | A::SkipAfter | A::SanitiseArg | A::SanitiseRequestHeader | A::SanitiseResponseHeader => {
            Some(Value::Text(text(word)))
        }
        // All others are texts with macros.
        _ => Some(Value::Template(template(word, context))),
    }
}

fn in_range(word: Word<'_>, least: u64, most: u64, context: &mut Context) -> Option<Value> {
    let value = number(word, least, most, Kind::InvalidValue, context)?;
    u32::try_from(value).ok().map(Value::Number)
}

fn id(word: Word<'_>, context: &mut Context) -> Option<RuleId> {
    // ModSecurity's ids are signed 64 bit numbers.
    let most = i64::MAX.unsigned_abs();
    let id = digits(word.bytes()).filter(|id| (1..=most).contains(id)).map(RuleId);
    if id.is_none() {
        let message = format!("`{}` is no rule id", word.shown());
        context.error_hint(Kind::InvalidId, word, message, "an id is a whole number of at least 1");
    }
    id
}

fn phase(word: Word<'_>, context: &mut Context) -> Option<Phase> {
    let phase = Phase::parse(word.bytes());
    if phase.is_none() {
        let message = format!("`{}` is no phase", word.shown());
        context.error_hint(
            Kind::InvalidValue,
            word,
            message,
            "the phases are 1 to 5, `request`, `response` and `logging`",
        );
    }
    phase
}

fn severity(word: Word<'_>, context: &mut Context) -> Option<Severity> {
    let severity = Severity::parse(word.bytes());
    if severity.is_none() {
        let message = format!("`{}` is no severity", word.shown());
        let hint = "the severities are 0 to 7, or EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO and DEBUG";
        context.error_hint(Kind::InvalidValue, word, message, hint);
    }
    severity
}

fn transformation(word: Word<'_>, context: &mut Context) -> Option<Transformation> {
    let transformation = Transformation::parse(word.bytes());
    if transformation.is_none() {
        let nearest = context.diagnostics.nearest(&Transformation::NAMES, word.bytes());
        let message = format!("unknown transformation `{}`", word.shown());
        let diagnostic = Diagnostic::error(Kind::UnknownTransformation, word.span(), message);
        context.diagnostics.push(diagnostic.suggest("t:", nearest));
    }
    transformation
}

fn allow(word: Option<Word<'_>>, context: &mut Context) -> Option<Value> {
    let Some(word) = word else {
        return Some(Value::Allow(AllowScope::Transaction));
    };
    match word.bytes().to_ascii_lowercase().as_slice() {
        b"phase" => Some(Value::Allow(AllowScope::Phase)),
        b"request" => Some(Value::Allow(AllowScope::Request)),
        _ => {
            let message = format!("`allow` can't let `{}` pass", word.shown());
            context.error_hint(
                Kind::InvalidValue,
                word,
                message,
                "write `allow`, `allow:phase` or `allow:request`",
            );
            None
        }
    }
}

/// `collection.key`, both there.
fn collection_and_key<'a>(word: Word<'a>, context: &mut Context) -> Option<(Variable, Word<'a>)> {
    let at = word.bytes().iter().position(|byte| matches!(byte, b'.' | b':'));
    let (name, key) = at.map_or((word, word.from(word.bytes().len())), |at| {
        (word.part(0, at), word.from(at + 1))
    });
    let collection = selector::collection(name, context)?;
    if key.bytes().is_empty() {
        let message = format!("a key of `{collection}` is missing");
        context.error_hint(Kind::InvalidValue, word, message, "write `tx.name`");
        return None;
    }
    Some((collection, key))
}

/// `tx.a=b`, `tx.a=+1`, `tx.a=-1`, `tx.a`, `!tx.a`.
fn set_var(word: Word<'_>, context: &mut Context) -> Option<SetVar> {
    let removed = word.strip(b'!');
    let assigned = removed.unwrap_or(word);
    let (left, right) = assigned
        .split_once(b'=')
        .map_or((assigned, None), |(left, right)| (left, Some(right)));
    let (collection, key) = collection_and_key(left.trim(), context)?;
    if collection.is_persistent() {
        let message = format!("`setvar` has no effect on `{collection}` here: there are no persistent collections");
        let warning = Diagnostic::warning(Kind::PersistentCollection, word.span(), message);
        context
            .diagnostics
            .push(warning.hint("use TX, which lives as long as the transaction"));
    } else if collection != Variable::Tx {
        context.error(
            Kind::InvalidValue,
            left,
            format!("`setvar` changes TX only, not `{collection}`"),
        );
    }
    if removed.is_some() && right.is_some() {
        context.error(
            Kind::InvalidValue,
            word,
            "`!` removes a variable, so nothing can be assigned",
        );
    }
    let change = match right.map(Word::trim) {
        None if removed.is_some() => Change::Remove,
        None => Change::Set(one(left)),
        Some(value) => match (value.strip(b'+'), value.strip(b'-')) {
            (Some(amount), _) => Change::Add(template(amount, context)),
            (_, Some(amount)) => Change::Subtract(template(amount, context)),
            _ => Change::Set(template(value, context)),
        },
    };
    Some(SetVar {
        collection,
        key: template(key, context),
        change,
    })
}

/// What a variable is set to when nothing is written.
fn one(place: Word<'_>) -> crate::rules::Template {
    let end = place.from(place.bytes().len()).span();
    let text = crate::rules::Text {
        bytes: Box::from(&b"1"[..]),
        span: end,
    };
    crate::rules::Template {
        text,
        macros: Box::default(),
    }
}

fn expire_var(name: ActionName, word: Word<'_>, whole: Word<'_>, context: &mut Context) -> Option<Value> {
    let Some((left, after)) = word.split_once(b'=') else {
        context.error(
            Kind::InvalidValue,
            word,
            format!("`{name}` needs `collection.key=value`"),
        );
        return None;
    };
    let (collection, key) = collection_and_key(left.trim(), context)?;
    context.warn(
        Kind::NoEffect,
        whole,
        format!("`{name}` has no effect here: there are no persistent collections"),
    );
    let expire = ExpireVar {
        collection,
        key: template(key, context),
        after: template(after.trim(), context),
    };
    Some(Value::ExpireVar(Box::new(expire)))
}

fn init_col(word: Word<'_>, whole: Word<'_>, context: &mut Context) -> Option<Value> {
    let Some((name, key)) = word.split_once(b'=') else {
        context.error(Kind::InvalidValue, word, "`initcol` needs `collection=key`");
        return None;
    };
    let collection = selector::collection(name.trim(), context)?;
    context.warn(
        Kind::NoEffect,
        whole,
        "`initcol` has no effect here: there are no persistent collections",
    );
    Some(Value::InitCol(collection, template(key.trim(), context)))
}

/// `name=value`; an environment variable may be named alone.
fn pair(name: ActionName, word: Word<'_>, context: &mut Context) -> Option<Value> {
    let (left, right) = match word.split_once(b'=') {
        Some((left, right)) if !left.trim().bytes().is_empty() => (left, right),
        None if name == ActionName::SetEnv => (word, word.from(word.bytes().len())),
        _ => {
            context.error(Kind::InvalidValue, word, format!("`{name}` needs `name=value`"));
            return None;
        }
    };
    Some(Value::Pair(Box::new((
        text(left.trim()),
        template(right.trim(), context),
    ))))
}
