//! `Cache`: the states of a [`Dfa`] that were made so far, and which of them were used since when. No IO.

use std::collections::HashMap;

use super::determinize::{Determinizer, Outcome};
use super::{Dfa, transition_work, verdict};

/// Set in a target that wasn't used yet. Targets that have it, or are more, take the slow way.
pub(super) const UNUSED: u32 = 1 << 30;
/// Set in a target that is no row.
pub(super) const SPECIAL: u32 = 1 << 31;
/// The pattern matches, whatever follows.
pub(super) const MATCH: u32 = SPECIAL | 1;
/// The pattern doesn't match, whatever follows.
pub(super) const DEAD: u32 = SPECIAL | 2;
/// Nobody knows yet. It stays what it is if it is marked unused.
const UNKNOWN: u32 = SPECIAL | UNUSED | 3;

/// What a state costs besides its transitions and its set: itself, and its place among all.
const STATE_BYTES: usize = size_of::<Known>() + size_of::<(u64, u32)>();

/// What a state takes, in bytes, with so many transitions and members.
pub(super) const fn state_bytes(stride: usize, members: usize) -> usize {
    stride * size_of::<u32>() + members * size_of::<u16>() + STATE_BYTES
}

/// The states of one [`Dfa`], which alone may use them.
#[derive(Debug, Default)]
pub struct Cache {
    /// A row for each state: for each class of bytes the place of the row that it leads to, or one of the constants above.
    targets: Vec<u32>,
    states: Vec<Known>,
    /// The sets of all states, one after the other.
    members: Vec<u16>,
    /// States by what they are, hashed; where two have the same hash, the later one has the next free.
    places: HashMap<u64, u32>,
    /// The row in which searches start.
    start: Option<u32>,
    /// Who asked for [`begin`](Self::begin) last.
    turn: u64,
    /// Counts what began. 0 is before the first.
    epoch: u32,
    /// The bytes of the states that were used since then.
    used: usize,
    /// How many bytes of short texts are left.
    short: usize,
    /// The memory of all this, in bytes.
    memory: usize,
    determinizer: Determinizer,
}

/// What is known of a state.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Where its set begins.
    first: u32,
    members: u16,
    /// What the byte before it was, as far as that matters.
    before: u8,
    weight: u32,
    /// When it was used last.
    epoch: u32,
}

/// Where a transition leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To this row.
    To(u32),
    /// To the verdict.
    Ends(bool),
}

impl Cache {
    /// As [`begin`](Self::begin), by nobody in particular.
    pub(crate) fn begin_anew(&mut self, dfa: &Dfa) {
        self.begin(dfa, self.turn.wrapping_add(1));
    }

    /// From here on each transition counts as new, once. Calls with the same `turn` are one.
    pub(crate) fn begin(&mut self, dfa: &Dfa, turn: u64) {
        if self.turn == turn && self.epoch > 0 {
            return;
        }
        self.turn = turn;
        self.used = 0;
        self.short = dfa.short;
        if self.epoch == u32::MAX || self.bytes(dfa) > dfa.capacity {
            self.clear();
        }
        self.epoch += 1;
    }

    /// The bytes of the states that were used since [`begin`](Self::begin), or since they had no room any more.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.memory
    }

    fn measure(&mut self) {
        let places = self.places.capacity() * size_of::<(u64, u32)>();
        self.memory = self.targets.capacity() * size_of::<u32>()
            + self.states.capacity() * size_of::<Known>()
            + self.members.capacity() * size_of::<u16>()
            + places
            + self.determinizer.memory_usage();
    }

    /// Takes a text's length from what is left for short ones, if it is left.
    pub(super) fn take_short(&mut self, length: usize) -> bool {
        let left = self.short.checked_sub(length);
        self.short = left.unwrap_or(self.short);
        left.is_some()
    }

    /// The bytes of all states.
    pub(super) fn bytes(&self, dfa: &Dfa) -> usize {
        self.states.len() * state_bytes(dfa.stride, 0) + self.members.len() * size_of::<u16>()
    }

    fn clear(&mut self) {
        self.targets.clear();
        self.states.clear();
        self.members.clear();
        self.places.clear();
        self.start = None;
        self.epoch = 0;
        self.used = 0;
    }

    /// The target of a class in a row.
    #[inline]
    pub(super) fn target(&self, row: u32, class: usize) -> u32 {
        self.targets.get(row as usize + class).copied().unwrap_or(DEAD)
    }

    /// The row in which a search starts.
    pub(super) fn start(&mut self, dfa: &Dfa) -> Step {
        if let Some(row) = self.start {
            return Step::To(row);
        }
        match self.determinizer.start(dfa) {
            Outcome::Match => Step::Ends(true),
            Outcome::Dead => Step::Ends(false),
            Outcome::State { before } => {
                let row = self.intern(dfa, before);
                self.start = Some(row);
                Step::To(row)
            }
        }
    }

    /// The step from a row without bookkeeping.
    #[cold]
    #[inline(never)]
    pub(super) fn step_short(&mut self, dfa: &Dfa, row: u32, byte: Option<u8>, class: usize) -> Step {
        let place = row as usize + class;
        let known = self.target(row, class);
        if known != UNKNOWN {
            let target = known & !UNUSED;
            return verdict(target).map_or(Step::To(target), Step::Ends);
        }
        let target = self.make(dfa, row, byte);
        if let Some(slot) = self.targets.get_mut(place) {
            *slot = target | UNUSED;
        }
        verdict(target).map_or(Step::To(target), Step::Ends)
    }

    /// The step from a row by a byte, or by the end of the text, if it can't be taken at a glance.
    #[cold]
    #[inline(never)]
    pub(super) fn step(&mut self, dfa: &Dfa, row: u32, byte: Option<u8>, class: usize, work: &mut u64) -> Step {
        let place = row as usize + class;
        let known = self.target(row, class);
        if known & UNUSED == 0 {
            return verdict(known).map_or(Step::To(known), Step::Ends);
        }
        let target = match known {
            UNKNOWN => self.make(dfa, row, byte),
            _ => known & !UNUSED,
        };
        if let Some(slot) = self.targets.get_mut(place) {
            *slot = target;
        }
        let from = self.weight(dfa, row);
        match verdict(target) {
            Some(matches) => {
                *work += transition_work(from, 0);
                Step::Ends(matches)
            }
            None => {
                *work += transition_work(from, self.weight(dfa, target));
                Step::To(self.visit(dfa, target, work))
            }
        }
    }

    fn weight(&self, dfa: &Dfa, row: u32) -> u32 {
        self.state(dfa, row).map_or(0, |state| state.weight)
    }

    fn state(&self, dfa: &Dfa, row: u32) -> Option<&Known> {
        self.states.get(row as usize / dfa.stride.max(1))
    }

    fn set(&self, state: &Known) -> &[u16] {
        let first = state.first as usize;
        self.members
            .get(first..first + usize::from(state.members))
            .unwrap_or_default()
    }

    /// Makes a transition, with the state that it leads to if there is none yet.
    fn make(&mut self, dfa: &Dfa, row: u32, byte: Option<u8>) -> u32 {
        let Some(state) = self.state(dfa, row).copied() else {
            return DEAD;
        };
        let first = state.first as usize;
        let set = self.members.get(first..first + usize::from(state.members));
        match self.determinizer.step(dfa, set.unwrap_or_default(), state.before, byte) {
            Outcome::Match => MATCH,
            Outcome::Dead => DEAD,
            Outcome::State { before } => self.intern(dfa, before),
        }
    }

    /// The row of the state that the determinizer has in its hands.
    fn intern(&mut self, dfa: &Dfa, before: u8) -> u32 {
        let mut hash = self.determinizer.hash(before);
        while let Some(row) = self.places.get(&hash) {
            let known = self.state(dfa, *row);
            if known.is_some_and(|known| known.before == before && self.set(known) == self.determinizer.members()) {
                return *row;
            }
            hash = hash.wrapping_add(1);
        }
        let row = self.targets.len() as u32;
        let weight = self.determinizer.weight(dfa);
        let members = self.determinizer.members();
        self.states.push(Known {
            first: self.members.len() as u32,
            members: members.len() as u16,
            before,
            weight,
            // Whoever visits it finds that it wasn't used.
            epoch: 0,
        });
        self.members.extend_from_slice(members);
        self.targets.resize(self.targets.len() + dfa.stride, UNKNOWN);
        self.places.insert(hash, row);
        self.measure();
        row
    }

    /// Notes that a state is used. If those that are have no room any more, all others go, and then it has another row.
    pub(super) fn visit(&mut self, dfa: &Dfa, row: u32, work: &mut u64) -> u32 {
        let epoch = self.epoch;
        let Some(state) = self.states.get_mut(row as usize / dfa.stride.max(1)) else {
            return row;
        };
        if state.epoch == epoch {
            return row;
        }
        state.epoch = epoch;
        let state = *state;
        self.used += state_bytes(dfa.stride, usize::from(state.members));
        if self.used > dfa.capacity {
            *work += transition_work(state.weight, 0);
            return self.start_over(dfa, &state);
        }
        let row_targets = self.targets.get_mut(row as usize..row as usize + dfa.stride);
        for target in row_targets.unwrap_or_default() {
            *target |= UNUSED;
        }
        row
    }

    /// Forgets all states but this one.
    fn start_over(&mut self, dfa: &Dfa, state: &Known) -> u32 {
        let kept = self.set(state).to_vec();
        let epoch = self.epoch;
        self.clear();
        self.epoch = epoch;
        self.determinizer.take(&kept);
        let row = self.intern(dfa, state.before);
        if let Some(state) = self.states.first_mut() {
            state.epoch = epoch;
        }
        self.used = state_bytes(dfa.stride, kept.len());
        row
    }
}
