//! The targets of the fuzzer, without it: over what was found before, and over inputs from a fixed seed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test states what must hold by unwrapping it"
)]

mod targets;

use std::path::Path;

use targets::TARGETS;

/// Inputs that a target gets from the seed, each derived from one that is kept.
const GENERATED: usize = 200;

/// One test, not one for each target: they share the count of what is allocated.
#[test]
fn targets_hold_for_what_was_found_and_for_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/inputs");
    let mut random = fastrand::Rng::with_seed(1);
    for target in TARGETS {
        let mut kept: Vec<_> = std::fs::read_dir(folder.join(target.name))
            .unwrap_or_else(|error| panic!("{}: {error}", target.name))
            .map(|file| file.unwrap().path())
            .collect();
        kept.sort();
        let inputs: Vec<Vec<u8>> = kept.iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(!inputs.is_empty(), "{}", target.name);
        for (input, path) in inputs.iter().zip(&kept) {
            // What a panic leaves to see.
            println!("{}", path.display());
            target.run(input);
        }
        for _ in 0..GENERATED {
            let input = mutate(&mut random, &inputs, target.longest);
            println!("{}: \"{}\"", target.name, input.escape_ascii());
            target.run(&input);
        }
    }
}

/// A kept input with some bytes of another, or of none.
fn mutate(random: &mut fastrand::Rng, inputs: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut input = inputs[random.usize(0..inputs.len())].clone();
    for _ in 0..random.usize(1..6) {
        let from = random.usize(0..=input.len());
        let to = random.usize(from..=input.len()).min(from + 16);
        let other = &inputs[random.usize(0..inputs.len())];
        let begin = random.usize(0..=other.len());
        let piece = match random.u8(0..3) {
            0 => vec![random.u8(..)],
            1 => other[begin..(begin + random.usize(0..64)).min(other.len())].to_vec(),
            _ => input[from..to].repeat(random.usize(0..8)),
        };
        input.splice(from..to, piece);
    }
    input.truncate(longest);
    input
}
