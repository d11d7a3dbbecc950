//! The typed model of the language, and the rules of a rule set in their order. No IO.
//!
//! A [`Definition`] is one `SecRule` as its source has it, shared by all rule sets that hold this source. A [`Rule`] is what
//! becomes of it in one of them: joined with the rest of its chain, with its defaults, after all updates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::span::Location;

pub mod action;
pub mod ctl;
pub mod definition;
pub mod directive;
pub mod operator;
pub mod setting;
pub mod text;
pub mod transformation;
pub mod variable;

pub use action::{Action, ActionName, AllowScope, Change, ExpireVar, Phase, RuleId, SetVar, Severity, Value};
pub use ctl::{BodyProcessor, Ctl, CtlName, IdRange, PartsChange, RuleSelector};
pub use definition::{ActionUpdate, Actions, DefaultAction, Definition, Directive, DirectiveKind, TargetUpdate};
pub use directive::DirectiveName;
pub use operator::{Country, Network, Operand, OperandKind, Operator, OperatorName};
pub use setting::{AuditEngine, AuditFormat, AuditParts, Dataset, EngineMode, LimitAction, Setting};
pub use text::{Macro, Part, Template, Text};
pub use transformation::Transformation;
pub use variable::{Selector, Target, TargetMode, Variable};

/// The rules of several sources, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Rules and markers.
    pub entries: Vec<Entry>,
    /// Configuration directives.
    pub settings: Vec<(Location, Setting)>,
}

/// A rule or a place between rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A rule with the rest of its chain.
    Rule(Rule),
    /// A place that `skipAfter` jumps to.
    Marker(Location, Text),
}

/// One rule, or one chain of rules, after updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number; rules without one can't be told apart.
    pub id: Option<RuleId>,
    /// When it runs, with the rest of its chain.
    pub phase: Phase,
    /// The rule itself, then the others of its chain; never empty.
    pub members: Vec<Member>,
    /// The defaults that were in force where it stands.
    pub defaults: Option<Arc<DefaultAction>>,
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it says; shared with the parsed source unless it was updated.
    pub definition: Arc<Definition>,
    /// Where it stands. The spans inside the definition are of this source, but for updates.
    pub location: Location,
    /// Where the updates that changed it stand, in the order in which they were applied.
    pub updates: Vec<Location>,
}

/// Which logs a match is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Logging {
    /// The error log.
    pub log: bool,
    /// The audit log.
    pub auditlog: bool,
}

impl Rules {
    /// The rules, without the markers.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Rule(rule) => Some(rule),
            Entry::Marker(..) => None,
        })
    }

    /// The markers with the places where they stand in `entries`.
    pub fn markers(&self) -> impl Iterator<Item = (usize, &Text)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| match entry {
            Entry::Rule(_) => None,
            Entry::Marker(_, label) => Some((at, label)),
        })
    }

    /// The datasets by name; of two with one name, the last.
    pub fn datasets(&self) -> BTreeMap<&[u8], &Dataset> {
        let datasets = self.settings.iter().filter_map(|(_, setting)| match setting {
            Setting::Dataset(dataset) => Some((&*dataset.name.bytes, dataset)),
            _ => None,
        });
        datasets.collect()
    }
}

impl Rule {
    /// The first rule of the chain, which has the id, the disruptive action and the flow.
    pub fn starter(&self) -> Option<&Member> {
        self.members.first()
    }

    /// The disruptive action that applies, after `block` was resolved; `None` is `pass`.
    pub fn disruptive(&self) -> Option<&Action> {
        let own = self
            .starter()
            .and_then(|starter| starter.definition.actions.disruptive());
        match own {
            Some(action) if action.name != ActionName::Block => Some(action),
            _ => self
                .defaults
                .as_ref()
                .and_then(|defaults| defaults.actions.disruptive()),
        }
    }

    /// Which logs a match is written to: all, unless the defaults or the rule itself say otherwise.
    pub fn logging(&self) -> Logging {
        let defaults = self.defaults.iter().flat_map(|defaults| &defaults.actions.0);
        let own = self
            .starter()
            .into_iter()
            .flat_map(|starter| &starter.definition.actions.0);
        defaults.chain(own).fold(
            Logging {
                log: true,
                auditlog: true,
            },
            |now, action| match action.name {
                ActionName::Log => Logging {
                    log: true,
                    auditlog: true,
                },
                ActionName::NoLog => Logging {
                    log: false,
                    auditlog: false,
                },
                ActionName::Auditlog => Logging { auditlog: true, ..now },
                ActionName::NoAuditlog => Logging { auditlog: false, ..now },
                _ => now,
            },
        )
    }

    /// The HTTP status that the rule or its defaults name.
    pub fn status(&self) -> Option<u32> {
        let own = self
            .starter()
            .and_then(|starter| starter.definition.actions.last(ActionName::Status));
        let action = own.or_else(|| self.defaults.as_ref()?.actions.last(ActionName::Status))?;
        match action.value {
            Value::Number(status) => Some(status),
            _ => None,
        }
    }
}
