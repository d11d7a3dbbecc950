//! What the parser has to say about a source: a kind for programs, a span, a message and a hint for people. No IO.

use std::fmt;

use crate::names::Names;
use crate::span::{SourceId, Span};

mod render;

pub use render::render;

/// At most so many diagnostics are kept of one source, so that a hostile one can't fill the memory; the last one then says how
/// many more there were.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Whether a finding stops the rules from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The rules work, but perhaps not as their author thinks.
    Warning,
    /// The rules can't be used.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding in one source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// What it is about, for programs.
    pub kind: Kind,
    /// Whether the rules can still be used.
    pub severity: Severity,
    /// The bytes it is about.
    pub span: Span,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What to do about it, if that can be said.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(kind: Kind, span: Span, message: impl Into<String>) -> Self {
        Self {
            kind,
            severity: Severity::Error,
            span,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning.
    pub fn warning(kind: Kind, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(kind, span, message)
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same with the nearest known name as advice, if there is one.
    #[must_use]
    pub(crate) fn suggest(self, prefix: &str, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.hint(format!("did you mean `{prefix}{name}`?")),
            None => self,
        }
    }
}

/// A finding of [`lower`](crate::lower), which reads several sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDiagnostic {
    /// The source that the span is of.
    pub source: SourceId,
    /// The finding.
    pub diagnostic: Diagnostic,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// What a diagnostic is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// A stable name in kebab case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    // The text.
    /// The source is longer than [`MAX_SOURCE_BYTES`](crate::span::MAX_SOURCE_BYTES).
    SourceTooLarge = "source-too-large",
    /// The source ends after a `\`: it would swallow the first line of the next source.
    UnclosedContinuation = "unclosed-continuation",
    /// The source ends inside the back-ticks of a `SecDataset`.
    UnclosedBacktick = "unclosed-backtick",
    /// A quoted text has no closing quote on its logical line.
    UnclosedQuote = "unclosed-quote",
    /// There were more than [`MAX_DIAGNOSTICS`] findings.
    TooManyDiagnostics = "too-many-diagnostics",

    // Directives.
    /// No directive has this name.
    UnknownDirective = "unknown-directive",
    /// A directive lacks an argument.
    MissingArgument = "missing-argument",
    /// A directive has an argument too many.
    UnexpectedArgument = "unexpected-argument",
    /// An argument is not of the right type, not in range, or not one of the values that exist.
    InvalidArgument = "invalid-argument",
    /// It would read files, open connections or run programs.
    OutsideSandbox = "outside-sandbox",
    /// It is accepted and does nothing here.
    NoEffect = "no-effect",

    // Variables.
    /// No variable has this name.
    UnknownVariable = "unknown-variable",
    /// A variable list has an empty element or one that can't be read.
    MalformedVariable = "malformed-variable",
    /// A key on a variable that holds one value.
    KeyOnScalar = "key-on-scalar",
    /// `/pattern` without its closing `/`.
    UnclosedPattern = "unclosed-pattern",
    /// All targets of a rule are exclusions.
    NoTarget = "no-target",

    // Operators and transformations.
    /// No operator has this name.
    UnknownOperator = "unknown-operator",
    /// An operator lacks its argument.
    MissingOperand = "missing-operand",
    /// An operator's argument can't be used.
    InvalidOperand = "invalid-operand",
    /// No transformation has this name.
    UnknownTransformation = "unknown-transformation",

    // Actions.
    /// No action has this name.
    UnknownAction = "unknown-action",
    /// Nothing stands between two commas.
    EmptyAction = "empty-action",
    /// An action lacks its value.
    MissingValue = "missing-value",
    /// An action that takes no value has one.
    UnexpectedValue = "unexpected-value",
    /// An action's value can't be used.
    InvalidValue = "invalid-value",
    /// No `ctl` option has this name.
    UnknownCtl = "unknown-ctl",
    /// An action that counts once stands there twice.
    DuplicateAction = "duplicate-action",
    /// Two disruptive actions in one rule: the last one wins.
    ConflictingActions = "conflicting-actions",
    /// A rule id that is no positive number.
    InvalidId = "invalid-id",
    /// A rule without an id can't be excluded or found in a log.
    MissingId = "missing-id",
    /// Persistent collections (IP, SESSION, USER, GLOBAL, RESOURCE) don't exist here.
    PersistentCollection = "persistent-collection",
    /// `%{` without `}`, or with nothing in it.
    MalformedMacro = "malformed-macro",
    /// A macro of a variable that doesn't exist.
    UnknownMacro = "unknown-macro",

    // Rules in their order.
    /// The last rule says `chain`, and no rule follows: its chain never matches.
    ChainAtEnd = "chain-at-end",
    /// Something that only the first rule of a chain may have, or that can't stand inside a chain.
    InsideChain = "inside-chain",
    /// `SecDefaultAction` without `phase`.
    DefaultActionPhase = "default-action-phase",
    /// `SecDefaultAction` without a disruptive action.
    DefaultActionDisruptive = "default-action-disruptive",
    /// An action that can't be a default.
    DefaultActionForbidden = "default-action-forbidden",
    /// A second `SecDefaultAction` of the same phase.
    DuplicateDefaultAction = "duplicate-default-action",
    /// The updates of rules add too much.
    TooManyUpdates = "too-many-updates",
    /// An update or a removal matches no rule.
    MatchesNoRule = "matches-no-rule",

    // Found by the compiler, which knows the data files and compiles the patterns.
    /// Two rules have the same id.
    DuplicateId = "duplicate-id",
    /// `skipAfter` names a marker that isn't ahead of the rule.
    MissingMarker = "missing-marker",
    /// A rule reads a data file or dataset that isn't there.
    MissingFile = "missing-file",
    /// A regular expression that doesn't compile, or that a request could change.
    InvalidPattern = "invalid-pattern",
    /// It is part of the language, but the engine can't do it.
    Unsupported = "unsupported",
    /// More rules or larger patterns than may be compiled.
    TooLarge = "too-large",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Collects the diagnostics of one source, up to [`MAX_DIAGNOSTICS`].
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
    dropped: usize,
    worst: Option<Severity>,
    last: Span,
    errors: usize,
}

impl Diagnostics {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.is_full() {
            self.dropped += 1;
            self.worst = self.worst.max(Some(diagnostic.severity));
            self.last = diagnostic.span;
        } else {
            self.list.push(diagnostic);
        }
    }

    /// How many errors there are up to now, those that weren't kept included.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// The nearest known name, unless nobody would read it: to look for it costs more than all else that is done with a name.
    pub(crate) fn nearest<T: Copy>(&self, names: &Names<T>, name: &[u8]) -> Option<&'static str> {
        if self.is_full() { None } else { names.nearest(name) }
    }

    /// All of them in the order of the text.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| diagnostic.span);
        if let Some(severity) = self.worst {
            let message = format!("{} more findings are not shown", self.dropped);
            let rest = Diagnostic::warning(Kind::TooManyDiagnostics, self.last, message);
            self.list.push(Diagnostic { severity, ..rest });
        }
        self.list
    }

    fn is_full(&self) -> bool {
        self.list.len() + 1 >= MAX_DIAGNOSTICS
    }
}
