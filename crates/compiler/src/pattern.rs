//! Which regular expressions a directive has, and the verdict on one: whether it compiles, and how much work that took.

use std::borrow::Cow;
use std::ops::Range;

use coraza_engine::pattern::{self, ErrorKind, Limits, Pattern, PatternError};
use coraza_seclang::rules::{Actions, Ctl, Operand, Selector, Target, Template, Text, Value};
use coraza_seclang::{DirectiveKind, Span};

/// What a byte of a pattern's text costs against a byte of its automaton, measured: parsing is that much slower.
const STEPS_PER_BYTE: usize = 16;

/// Whether a pattern compiles. It depends on nothing but the pattern.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The work to come to it; the same each time, also when it is remembered.
    pub(crate) steps: u64,
    /// Why it doesn't.
    pub(crate) error: Option<PatternError>,
}

impl Verdict {
    /// Compiles a pattern. The result isn't kept: the data plane compiles its own.
    pub(crate) fn of(pattern: &[u8]) -> Self {
        let limits = Limits::default();
        let compiled = Pattern::compile(pattern, &limits);
        let automaton = match &compiled {
            Ok(pattern) => pattern.size(),
            Err(PatternError {
                kind: ErrorKind::TooLarge { .. } | ErrorKind::TooMuchCache { .. },
                ..
            }) => limits.automaton_bytes,
            Err(_) => 0,
        };
        let steps = pattern
            .len()
            .min(limits.pattern_bytes)
            .saturating_mul(STEPS_PER_BYTE)
            .saturating_add(automaton);
        Self {
            steps: u64::try_from(steps).unwrap_or(u64::MAX),
            error: compiled.err(),
        }
    }
}

/// A regular expression of a directive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PatternUse<'d> {
    /// The same for every transaction.
    Static(&'d Text),
    /// That of a selector.
    Selector(&'d Text),
    /// One with macros, which is known only per transaction.
    Dynamic(&'d Template),
}

/// A regular expression as the engine compiles it.
#[derive(Debug)]
pub(crate) struct Compilable<'d> {
    /// Its text, with the flags that it is compiled with.
    pub(crate) text: Cow<'d, [u8]>,
    written: &'d Text,
    flags: usize,
}

impl<'d> PatternUse<'d> {
    /// What is compiled at load.
    pub(crate) fn compilable(self) -> Result<Compilable<'d>, &'d Template> {
        match self {
            Self::Static(written) => Ok(Compilable {
                text: Cow::Borrowed(&written.bytes),
                written,
                flags: 0,
            }),
            Self::Selector(written) => Ok(Compilable {
                text: Cow::Owned(pattern::of_selector(written)),
                written,
                flags: pattern::SELECTOR_FLAGS.len(),
            }),
            Self::Dynamic(template) => Err(template),
        }
    }
}

impl Compilable<'_> {
    /// Where a part of the compiled text stands in the source.
    pub(crate) fn locate(&self, part: &Range<usize>) -> Span {
        let written = |at: usize| at.saturating_sub(self.flags);
        self.written.locate(written(part.start)..written(part.end))
    }

    /// The whole of it.
    pub(crate) fn span(&self) -> Span {
        self.written.span
    }
}

/// The regular expressions of a directive, in order.
pub(crate) fn patterns(directive: &DirectiveKind) -> Vec<PatternUse<'_>> {
    let mut found = Vec::new();
    match directive {
        DirectiveKind::Rule(rule) => {
            of_targets(&rule.targets, &mut found);
            if let Some(operator) = &rule.operator {
                match (&operator.operand, operator.pattern()) {
                    (Operand::Pattern, _) if !operator.argument.is_static() => {
                        found.push(PatternUse::Dynamic(&operator.argument));
                    }
                    (_, pattern) => found.extend(pattern.map(PatternUse::Static)),
                }
            }
            of_actions(&rule.actions, &mut found);
        }
        DirectiveKind::DefaultAction(defaults) => of_actions(&defaults.actions, &mut found),
        DirectiveKind::UpdateActions(update) => of_actions(&update.actions, &mut found),
        DirectiveKind::UpdateTargets(_, update) => {
            of_targets(&update.targets, &mut found);
            of_targets(update.replaced.as_deref().unwrap_or_default(), &mut found);
        }
        DirectiveKind::BrokenRule { .. }
        | DirectiveKind::Marker(_)
        | DirectiveKind::Remove(_)
        | DirectiveKind::Setting(_) => {}
    }
    found
}

fn of_actions<'d>(actions: &'d Actions, found: &mut Vec<PatternUse<'d>>) {
    for action in &actions.0 {
        if let Value::Ctl(ctl) = &action.value
            && let Ctl::RuleRemoveTarget(_, targets) = &**ctl
        {
            of_targets(targets, found);
        }
    }
}

fn of_targets<'d>(targets: &'d [Target], found: &mut Vec<PatternUse<'d>>) {
    found.extend(targets.iter().filter_map(|target| match &target.selector {
        Selector::Pattern(pattern) => Some(PatternUse::Selector(pattern)),
        Selector::All | Selector::Key(_) | Selector::Path(_) => None,
    }));
}
