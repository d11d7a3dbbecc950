//! Rules as they run: every name resolved, every default filled in. No IO, no logic.

use std::sync::Arc;

use coraza_seclang::Location;
use coraza_seclang::rules::{
    AllowScope, Ctl, Logging, Phase, RuleId, RuleSelector, SetVar, Severity, TargetMode, Template, Transformation,
    Variable,
};

use super::operator::Test;
use super::patterns::PatternId;

/// A rule with the rest of its chain.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: Option<RuleId>,
    pub(crate) phase: Phase,
    pub(crate) location: Location,
    /// The name of its source, and its line there.
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    /// Never empty.
    pub(crate) members: Box<[Member]>,
    pub(crate) disruptive: Disruptive,
    /// The status that the rule or its defaults name.
    pub(crate) status: Option<u16>,
    pub(crate) logging: Logging,
    /// How many rules of the phase are left out after this one.
    pub(crate) skip: usize,
    /// The place in the phase at which it goes on, if not after this rule.
    pub(crate) jump: Option<usize>,
    pub(crate) tags: Box<[Template]>,
    pub(crate) rev: Box<[u8]>,
    pub(crate) ver: Box<[u8]>,
    pub(crate) maturity: u8,
    pub(crate) accuracy: u8,
}

/// One link of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What gives values, in order.
    pub(crate) targets: Box<[Target]>,
    /// What takes values away again.
    pub(crate) exclusions: Box<[Target]>,
    /// Whether there are no targets because it is a `SecAction`.
    pub(crate) unconditional: bool,
    pub(crate) test: Test,
    pub(crate) negated: bool,
    /// The operator as written, for events.
    pub(crate) operator: Arc<[u8]>,
    pub(crate) transformations: Box<[Transformation]>,
    pub(crate) multi_match: bool,
    pub(crate) capture: Capture,
    /// What it does for each value that matches, in order.
    pub(crate) actions: Box<[Action]>,
    pub(crate) severity: Option<Severity>,
    pub(crate) msg: Option<Template>,
    pub(crate) log_data: Option<Template>,
}

/// What is stored of a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Capture {
    #[default]
    Nothing,
    /// `TX:0`.
    Whole,
    /// `TX:0` to `TX:9`.
    Groups,
}

/// One element of a variable list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) mode: TargetMode,
    pub(crate) variable: Variable,
    pub(crate) selector: Selector,
}

/// Which values of a collection are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    All,
    /// In any case.
    Key(Box<[u8]>),
    /// A pattern over keys, in any case.
    Pattern(PatternId),
}

/// What a rule does for each value that matches.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    SetVar(Box<SetVar>),
    Ctl(Box<Ctl>),
    RemoveRules(Arc<RuleSelector>),
    RemoveTargets(Arc<TargetRemoval>),
}

/// Targets that some rules no longer have.
#[derive(Debug)]
pub(crate) struct TargetRemoval {
    pub(crate) rules: RuleSelector,
    pub(crate) targets: Box<[Target]>,
}

/// What becomes of the transaction after a match of the whole chain.
#[derive(Clone, Debug)]
pub(crate) enum Disruptive {
    Pass,
    Deny,
    Drop,
    Redirect(Template),
    Allow(AllowScope),
}

impl Rule {
    /// Whether it is one of the rules that a selector names. Tags and messages are compared as written.
    pub(crate) fn is_selected(&self, selector: &RuleSelector) -> bool {
        match selector {
            RuleSelector::Ids(ranges) => self.id.is_some_and(|id| ranges.iter().any(|range| range.contains(id))),
            RuleSelector::Tag(tag) => self.tags.iter().any(|own| own.text.bytes == tag.bytes),
            RuleSelector::Msg(text) => {
                let msg = self.members.first().and_then(|starter| starter.msg.as_ref());
                msg.is_some_and(|msg| msg.text.bytes == text.bytes)
            }
        }
    }
}
