//! What a check finds. Pure.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    /// Something doesn't work, or will not the next time that it is needed.
    Problem,
    /// It couldn't be looked at.
    Unchecked,
    /// It works, and somebody should know.
    Warning,
}

/// What is the matter, how that is known, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// What is the matter, in a sentence.
    pub(crate) what: String,
    /// What was seen.
    pub(crate) evidence: String,
    /// A command, or what else to do.
    pub(crate) fix: String,
}

impl Finding {
    /// Something doesn't work.
    pub(crate) fn problem(what: impl Into<String>, evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Problem,
            what: what.into(),
            evidence: evidence.into(),
            fix: fix.into(),
        }
    }

    /// It works, and somebody should know.
    pub(crate) fn warning(what: impl Into<String>, evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::problem(what, evidence, fix)
        }
    }

    /// It couldn't be looked at, because of this.
    pub(crate) fn unchecked(what: impl Into<String>, why: &Unknown) -> Self {
        let fix = if why.forbidden {
            "run it as somebody who may read that, for example with --as or another --context"
        } else {
            "see that the API server answers, and try again"
        };
        Self {
            severity: Severity::Unchecked,
            ..Self::problem(what, why.why.clone(), fix)
        }
    }
}

/// Why something isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// What the API server said.
    pub(crate) why: String,
    /// Whether it is a matter of rights.
    pub(crate) forbidden: bool,
}

/// Something that was asked for, or why there is no answer.
pub(crate) type Known<T> = Result<T, Unknown>;

/// A check and what it found; nothing is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Checked {
    pub(crate) check: &'static str,
    /// What was looked at, in a few words.
    pub(crate) looked_at: String,
    pub(crate) findings: Vec<Finding>,
}
