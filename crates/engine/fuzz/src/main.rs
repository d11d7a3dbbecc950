//! libFuzzer over the targets of `tests/fuzz`; `FUZZ_TARGET` says which.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use std::sync::LazyLock;

use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("no target `{name}`"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // Longer inputs than the target's are as good, and slow.
    TARGET.run(input.get(..TARGET.longest).unwrap_or(input));
});
