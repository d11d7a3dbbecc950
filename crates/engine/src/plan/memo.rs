//! `Memo`: what a transaction has found out about its values, so that no rule has to find it out again. No IO.

use std::collections::HashMap;
use std::sync::Arc;

use coraza_seclang::rules::{Transformation, Variable};

use super::bits::Bits;
use super::mask::ByteMask;
use super::{Filter, FilterId, GroupId, KeyId, Plan, SetId};
use crate::collection::Bytes;
use crate::operators::number;
use crate::transaction::Meter;
use crate::transformations::{self, Effect, Triggers, UnicodeMap};
use crate::variables::{Value, Variables};

/// How many bytes of values are kept at most, transformed ones included: room for some twenty transformations of a body of the usual limit.
/// Beyond, all is found out anew by the rules that come.
const MAX_BYTES: usize = 4 << 20;

/// Looking for literals costs as much as looking at each byte so many times.
const FILTER_COST: u64 = 2;

/// Values, by what rules ask of them.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The state of the variables that sets and groups were made of.
    version: u64,
    sets: Vec<Option<Arc<[Listed]>>>,
    /// The tests that may match any value of a set.
    groups: Vec<Option<Bits>>,
    texts: Vec<Text>,
    /// Texts by the address of their bytes, which nobody else has as long as `texts` keeps them.
    known: HashMap<usize, TextId>,
    bytes: usize,
    /// The state of TX that the numbers are of.
    tx_version: u64,
    numbers: Vec<Option<Number>>,
    buffer: Vec<u8>,
}

/// One value of a set.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) value: Value,
    pub(crate) text: TextId,
}

/// The place of a text in a memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextId(usize);

/// Bytes of a value, or what a transformation made of them.
#[derive(Debug)]
struct Text {
    bytes: Bytes,
    mask: ByteMask,
    candidates: [Option<Bits>; FilterId::COUNT],
    /// What transformations make of it.
    next: Vec<(Transformation, TextId)>,
}

/// What is in TX under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// How many values there are.
    pub(crate) count: usize,
    /// The first of them as a number; 0 if there is none.
    pub(crate) value: i64,
}

impl Memo {
    /// Forgets what no longer holds, and everything if it is too much.
    pub(crate) fn refresh(&mut self, variables: &Variables) {
        if self.bytes > MAX_BYTES {
            *self = Self::default();
        }
        if self.version != variables.version() {
            self.version = variables.version();
            self.sets.clear();
            self.groups.clear();
        }
        if self.tx_version != variables.tx_version() {
            self.tx_version = variables.tx_version();
            self.numbers.clear();
        }
    }

    /// The values of a set, if they are known.
    pub(crate) fn set(&self, set: SetId) -> Option<Arc<[Listed]>> {
        self.sets.get(set.0)?.clone()
    }

    /// Keeps the values of a set.
    pub(crate) fn keep_set(&mut self, set: SetId, values: Vec<Value>) -> Arc<[Listed]> {
        let listed = values.into_iter().map(|value| Listed {
            text: self.text(&value.bytes),
            value,
        });
        let listed: Arc<[Listed]> = listed.collect();
        *slot(&mut self.sets, set.0) = Some(Arc::clone(&listed));
        listed
    }

    /// Whether a test may match any of the values that a group is about.
    pub(crate) fn may_match(
        &mut self,
        group: GroupId,
        test: usize,
        values: &[Listed],
        (plan, filter, unicode): (&Plan, FilterId, UnicodeMap),
        meter: &mut Meter,
    ) -> bool {
        if let Some(Some(union)) = self.groups.get(group.0) {
            return union.contains(test);
        }
        let mut union: Option<Bits> = None;
        let transformations = plan.transformations(group);
        for listed in values {
            let text = transformations.iter().fold(listed.text, |text, transformation| {
                self.transform(text, *transformation, unicode, meter)
            });
            let Some(filter_of) = plan.filter(filter) else {
                return true;
            };
            let Some(candidates) = self.candidates(text, filter, filter_of, meter) else {
                return true;
            };
            match &mut union {
                Some(union) => union.add(candidates),
                None => union = Some(candidates.clone()),
            }
        }
        let union = union.unwrap_or_default();
        let may_match = union.contains(test);
        *slot(&mut self.groups, group.0) = Some(union);
        may_match
    }

    /// Whether a test may match a text.
    pub(crate) fn is_candidate(
        &mut self,
        text: TextId,
        test: usize,
        (plan, filter): (&Plan, FilterId),
        meter: &mut Meter,
    ) -> bool {
        let Some(filter_of) = plan.filter(filter) else {
            return true;
        };
        let candidates = self.candidates(text, filter, filter_of, meter);
        candidates.is_none_or(|candidates| candidates.contains(test))
    }

    fn candidates(&mut self, id: TextId, filter: FilterId, filter_of: &Filter, meter: &mut Meter) -> Option<&Bits> {
        let text = self.texts.get_mut(id.0)?;
        let known = text.candidates.get_mut(filter.0)?;
        if known.is_none() {
            meter.charge(FILTER_COST * text.bytes.len() as u64);
            *known = Some(filter_of.candidates(&text.bytes, &text.mask));
        }
        known.as_ref()
    }

    /// The text of a value.
    fn text(&mut self, bytes: &Bytes) -> TextId {
        if let Some(known) = self.known.get(&bytes.as_ptr().addr()) {
            // An empty value may begin where another does.
            if self.bytes(*known).is_some_and(|text| text.len() == bytes.len()) {
                return *known;
            }
        }
        let id = self.push(Bytes::clone(bytes));
        self.known.insert(bytes.as_ptr().addr(), id);
        id
    }

    fn push(&mut self, bytes: Bytes) -> TextId {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.texts.push(Text {
            mask: ByteMask::of(&bytes),
            bytes,
            candidates: Default::default(),
            next: Vec::new(),
        });
        TextId(self.texts.len() - 1)
    }

    /// The bytes of a text.
    pub(crate) fn bytes(&self, text: TextId) -> Option<&Bytes> {
        self.texts.get(text.0).map(|text| &text.bytes)
    }

    /// What a transformation makes of a text: the same text if it doesn't change it, otherwise another one.
    pub(crate) fn transform(
        &mut self,
        id: TextId,
        transformation: Transformation,
        unicode: UnicodeMap,
        meter: &mut Meter,
    ) -> TextId {
        let Some(text) = self.texts.get(id.0) else { return id };
        match transformations::triggers(transformation) {
            Triggers::Nothing => return id,
            Triggers::Bytes(set) if !text.mask.intersects(&ByteMask::from(set)) => return id,
            Triggers::Bytes(_) | Triggers::Anything => {}
        }
        if let Some((_, next)) = text.next.iter().find(|(known, _)| *known == transformation) {
            return *next;
        }
        meter.charge(text.bytes.len() as u64);
        let next = match transformations::apply(transformation, unicode, &text.bytes, &mut self.buffer) {
            Effect::Unchanged => id,
            Effect::Changed => {
                let bytes = Bytes::from(self.buffer.as_slice());
                self.push(bytes)
            }
        };
        if let Some(text) = self.texts.get_mut(id.0) {
            text.next.push((transformation, next));
        }
        next
    }

    /// What is in TX under a key.
    pub(crate) fn number(&mut self, key: KeyId, name: &[u8], variables: &Variables) -> Number {
        let number = slot(&mut self.numbers, key.0);
        *number.get_or_insert_with(|| {
            let values = variables.collection(Variable::Tx);
            let mut values = values.filter(|entry| entry.key.eq_ignore_ascii_case(name));
            let first = values.next();
            Number {
                value: first.map_or(0, |entry| number::parse(&entry.value)),
                count: values.count() + usize::from(first.is_some()),
            }
        })
    }
}

/// The place in a list that grows as needed.
fn slot<T>(list: &mut Vec<Option<T>>, at: usize) -> &mut Option<T> {
    if list.len() <= at {
        list.resize_with(at + 1, || None);
    }
    #[allow(clippy::indexing_slicing, reason = "it was made long enough")]
    &mut list[at]
}
