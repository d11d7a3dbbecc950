//! The directives of one source, each typed on its own: what a parsed source holds and many rule sets share. No IO.

use std::sync::Arc;

use super::action::{Action, ActionName, Phase, RuleId, Value};
use super::ctl::RuleSelector;
use super::operator::Operator;
use super::setting::Setting;
use super::text::{Template, Text};
use super::transformation::Transformation;
use super::variable::Target;
use crate::span::Span;

/// One directive of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What it says.
    pub kind: DirectiveKind,
    /// The whole directive, with its continuation lines.
    pub span: Span,
}

/// What a directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectiveKind {
    /// `SecRule` or `SecAction`.
    Rule(Arc<Definition>),
    /// A `SecRule` or `SecAction` with errors; the diagnostics say which. It stays to keep chains together.
    BrokenRule {
        /// Whether it asks for another rule to follow it in a chain.
        chain: bool,
    },
    /// `SecMarker`.
    Marker(Text),
    /// `SecDefaultAction`.
    DefaultAction(Arc<DefaultAction>),
    /// `SecRuleRemoveById`, `SecRuleRemoveByTag`, `SecRuleRemoveByMsg`.
    Remove(RuleSelector),
    /// `SecRuleUpdateTargetById`, `SecRuleUpdateTargetByTag`, `SecRuleUpdateTargetByMsg`.
    UpdateTargets(RuleSelector, TargetUpdate),
    /// `SecRuleUpdateActionById`.
    UpdateActions(ActionUpdate),
    /// A configuration directive.
    Setting(Setting),
}

/// One rule as written: one member of a chain, or a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Definition {
    /// What it looks at; empty for a `SecAction`.
    pub targets: Box<[Target]>,
    /// What it compares with; none for a `SecAction`, which always matches.
    pub operator: Option<Operator>,
    /// What it does.
    pub actions: Actions,
}

/// `SecDefaultAction`: what the rules after it that run in its phase do unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DefaultAction {
    /// The phase of these rules.
    pub phase: Phase,
    /// What they do, without `block`, which would stand for itself; the disruptive one is `pass` if there is none.
    pub actions: Actions,
}

/// A change of rules' targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetUpdate {
    /// What is added, exclusions too.
    pub targets: Box<[Target]>,
    /// What is taken away for it, if this is a replacement.
    pub replaced: Option<Box<[Target]>>,
}

/// A change of a rule's actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActionUpdate {
    /// The rule.
    pub id: RuleId,
    /// Which member of its chain: 0 is the first.
    pub member: u32,
    /// Replace those that count once, and are added to the others; never `id`, `phase` or `chain`.
    pub actions: Actions,
}

/// The actions of a rule, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(pub Box<[Action]>);

impl Actions {
    /// The last action of a name, which is the one that counts.
    pub fn last(&self, name: ActionName) -> Option<&Action> {
        self.0.iter().rev().find(|action| action.name == name)
    }

    /// Whether there is an action of this name.
    pub fn has(&self, name: ActionName) -> bool {
        self.last(name).is_some()
    }

    /// The rule's number.
    pub fn id(&self) -> Option<RuleId> {
        match self.last(ActionName::Id)?.value {
            Value::Id(id) => Some(id),
            _ => None,
        }
    }

    /// The phase, if one is written.
    pub fn phase(&self) -> Option<Phase> {
        match self.last(ActionName::Phase)?.value {
            Value::Phase(phase) => Some(phase),
            _ => None,
        }
    }

    /// The disruptive action that counts: the last one.
    pub fn disruptive(&self) -> Option<&Action> {
        self.0.iter().rev().find(|action| action.name.is_disruptive())
    }

    /// The message.
    pub fn msg(&self) -> Option<&Template> {
        self.last(ActionName::Msg).and_then(Action::template)
    }

    /// The tags, in order.
    pub fn tags(&self) -> impl Iterator<Item = &Template> {
        self.0
            .iter()
            .filter(|action| action.name == ActionName::Tag)
            .filter_map(Action::template)
    }

    /// The marker that `skipAfter` names.
    pub fn skip_after(&self) -> Option<&Text> {
        match &self.last(ActionName::SkipAfter)?.value {
            Value::Text(marker) => Some(marker),
            _ => None,
        }
    }

    /// The transformations that apply: those after the last `t:none`.
    pub fn transformations(&self) -> impl Iterator<Item = Transformation> {
        let all = || {
            self.0.iter().filter_map(|action| match action.value {
                Value::Transformation(transformation) => Some(transformation),
                _ => None,
            })
        };
        let ineffective = all()
            .enumerate()
            .filter(|(_, t)| *t == Transformation::None)
            .last()
            .map_or(0, |(at, _)| at + 1);
        all().skip(ineffective)
    }
}

impl Action {
    /// The value, where it is a text with macros.
    pub fn template(&self) -> Option<&Template> {
        match &self.value {
            Value::Template(template) => Some(template),
            _ => None,
        }
    }
}
