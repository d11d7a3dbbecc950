//! `Determinizer`: from a set of states of an NFA to the next one. No IO.
//!
//! A set has the states that wait for a byte, and the anchors and boundaries that can't be judged before it is known.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::{Look, LookMatcher};
use regex_automata::util::primitives::StateID;

use super::Dfa;

/// Nothing is before the text's first byte.
pub(super) const START: u8 = 0;
/// A byte that stands for all that matter to no anchor or boundary.
const OTHER: u8 = b' ';

/// Makes sets; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct Determinizer {
    /// States that needn't be followed again.
    seen: Set,
    /// Those of the set that is being made.
    kept: Set,
    stack: Vec<StateID>,
    /// The members of the set that was made last, ascending.
    members: Vec<u16>,
    /// States of the set before that wait for a byte once its anchors are judged.
    waiting: Vec<u16>,
}

/// What is known once a set is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The pattern matches.
    Match,
    /// It can't any more.
    Dead,
    /// A set, and what matters of the byte before it.
    State { before: u8 },
}

/// What comes after a place, where it matters.
#[derive(Clone, Copy, Debug)]
enum After {
    Unknown,
    Byte(u8),
    End,
}

impl Determinizer {
    pub(super) fn memory_usage(&self) -> usize {
        let words = self.seen.0.capacity() + self.kept.0.capacity();
        let small = self.members.capacity() + self.waiting.capacity();
        words * size_of::<u64>() + small * size_of::<u16>() + self.stack.capacity() * size_of::<StateID>()
    }

    /// The set of the text's beginning.
    pub(super) fn start(&mut self, dfa: &Dfa) -> Outcome {
        let nfa = &dfa.nfa;
        self.reset(nfa);
        if self.follow(nfa, nfa.start_unanchored(), START, After::Unknown) {
            return Outcome::Match;
        }
        self.finish(dfa, START)
    }

    /// The set that follows one by a byte, or by the end.
    pub(super) fn step(&mut self, dfa: &Dfa, set: &[u16], before: u8, byte: Option<u8>) -> Outcome {
        let nfa = &dfa.nfa;
        if self.judge(nfa, set, before, byte.map_or(After::End, After::Byte)) {
            return Outcome::Match;
        }
        let Some(byte) = byte else { return Outcome::Dead };
        self.reset(nfa);
        let after = matters(dfa, byte);
        for at in 0..set.len() + self.waiting.len() {
            let member = set.get(at).or_else(|| self.waiting.get(at - set.len()));
            let next = member.and_then(|member| match nfa.state(id(*member)) {
                State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                State::Sparse(transitions) => transitions.matches_byte(byte),
                State::Dense(transitions) => transitions.matches_byte(byte),
                _ => None,
            });
            if next.is_some_and(|next| self.follow(nfa, next, after, After::Unknown)) {
                return Outcome::Match;
            }
        }
        self.finish(dfa, after)
    }

    /// Follows the anchors and boundaries of a set that hold at its place. Whether the pattern matches there.
    fn judge(&mut self, nfa: &NFA, set: &[u16], before: u8, after: After) -> bool {
        self.waiting.clear();
        let looks = set.iter().filter_map(|member| match nfa.state(id(*member)) {
            State::Look { look, next } => Some((*look, *next)),
            _ => None,
        });
        let mut looks = looks
            .filter(|(look, _)| holds(*look, before, after) == Some(true))
            .peekable();
        if looks.peek().is_none() {
            return false;
        }
        self.reset(nfa);
        for (_, next) in looks {
            if self.follow(nfa, next, before, after) {
                return true;
            }
        }
        self.kept.list(&mut self.waiting);
        false
    }

    fn reset(&mut self, nfa: &NFA) {
        self.seen.reset(nfa.states().len());
        self.kept.reset(nfa.states().len());
    }

    /// Follows everything that needs no byte. Whether the pattern matches.
    fn follow(&mut self, nfa: &NFA, from: StateID, before: u8, after: After) -> bool {
        self.stack.clear();
        self.stack.push(from);
        while let Some(next) = self.stack.pop() {
            if !self.seen.insert(next) {
                continue;
            }
            match nfa.state(next) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                    self.kept.insert(next);
                }
                State::Look { look, next: behind } => match holds(*look, before, after) {
                    Some(true) => self.stack.push(*behind),
                    Some(false) => {}
                    None => {
                        self.kept.insert(next);
                    }
                },
                State::Union { alternates } => self.stack.extend_from_slice(alternates),
                State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => self.stack.push(*next),
                State::Fail => {}
                State::Match { .. } => return true,
            }
        }
        false
    }

    fn finish(&mut self, dfa: &Dfa, before: u8) -> Outcome {
        self.members.clear();
        self.kept.list(&mut self.members);
        if self.members.is_empty() {
            return Outcome::Dead;
        }
        let looks = |member: &u16| matches!(dfa.nfa.state(id(*member)), State::Look { .. });
        let before = if self.members.iter().any(looks) { before } else { OTHER };
        Outcome::State { before }
    }

    /// The members of the set that was made last.
    pub(super) fn members(&self) -> &[u16] {
        &self.members
    }

    /// As if this set had been made last.
    pub(super) fn take(&mut self, members: &[u16]) {
        self.members.clear();
        self.members.extend_from_slice(members);
    }

    /// How many states take part in a step from the set that was made last, at most: its own, and those behind its anchors.
    pub(super) fn weight(&mut self, dfa: &Dfa) -> u32 {
        let nfa = &dfa.nfa;
        let mut behind = 0;
        let mut cleared = false;
        for at in 0..self.members.len() {
            let member = self.members.get(at).copied().unwrap_or_default();
            let State::Look { next, .. } = nfa.state(id(member)) else {
                continue;
            };
            if !cleared {
                self.seen.reset(nfa.states().len());
                cleared = true;
            }
            self.stack.push(*next);
            while let Some(next) = self.stack.pop() {
                if !self.seen.insert(next) {
                    continue;
                }
                behind += 1;
                match nfa.state(next) {
                    State::Look { next, .. } | State::Capture { next, .. } => self.stack.push(*next),
                    State::Union { alternates } => self.stack.extend_from_slice(alternates),
                    State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt1, *alt2]),
                    _ => {}
                }
            }
        }
        self.members.len() as u32 + behind
    }

    /// A number that sets hardly ever share. It decides nothing, so nobody gains by choosing it.
    pub(super) fn hash(&self, before: u8) -> u64 {
        let mut hash = u64::from(before) + 1;
        for chunk in self.members.chunks(4) {
            let word = chunk.iter().fold(1, |word, member| word << 16 | u64::from(*member));
            hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        hash
    }
}

fn id(member: u16) -> StateID {
    StateID::must(usize::from(member))
}

/// What of a byte matters to the anchors and boundaries that stand behind it.
fn matters(dfa: &Dfa, byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'_' | b'a'..=b'z' if dfa.looks.contains_word() => b'a',
        b'\n' | b'\r' if dfa.looks.contains_anchor_line() => byte,
        _ => OTHER,
    }
}

/// Whether an anchor or a boundary holds at a place, if that is known.
fn holds(look: Look, before: u8, after: After) -> Option<bool> {
    let text = [
        before,
        match after {
            After::Byte(byte) => byte,
            After::Unknown | After::End => 0,
        },
    ];
    let (from, at) = if before == START { (1, 0) } else { (0, 1) };
    let until = match after {
        After::End => 1,
        After::Byte(_) => 2,
        // Those that look back alone.
        After::Unknown if matches!(look, Look::Start | Look::StartLF) => 2,
        After::Unknown => return None,
    };
    Some(LookMatcher::new().matches(look, text.get(from..until)?, at))
}

/// A set of states.
#[derive(Debug, Default)]
struct Set(Vec<u64>);

impl Set {
    /// Empty, with room for states below a number.
    fn reset(&mut self, below: usize) {
        self.0.clear();
        self.0.resize(below.div_ceil(64), 0);
    }

    /// Whether it wasn't in it.
    fn insert(&mut self, state: StateID) -> bool {
        let (at, bit) = (state.as_usize() / 64, 1 << (state.as_usize() % 64));
        let Some(word) = self.0.get_mut(at) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Adds its states to a list, ascending.
    fn list(&self, list: &mut Vec<u16>) {
        for (at, word) in self.0.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                list.push((at as u32 * 64 + left.trailing_zeros()) as u16);
                left &= left - 1;
            }
        }
    }
}
