//! Rules against values, one after the other as they are written: the plainest reading of the language, and so the measure of the
//! faster one. No IO.

use super::State;
use crate::collection::Bytes;
use crate::program::{Member, Rule, Scratch};
use crate::transformations::{self, Effect};
use crate::variables::Value;

impl State {
    /// Whether one link of a chain matches. All its values are looked at, and its actions run for each that matches.
    pub(super) fn member(&mut self, rule: &Rule, member: &Member, scratch: &mut Scratch) -> bool {
        let mut matches = false;
        for value in self.values(rule, member, scratch) {
            self.meter.charge(1);
            matches |= self.value(rule, member, &value, scratch);
        }
        if !matches {
            self.forget_match();
        }
        matches
    }

    /// Whether a value matches: as it is after all transformations, or with `multiMatch` before and after any of them.
    fn value(&mut self, rule: &Rule, member: &Member, value: &Value, scratch: &mut Scratch) -> bool {
        let unicode = self.program.settings().unicode_map;
        let mut current = Bytes::clone(&value.bytes);
        let mut transformed = Vec::new();
        let mut matches = member.multi_match && self.candidate(rule, member, value, &current, scratch);
        for transformation in &member.transformations {
            self.meter.charge(current.len() as u64);
            if transformations::apply(*transformation, unicode, &current, &mut transformed) == Effect::Changed {
                current = Bytes::from(transformed.as_slice());
                if member.multi_match {
                    matches |= self.candidate(rule, member, value, &current, scratch);
                }
            }
        }
        if member.multi_match {
            matches
        } else {
            self.candidate(rule, member, value, &current, scratch)
        }
    }

    /// Whether the operator matches these bytes; if so, everything that follows from it.
    fn candidate(&mut self, rule: &Rule, member: &Member, value: &Value, bytes: &Bytes, scratch: &mut Scratch) -> bool {
        let verdict = self.test(&member.test, bytes, member.capture, scratch);
        self.conclude(rule, member, value, bytes, verdict)
    }
}
