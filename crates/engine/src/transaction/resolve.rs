//! Names to values: what the targets of a rule select, and what macros stand for. No IO.

use coraza_seclang::rules::{Macro, Part, TargetMode, Template, Variable};

use super::State;
use crate::collection::Bytes;
use crate::pattern::Search;
use crate::program::{Member, PatternId, Rule, Scratch, Selector, Target};
use crate::variables::{self, Value};

/// The longest text that macros may expand to, in bytes: room for any value that a rule copies on purpose, but none for one that
/// doubles with each match.
const MAX_EXPANDED: usize = 64 << 10;

impl State {
    /// The values that a rule looks at, in order.
    pub(super) fn values(&mut self, rule: &Rule, member: &Member, scratch: &mut Scratch) -> Vec<Value> {
        let removals = self.control.removed_targets(rule);
        let removed = removals.iter().flat_map(|removal| &removal.targets);
        let exclusions: Vec<&Target> = member.exclusions.iter().chain(removed).collect();
        let mut values = Vec::new();
        for target in &member.targets {
            let same = || {
                exclusions
                    .iter()
                    .filter(|exclusion| exclusion.variable == target.variable)
            };
            if same().any(|exclusion| matches!(exclusion.selector, Selector::All)) {
                continue;
            }
            let key = match &target.selector {
                Selector::Key(key) => Some(&**key),
                Selector::All | Selector::Pattern(_) => None,
            };
            let mut selected = self.entries(target.variable, key);
            selected.retain(|value| {
                self.is_selected(&target.selector, value, scratch)
                    && !same().any(|exclusion| self.is_selected(&exclusion.selector, value, scratch))
            });
            match target.mode {
                TargetMode::Count => values.push(count(target, selected.len())),
                TargetMode::Values | TargetMode::Exclude => values.append(&mut selected),
            }
        }
        self.meter.charge(scratch.take_work());
        values
    }

    /// The values of a variable; of a collection possibly only those of the key.
    fn entries(&self, variable: Variable, key: Option<&[u8]>) -> Vec<Value> {
        if variable == Variable::Rule {
            let keys: [&[u8]; 6] = [b"id", b"phase", b"rev", b"severity", b"msg", b"logdata"];
            let values = keys.iter().filter_map(|key| Some((*key, self.rule_value(key)?)));
            return values
                .map(|(key, bytes)| Value {
                    variable,
                    key: Some(key.into()),
                    bytes,
                })
                .collect();
        }
        if variable.is_collection() {
            return self.variables.entries(variable, key).collect();
        }
        vec![Value {
            variable,
            key: None,
            bytes: self.scalar(variable),
        }]
    }

    fn is_selected(&self, selector: &Selector, value: &Value, scratch: &mut Scratch) -> bool {
        match (selector, &value.key) {
            (Selector::All, _) => true,
            (Selector::Key(key), Some(own)) => own.eq_ignore_ascii_case(key),
            (Selector::Pattern(pattern), Some(own)) => {
                let search = self.search(*pattern, own, scratch);
                scratch.note(search.work);
                search.matches
            }
            (_, None) => false,
        }
    }

    /// Whether a pattern matches, as far as there is work left to find out.
    pub(super) fn search(&self, pattern: PatternId, value: &[u8], scratch: &mut Scratch) -> Search {
        let patterns = self.program.patterns();
        match patterns.get(pattern) {
            Some(compiled) => scratch.search(patterns, pattern, compiled, value, self.meter.left()),
            None => Search {
                matches: false,
                work: 0,
            },
        }
    }

    /// The value of a variable that holds one; empty if nothing has set it.
    fn scalar(&self, variable: Variable) -> Bytes {
        let number = |number: usize| Bytes::from(number.to_string().into_bytes());
        match variable {
            Variable::ArgsCombinedSize => {
                let (sources, _) = variables::sources(Variable::Args);
                let entries = sources.iter().flat_map(|source| self.variables.collection(*source));
                number(entries.map(|entry| entry.key.len() + entry.value.len()).sum())
            }
            Variable::FullRequest => self.full_request().into(),
            Variable::FullRequestLength => number(self.full_request().len()),
            _ => match self.clock.read(variable) {
                Some(time) => Bytes::from(time.into_bytes()),
                None => self.variables.get(variable).cloned().unwrap_or_default(),
            },
        }
    }

    /// Request line, headers and what was read of the body, as the manual says, whatever its type.
    fn full_request(&self) -> Vec<u8> {
        let line = self.variables.get(Variable::RequestLine);
        let mut request = [line.map(|line| &**line).unwrap_or_default(), b"\r\n"].concat();
        for header in self.variables.collection(Variable::RequestHeaders) {
            request.extend_from_slice(&[&*header.key, b": ", &*header.value, b"\r\n"].concat());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(&self.whole_body);
        request
    }

    /// `RULE`: what the rule that runs says about itself.
    fn rule_value(&self, key: &[u8]) -> Option<Bytes> {
        let (phase, at) = self.current?;
        let rule = self.program.phase(phase).get(at)?;
        let starter = rule.members.first()?;
        let value = match key.to_ascii_lowercase().as_slice() {
            b"id" => rule.id?.to_string().into_bytes(),
            b"phase" => phase.number().to_string().into_bytes(),
            b"rev" => rule.rev.to_vec(),
            b"severity" => starter.severity?.number().to_string().into_bytes(),
            b"msg" => starter.msg.as_ref()?.text.to_vec(),
            b"logdata" => starter.log_data.as_ref()?.text.to_vec(),
            _ => return None,
        };
        Some(value.into())
    }

    /// A text with its macros replaced, cut where it gets too long. What has no value is replaced by nothing.
    pub(crate) fn expand(&self, template: &Template) -> Vec<u8> {
        let mut expanded = Vec::with_capacity(template.text.len());
        for part in template.parts() {
            match part {
                Part::Literal(text) => expanded.extend_from_slice(text),
                Part::Macro(name) => {
                    if let Some(value) = self.macro_value(name) {
                        let room = MAX_EXPANDED.saturating_sub(expanded.len());
                        expanded.extend_from_slice(value.get(..room).unwrap_or(&value));
                    }
                }
            }
        }
        expanded
    }

    /// The same where it matters if something was cut, which then counts as a limit that was reached.
    pub(crate) fn expand_whole(&mut self, template: &Template) -> Vec<u8> {
        let expanded = self.expand(template);
        if expanded.len() >= MAX_EXPANDED && !template.is_static() {
            self.meter.exceed();
        }
        expanded
    }

    fn macro_value(&self, name: &Macro) -> Option<Bytes> {
        if !name.variable.is_collection() {
            return Some(self.scalar(name.variable));
        }
        let Some(key) = &name.key else {
            return self
                .variables
                .entries(name.variable, None)
                .next()
                .map(|value| value.bytes);
        };
        if name.variable == Variable::Rule {
            return self.rule_value(key);
        }
        let mut entries = self.variables.entries(name.variable, Some(key));
        entries.next().map(|value| value.bytes)
    }
}

/// How many values a target selects, as a value.
pub(super) fn count(target: &Target, count: usize) -> Value {
    let key = match &target.selector {
        Selector::Key(key) => Some(Bytes::from(&**key)),
        Selector::All | Selector::Pattern(_) => None,
    };
    Value {
        variable: target.variable,
        key,
        bytes: count.to_string().into_bytes().into(),
    }
}
