//! `ProgramBuilder`: compiles a program in steps, each small enough to be taken between two requests. No IO.

use std::borrow::Borrow;
use std::collections::HashMap;

use coraza_seclang::rules::{self, Entry, Phase, RuleId, Rules, Setting, Text};
use coraza_seclang::{Diagnostic, Kind, Location, MAX_DIAGNOSTICS, SourceDiagnostic};

use super::captures;
use super::compile::Compilation;
use super::lines::Lines;
use super::lists::Lists;
use super::patterns::Patterns;
use super::rule::{Member, Rule};
use super::{Evaluation, Manner, Options, Program, Settings};
use crate::pattern::{PatternError, Statuses};
use crate::plan::Planner;

/// Answers whether a pattern compiles, in place of compiling it.
pub(super) type Judge<'a> = dyn Fn(&[u8]) -> Result<(), PatternError> + 'a;

/// A program on its way: [`step`](Self::step) until there is nothing left to do, then [`finish`](Self::finish).
///
/// A step compiles one link of a chain, so one operator with its regular expression or a part of its words, which takes some milliseconds
/// at most: a thread that serves requests can compile between them. Then rules are planned, one at a step, and what finds those that may match
/// is filled, some thousand strings at a step. `R` holds the rules: `Rules`, `&Rules`, an `Arc` of them.
///
/// ```
/// use std::sync::Arc;
///
/// use coraza_engine::{Options, ProgramBuilder};
/// use coraza_seclang::{lower, parse};
///
/// let (rules, _) = lower(&[Arc::new(parse(b"SecAction \"id:1,phase:1,pass\""))]);
/// let mut builder = ProgramBuilder::new(rules);
/// while builder.step(&Options::default()) {
///     // Somebody else's turn.
/// }
/// assert_eq!(builder.finish().unwrap().rules(), 1);
/// ```
#[derive(Debug)]
pub struct ProgramBuilder<R> {
    rules: R,
    /// The place in `rules.entries` whose turn it is.
    at: usize,
    /// How many links of that rule's chain are done.
    links: usize,
    /// They themselves, if they are kept.
    members: Vec<Member>,
    ids: HashMap<RuleId, Location>,
    /// Where the markers of each label stand in `rules.entries`, ascending.
    labels: HashMap<Box<[u8]>, Vec<usize>>,
    /// The compiled rules with the place that each jumps to.
    compiled: Vec<(Rule, Option<usize>)>,
    /// The rules of each phase, as places in `rules.entries`.
    places: [Vec<usize>; Phase::ALL.len()],
    /// `SecAuditLogRelevantStatus`; `None` before the step that compiles it.
    relevant_status: Option<Option<Statuses>>,
    /// As the options of the last step have it.
    manner: Manner,
    /// The rules of each phase once all are compiled, and their plan on its way.
    arranged: Option<Arranged>,
    parts: Parts,
    /// For the test that it makes no difference what nobody reads.
    #[cfg(test)]
    pub(crate) captures_everything: bool,
}

/// Rules in the order in which they run.
#[derive(Debug)]
struct Arranged {
    phases: [Vec<Rule>; Phase::ALL.len()],
    /// `None`: naively.
    planner: Option<Planner>,
}

/// What the rules of a program share.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) patterns: Patterns,
    pub(super) lists: Lists,
    pub(super) lines: Lines,
    pub(super) errors: Vec<SourceDiagnostic>,
}

impl<R: Borrow<Rules>> ProgramBuilder<R> {
    /// Begins; nothing is compiled yet.
    pub fn new(rules: R) -> Self {
        let mut labels = HashMap::new();
        for (at, label) in rules.borrow().markers() {
            labels.entry(label.bytes.clone()).or_insert_with(Vec::new).push(at);
        }
        Self {
            at: 0,
            links: 0,
            members: Vec::new(),
            ids: HashMap::new(),
            labels,
            compiled: Vec::new(),
            places: Default::default(),
            relevant_status: None,
            manner: Manner::from(&Options::default()),
            arranged: None,
            parts: Parts {
                lists: Lists::new(rules.borrow()),
                ..Parts::default()
            },
            #[cfg(test)]
            captures_everything: false,
            rules,
        }
    }

    /// Does one more step, and says whether there was anything to do. `options` should be the same in each.
    pub fn step(&mut self, options: &Options<'_>) -> bool {
        self.manner = Manner::from(options);
        self.step_by(options, None) || self.parts.errors.is_empty() && self.plan()
    }

    /// The program, which is whole only after the last step.
    ///
    /// # Errors
    /// As for [`Program::compile`].
    pub fn finish(mut self) -> Result<Program, Vec<SourceDiagnostic>> {
        if !self.parts.errors.is_empty() {
            return Err(self.parts.errors);
        }
        while self.plan() {}
        let arranged = self.arranged.take();
        let (phases, planner) = arranged.map_or_else(Default::default, |arranged| (arranged.phases, arranged.planner));
        Ok(Program::new(
            phases.map(Vec::into_boxed_slice),
            self.parts.patterns,
            Settings::of(self.rules.borrow()),
            self.relevant_status.flatten(),
            planner.map(Planner::finish),
            self.manner.work_limit,
        ))
    }

    /// Does one more step with rules that are compiled, and says whether there was anything to do.
    fn plan(&mut self) -> bool {
        let Some(Arranged { phases, planner }) = &mut self.arranged else {
            self.arranged = Some(self.arrange());
            return true;
        };
        let patterns = &self.parts.patterns;
        planner.as_mut().is_some_and(|planner| planner.step(phases, patterns))
    }

    fn arrange(&mut self) -> Arranged {
        let mut phases: [Vec<Rule>; Phase::ALL.len()] = Default::default();
        for (mut rule, jump) in std::mem::take(&mut self.compiled) {
            let phase = phase_index(rule.phase);
            let after = |marker: usize| {
                let places = self.places.get(phase)?;
                Some(places.partition_point(|place| *place < marker))
            };
            rule.jump = jump.and_then(after);
            if let Some(rules) = phases.get_mut(phase) {
                rules.push(rule);
            }
        }
        #[cfg(test)]
        let narrow = !self.captures_everything;
        #[cfg(not(test))]
        let narrow = true;
        if narrow {
            captures::narrow(&mut phases, &self.parts.patterns);
        }
        Arranged {
            phases,
            planner: (self.manner.evaluation == Evaluation::Planned).then(Planner::default),
        }
    }

    /// All steps, with `judge` in place of what takes time: nothing is built.
    pub(super) fn check(mut self, options: &Options<'_>, judge: &Judge<'_>) -> Result<(), Vec<SourceDiagnostic>> {
        while self.step_by(options, Some(judge)) {}
        if self.parts.errors.is_empty() {
            Ok(())
        } else {
            Err(self.parts.errors)
        }
    }

    fn step_by(&mut self, options: &Options<'_>, judge: Option<&Judge<'_>>) -> bool {
        let rules = self.rules.borrow();
        if self.parts.errors.len() >= MAX_DIAGNOSTICS {
            return false;
        }
        let compilation = &mut Compilation {
            rules,
            options,
            judge,
            parts: &mut self.parts,
        };
        let rule = loop {
            match rules.entries.get(self.at) {
                Some(Entry::Rule(rule)) => break rule,
                Some(Entry::Marker(..)) => self.at += 1,
                None if self.relevant_status.is_some() => return false,
                None => {
                    self.relevant_status = Some(relevant_status(rules, compilation));
                    return true;
                }
            }
        };
        if let Some(member) = rule.members.get(self.links) {
            let operator = member.definition.operator.as_ref();
            if operator.is_some_and(|operator| compilation.make_words(operator)) {
                return true;
            }
            let known = compilation.parts.errors.len();
            let built = compilation.member(rule, member, self.links == 0);
            // What an update brought stands in the update's source; that of its parts isn't known any more.
            if let Some(update) = member.updates.last() {
                for error in compilation.parts.errors.iter_mut().skip(known) {
                    (error.source, error.diagnostic.span) = (update.source, update.span);
                }
            }
            self.members.extend(built);
            self.links += 1;
            return true;
        }
        let built = compilation.rule(rule, std::mem::take(&mut self.members));
        check_id(rule, &mut self.ids, compilation);
        let jump = skip_after(rule).and_then(|label| marker(rule, label, self.at, &self.labels, compilation));
        if let Some(built) = built {
            self.compiled.push((built, jump));
            if let Some(places) = self.places.get_mut(phase_index(rule.phase)) {
                places.push(self.at);
            }
        }
        self.at += 1;
        self.links = 0;
        true
    }
}

/// 0 to 4.
pub(super) fn phase_index(phase: Phase) -> usize {
    usize::from(phase.number()) - 1
}

/// The statuses that make a transaction one for the audit log; of several directives the last one counts.
fn relevant_status(rules: &Rules, compilation: &mut Compilation<'_>) -> Option<Statuses> {
    let (location, pattern) = rules
        .settings
        .iter()
        .rev()
        .find_map(|(location, setting)| match setting {
            Setting::AuditLogRelevantStatus(pattern) => Some((location, pattern)),
            _ => None,
        })?;
    let statuses = Statuses::matching(pattern);
    statuses
        .map_err(|error| {
            let span = pattern.locate(error.span.clone());
            let diagnostic = Diagnostic::error(Kind::InvalidPattern, span, error.to_string());
            compilation.error(location.source, diagnostic.hint(error.hint()));
        })
        .ok()
}

fn check_id(rule: &rules::Rule, ids: &mut HashMap<RuleId, Location>, compilation: &mut Compilation<'_>) {
    let (Some(id), Some(starter)) = (rule.id, rule.starter()) else {
        return;
    };
    if ids.insert(id, starter.location).is_some() {
        let message = format!("another rule has the id {id} already");
        let diagnostic = Diagnostic::error(Kind::DuplicateId, starter.location.span, message);
        compilation.error(starter.location.source, diagnostic.hint("give each rule its own id"));
    }
}

/// The marker that a rule jumps to, by itself or by its defaults.
fn skip_after(rule: &rules::Rule) -> Option<&Text> {
    let own = rule
        .starter()
        .and_then(|starter| starter.definition.actions.skip_after());
    own.or_else(|| rule.defaults.as_ref()?.actions.skip_after())
}

/// The place of a marker after the rule at `at`.
fn marker(
    rule: &rules::Rule,
    label: &Text,
    at: usize,
    labels: &HashMap<Box<[u8]>, Vec<usize>>,
    compilation: &mut Compilation<'_>,
) -> Option<usize> {
    let places = labels.get(&*label.bytes).map(Vec::as_slice).unwrap_or_default();
    let ahead = places.get(places.partition_point(|place| *place <= at)).copied();
    if ahead.is_none()
        && let Some(starter) = rule.starter()
    {
        let message = format!("skipAfter jumps to `{label}`, which doesn't stand after the rule");
        let diagnostic = Diagnostic::error(Kind::MissingMarker, starter.location.span, message);
        let hint = format!("add `SecMarker {label}` after the rules that are to be skipped");
        compilation.error(starter.location.source, diagnostic.hint(hint));
    }
    ahead
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coraza_seclang::{lower, parse};

    use super::*;
    use crate::program::PatternId;

    fn rules(text: &str) -> Rules {
        let (rules, diagnostics) = lower(&[Arc::new(parse(text.as_bytes()))]);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        rules
    }

    const RULES: &str = r#"SecRule ARGS "@rx a+" "id:1,phase:1,pass,chain"
    SecRule ARGS:/^x/ "@rx b+" "chain"
        SecRule ARGS "@pm c d" "t:none"
SecMarker END
SecRule ARGS "@rx a+" "id:2,phase:1,pass""#;

    #[test]
    fn a_step_compiles_one_link_of_a_chain() {
        let mut builder = ProgramBuilder::new(rules(RULES));
        let mut patterns = Vec::new();
        while builder.step(&Options::default()) {
            patterns.push(builder.parts.patterns.len());
        }
        // Three links and the whole rule; one link and the whole rule; the settings.
        assert_eq!(patterns.get(..7), Some(&[1, 3, 3, 3, 3, 3, 3][..]));
        // The order of the rules; a plan for each; two filters, and that of the request has clauses.
        assert_eq!(patterns.len(), 7 + 1 + 2 + 2 + 1);
        assert!(!builder.step(&Options::default()), "there is nothing left to do");
        assert_eq!(builder.finish().unwrap().rules(), 2);
    }

    #[test]
    fn patterns_are_taken_over_from_the_program_before() {
        let first = Program::compile(&rules(RULES), &Options::default()).unwrap();
        let options = Options {
            previous: Some(&first),
            ..Options::default()
        };
        let edited = rules(&RULES.replace("b+", "e+"));
        let second = Program::compile(&edited, &options).unwrap();
        let shared = (0..3).map(PatternId::from).map(|id| {
            let compiled = [&first, &second].map(|program| program.patterns().get(id).unwrap());
            Arc::ptr_eq(compiled[0], compiled[1])
        });
        assert_eq!(
            shared.collect::<Vec<_>>(),
            [true, true, false],
            "`a+`, `^x` and what was `b+`"
        );
    }

    #[test]
    fn rules_are_judged_without_building_anything() {
        let asked = std::cell::RefCell::new(Vec::new());
        let judge = |pattern: &[u8]| {
            asked.borrow_mut().push(String::from_utf8_lossy(pattern).into_owned());
            crate::pattern::Pattern::compile(pattern, &crate::pattern::Limits::default()).map(|_| ())
        };
        assert_eq!(Program::check(&rules(RULES), &Options::default(), &judge), Ok(()));
        assert_eq!(asked.take(), ["a+", "(?i)^x", "b+", "a+"]);
        let bad = rules("SecRule ARGS (?=a) id:1\nSecRule ARGS \"@pmFromFile none\" id:1");
        let compiled = Program::compile(&bad, &Options::default()).err();
        assert_eq!(compiled.as_ref().map(Vec::len), Some(3));
        assert_eq!(Program::check(&bad, &Options::default(), &judge).err(), compiled);
    }
}
