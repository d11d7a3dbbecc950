//! `CompileError`: why a RuleSet can't be served. Each variant is one reason of the RuleSet's conditions.

use std::sync::Arc;

use coraza_ruleset::Oversized;

use crate::diagnostic::Diagnostics;
use crate::profile::{Profile, UnsupportedRule};

/// Why a RuleSet didn't compile. What was served before stays good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// `ReferencedRuleSourceInvalid`: sources have syntax errors of their own.
    #[error("{} has invalid rules", named(sources))]
    InvalidSource {
        /// The sources' names, in order.
        sources: Vec<Arc<str>>,
        /// What is wrong in them.
        diagnostics: Diagnostics,
    },
    /// `InvalidRuleSet`: the sources can't be used together, or not with this data.
    #[error("the RuleSet is invalid")]
    InvalidRuleSet {
        /// What is wrong.
        diagnostics: Diagnostics,
    },
    /// `UnsupportedRules`: the data plane can't do what some rules ask for.
    #[error("{}", profile.message(unsupported))]
    UnsupportedRules {
        /// What the data plane is.
        profile: Profile,
        /// The rules, by number; at least one.
        unsupported: Vec<UnsupportedRule>,
    },
    /// `OversizedRules`: rules and data are larger than allowed.
    #[error(transparent)]
    OversizedRules(#[from] Oversized),
}

impl CompileError {
    /// What is wrong with which line, where that can be said.
    #[must_use]
    pub const fn diagnostics(&self) -> Option<&Diagnostics> {
        match self {
            Self::InvalidSource { diagnostics, .. } | Self::InvalidRuleSet { diagnostics } => Some(diagnostics),
            Self::UnsupportedRules { .. } | Self::OversizedRules(_) => None,
        }
    }
}

/// How many sources a message names; the diagnostics name the others.
const MOST_NAMED: usize = 3;

fn named(sources: &[Arc<str>]) -> String {
    let names = sources
        .iter()
        .take(MOST_NAMED)
        .map(|name| &**name)
        .collect::<Vec<_>>()
        .join(", ");
    match sources.len().saturating_sub(MOST_NAMED) {
        0 => format!("RuleSource {names}"),
        more => format!("RuleSource {names} and {more} more"),
    }
}
