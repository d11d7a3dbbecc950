//! `Program`: the rules of a rule set, ready to run. Immutable and shared by all transactions; no IO.

mod build;
mod captures;
mod compile;
mod lines;
mod lists;
mod operator;
mod patterns;
mod rule;
mod scratch;
mod settings;
mod sources;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coraza_seclang::SourceDiagnostic;
use coraza_seclang::rules::{Phase, Rules};

use crate::operators::words::Words;
use crate::pattern;
use crate::plan::Plan;

pub use build::ProgramBuilder;
pub(crate) use operator::Test;
pub(crate) use patterns::{Compiled, PatternId, Patterns};
pub(crate) use rule::{Action, Capture, Disruptive, Member, Rule, Selector, Target, TargetRemoval};
pub(crate) use scratch::Scratch;
pub use settings::{BodySettings, Settings};
pub use sources::RulesError;

/// Where rules find the files that they name: in memory, there is no other place.
pub trait DataFiles {
    /// The content of a file, if there is one of this name.
    fn read(&self, name: &[u8]) -> Option<&[u8]>;
}

impl<B: AsRef<[u8]>> DataFiles for BTreeMap<String, B> {
    fn read(&self, name: &[u8]) -> Option<&[u8]> {
        self.get(std::str::from_utf8(name).ok()?).map(AsRef::as_ref)
    }
}

impl DataFiles for () {
    fn read(&self, _: &[u8]) -> Option<&[u8]> {
        None
    }
}

/// A source of rules, for those who read logs: its name, and the text that [`Location`](coraza_seclang::Location)s are about.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it says.
    pub text: &'a [u8],
    /// The number of its first line: 1, or more for a part of a longer text.
    pub first_line: u32,
}

impl<'a> Source<'a> {
    /// A whole text.
    #[must_use]
    pub const fn new(name: &'a str, text: &'a [u8]) -> Self {
        Self {
            name,
            text,
            first_line: 1,
        }
    }
}

/// What a program is compiled with.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The sources of the rules, in order, so that matches can name file and line; without them they say none.
    pub sources: &'a [Source<'a>],
    /// The files of `pmFromFile` and `ipMatchFromFile`.
    pub files: &'a dyn DataFiles,
    /// The bounds of each regular expression.
    pub patterns: pattern::Limits,
    /// A program whose compiled patterns are taken over where the texts are the same, so that an edit costs what it changes.
    pub previous: Option<&'a Program>,
    /// How the program runs its rules.
    pub evaluation: Evaluation,
    /// The most work of one transaction, in bytes that are looked at, each as often as it is; what has to be made of a regular expression for
    /// a value costs more, whether an earlier transaction has made it or not. Past it regular expressions no longer match, `TX:MSC_PCRE_LIMITS_EXCEEDED` is 1, and as for a body that is too large
    /// `SecRequestBodyLimitAction` says whether the transaction ends.
    pub work_limit: u64,
}

/// What the options say of a program as a whole.
#[derive(Clone, Copy, Debug)]
struct Manner {
    evaluation: Evaluation,
    work_limit: u64,
}

impl From<&Options<'_>> for Manner {
    fn from(options: &Options<'_>) -> Self {
        Self {
            evaluation: options.evaluation,
            work_limit: options.work_limit,
        }
    }
}

/// About a quarter of a second in Envoy's WebAssembly, past which one request would stall all others of its worker for longer than people
/// wait. Measured there: a unit takes 1.06 ns with random printable text, the most expensive of the requests that `cargo xtask bench engine`
/// makes, and less with any other.
const WORK_LIMIT: u64 = 250_000_000;

/// How a program runs its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluation {
    /// By a plan that leaves out what can't match.
    #[default]
    Planned,
    /// Each rule on each of its values: slow, and simple enough to say what is right. The verdicts are the same, but for requests that
    /// reach the limit of work sooner.
    Naive,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            sources: &[],
            files: &(),
            patterns: pattern::Limits::default(),
            previous: None,
            evaluation: Evaluation::Planned,
            work_limit: WORK_LIMIT,
        }
    }
}

/// Rules that transactions run.
#[derive(Debug)]
pub struct Program {
    phases: [Box<[Rule]>; Phase::ALL.len()],
    patterns: Patterns,
    settings: Settings,
    /// `SecAuditLogRelevantStatus`, compiled.
    relevant_status: Option<pattern::Statuses>,
    /// `None`: naively.
    plan: Option<Plan>,
    work_limit: u64,
    /// What transactions need while they run and leave to the next one.
    scratch: Mutex<Vec<Scratch>>,
}

impl Program {
    /// Compiles rules.
    ///
    /// # Errors
    /// All that can't be run: unsupported operators, actions and paths, regular expressions beyond what finite automata can do,
    /// files that aren't there, jumps to markers that don't stand ahead, ids that two rules have.
    pub fn compile(rules: &Rules, options: &Options<'_>) -> Result<Self, Vec<SourceDiagnostic>> {
        let mut builder = ProgramBuilder::new(rules);
        while builder.step(options) {}
        builder.finish()
    }

    /// Whether [`compile`](Self::compile) would accept the rules, at a fraction of its cost: `judge` answers for the regular
    /// expressions, each with the flags that it is compiled with, in place of
    /// [`Pattern::compile`](pattern::Pattern::compile), whose verdicts can be remembered.
    ///
    /// # Errors
    /// Those of [`compile`](Self::compile).
    pub fn check(
        rules: &Rules,
        options: &Options<'_>,
        judge: &dyn Fn(&[u8]) -> Result<(), pattern::PatternError>,
    ) -> Result<(), Vec<SourceDiagnostic>> {
        ProgramBuilder::new(rules).check(options, judge)
    }

    fn new(
        phases: [Box<[Rule]>; Phase::ALL.len()],
        patterns: Patterns,
        settings: Settings,
        relevant_status: Option<pattern::Statuses>,
        plan: Option<Plan>,
        work_limit: u64,
    ) -> Self {
        Self {
            work_limit,
            plan,
            phases,
            patterns,
            settings,
            relevant_status,
            scratch: Mutex::default(),
        }
    }

    /// What the configuration directives say.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many rules there are; a chain is one.
    pub fn rules(&self) -> usize {
        self.phases.iter().map(|rules| rules.len()).sum()
    }

    pub(crate) fn phase(&self, phase: Phase) -> &[Rule] {
        self.phases
            .get(build::phase_index(phase))
            .map(|rules| &**rules)
            .unwrap_or_default()
    }

    /// Whether an answer with this status makes a transaction one for the audit log.
    pub(crate) fn is_relevant(&self, status: u16) -> bool {
        self.relevant_status
            .as_ref()
            .is_some_and(|statuses| statuses.contains(status))
    }

    pub(crate) fn work_limit(&self) -> u64 {
        self.work_limit
    }

    /// How many regular expressions there are, each counted once.
    pub fn patterns_len(&self) -> usize {
        self.patterns.len()
    }

    /// The memory of the match caches that no transaction uses at the moment, in bytes.
    pub fn cache_usage(&self) -> usize {
        let idle = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        idle.iter().map(Scratch::memory_usage).sum()
    }

    /// The memory of what was compiled, in bytes: regular expressions, words, the plan. Match caches aren't a part of it.
    pub fn memory_usage(&self) -> usize {
        let plan = self.plan.as_ref().map_or(0, Plan::memory_usage);
        // Rules may share their words.
        let words = self.words().map(|words| (Arc::as_ptr(words), words.memory_usage()));
        let words: BTreeMap<_, _> = words.collect();
        self.patterns.memory_usage() + words.values().sum::<usize>() + plan
    }

    /// The words of the rules; some may come more than once.
    fn words(&self) -> impl Iterator<Item = &Arc<Words>> {
        let members = self.phases.iter().flatten().flat_map(|rule| &rule.members);
        members.filter_map(|member| match &member.test {
            Test::Words(words) => Some(words),
            _ => None,
        })
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// Match caches that nobody uses, or new ones.
    pub(crate) fn take_scratch(&self) -> Scratch {
        // Nothing that can panic runs while the lock is held.
        let mut idle = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle.pop().unwrap_or_default();
        scratch.begin();
        scratch
    }

    /// Leaves match caches to the next transaction.
    pub(crate) fn return_scratch(&self, scratch: Scratch) {
        let mut idle = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(scratch);
    }
}
