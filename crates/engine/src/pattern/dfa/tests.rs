//! The automaton against that of `regex-automata`, and that charges depend on the pattern and the texts alone.

use proptest::prelude::*;
use regex_automata::Input;
use regex_automata::hybrid::dfa::DFA;

use super::*;
use crate::pattern::{Limits, Pattern};

/// A cache with room for a few states only, so that it starts over.
fn dfa(pattern: &str, capacity: usize) -> Dfa {
    let pattern = Pattern::compile(pattern.as_bytes(), &Limits::default()).unwrap();
    let nfa = pattern.dfa().nfa().clone();
    let least = 4 * Dfa::largest_state(&nfa);
    Dfa::new(nfa, least.max(capacity))
}

/// Patterns with all that decides whether they match: anchors and boundaries of all kinds, repetitions, classes, alternatives.
fn pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(
        &[
            "a",
            "b",
            "ab",
            ".",
            "[^a]",
            r"\w",
            r"\W",
            r"\s",
            "é",
            r"\xff",
            "^",
            "$",
            r"\b",
            r"\B",
            "(?m:^)",
            "(?m:$)",
            "(?mR:^)",
            "(?mR:$)",
            r"\b{start}",
            r"\b{end}",
            r"\b{start-half}",
            r"\b{end-half}",
            r"\n",
            r"\r",
        ][..],
    );
    atom.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        let count = prop::sample::select(&["?", "*", "+", "{2}", "{1,3}", "*?", "{0,2}"][..]);
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..5).prop_map(|parts| parts.concat()),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => (inner.clone(), count).prop_map(|(part, count)| format!("(?:{part}){count}")),
            1 => inner.prop_map(|part| format!("(?i:{part})")),
        ]
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"aabbAB_0 \n\r\xc3\xa9\xff."[..]), 0..24)
}

/// What one cache says of texts, one after the other, each turn of them anew.
fn searches(dfa: &Dfa, cache: &mut Cache, texts: &[Vec<u8>]) -> Vec<Search> {
    cache.begin_anew(dfa);
    texts.iter().map(|text| dfa.search(cache, text, u64::MAX)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_matches_what_the_other_one_matches(pattern in pattern(), texts in prop::collection::vec(text(), 1..8)) {
        // `\b{…}` is of the other dialect: patterns are parsed as they are here.
        let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build().parse(&pattern);
        let hir = hir.unwrap();
        let config = NFA::config().utf8(false);
        let nfa = regex_automata::nfa::thompson::Compiler::new().configure(config).build_from_hir(&hir).unwrap();
        let other = DFA::builder().build_from_nfa(nfa.clone()).unwrap();
        let mut other_cache = other.create_cache();
        for (capacity, short) in [(0, 0), (0, 256), (1 << 16, 0), (1 << 16, 30)] {
            let capacity = capacity.max(4 * Dfa::largest_state(&nfa));
            let mut own = Dfa::new(nfa.clone(), capacity);
            own.short = short;
            let mut cache = Cache::default();
            for text in &texts {
                let expected = other.try_search_fwd(&mut other_cache, &Input::new(text).earliest(true)).unwrap().is_some();
                cache.begin_anew(&own);
                // Again and again, so that what is left for short texts ends.
                for _ in 0..3 {
                    prop_assert_eq!(own.search(&mut cache, text, u64::MAX).matches, expected, "{} {:?}", pattern, text);
                }
            }
        }
    }

    #[test]
    fn what_was_before_changes_no_charge(
        pattern in prop::sample::select(&[r"a[ab]{9}c", r"\b(?:a|b)+\b.{3}$", "(?i)(?:ab|ba){3,7}z", r"(?m)^\w+_$", "x", "a*"][..]),
        before in prop::collection::vec(prop::collection::vec(text(), 0..6), 0..6),
        texts in prop::collection::vec(text(), 1..12),
        (capacity, short) in prop::sample::select(&[(0_usize, 0), (3_000, 0), (3_000, 50), (1 << 16, 0), (1 << 16, 50)][..]),
    ) {
        let mut dfa = dfa(pattern, capacity);
        dfa.short = short;
        let cold = searches(&dfa, &mut Cache::default(), &texts);
        let mut cache = Cache::default();
        for other in &before {
            searches(&dfa, &mut cache, other);
        }
        prop_assert_eq!(&searches(&dfa, &mut cache, &texts), &cold);
        prop_assert_eq!(&searches(&dfa, &mut cache, &texts), &cold);
    }
}

/// Random text that is a state of its own with nearly each byte of it.
fn letters(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"ab"[(state >> 63) as usize]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn states_that_are_used_again_cost_nothing_until_there_is_no_room() {
    let text = vec![letters(3_000)];
    let small = dfa("a[ab]{12}c", 8_000);
    let mut cache = Cache::default();
    let first = searches(&small, &mut cache, &[text.clone(), text.clone()].concat());
    // With more states than there is room for, the second time costs as much as the first.
    assert!(first[1].work > first[0].work / 2, "{first:?}");
    assert!(cache.bytes(&small) <= 2 * 8_000, "{}", cache.bytes(&small));
    let large = dfa("a[ab]{12}c", 4 << 20);
    let mut cache = Cache::default();
    let first = searches(&large, &mut cache, &[text.clone(), text].concat());
    assert_eq!(first[1].work, SEARCH_WORK + 3_000);
    assert!(first[0].work > 100 * 1_000, "{first:?}");
}

#[test]
fn a_search_ends_when_its_work_is_done() {
    let dfa = dfa("a[ab]{12}c", 1 << 16);
    let text = [letters(50_000), b"aaaaaaaaaaaaac".to_vec()].concat();
    let mut cache = Cache::default();
    cache.begin_anew(&dfa);
    let whole = dfa.search(&mut cache, &text, u64::MAX);
    assert!(whole.matches);
    cache.begin_anew(&dfa);
    let part = dfa.search(&mut cache, &text, 100_000);
    assert!(!part.matches && part.work > 100_000 && part.work < 110_000, "{part:?}");
}
