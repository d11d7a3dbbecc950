//! Reading what the test harness of Rust (libtest) prints. No IO.

use std::fmt;

/// What a test prints, followed by the reason, when it can't run here.
const SKIPPED: &str = "SKIPPED: ";

/// How a reason says that it is about the conformance data, which lies beside the checkout and isn't everywhere.
const CONFORMANCE_DATA: &str = "../shared/";

/// How many tests of a suite did what.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    /// How many of the skipped ones lack what nobody can require of a machine: the conformance data, a kernel that can have nodes.
    pub(crate) unavoidable: usize,
    /// Why those that were skipped were, each reason once.
    pub(crate) reasons: Vec<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.unavoidable += other.unavoidable;
    }

    /// The suite as a whole ended badly. That is a failure even if no test was seen to fail: it may have died on its way.
    pub(crate) fn broken(&mut self, how: String) {
        if self.failed == 0 {
            self.failed = 1;
            self.reasons.push(how);
        }
    }

    /// What a suite counts that can't run here: nobody knows how many tests it has.
    pub(crate) fn skipped_whole(reason: String, unavoidable: bool) -> Self {
        Self {
            skipped: 1,
            unavoidable: usize::from(unavoidable),
            reasons: vec![reason],
            ..Self::default()
        }
    }

    fn because(&mut self, reason: &str) {
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Counts what one or more test binaries printed.
pub(crate) fn read(text: &str) -> Counts {
    let mut counts = Counts::default();
    let mut said_so = 0;
    for line in text.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            counts.passed += number_before(result, " passed");
            counts.failed += number_before(result, " failed");
            counts.skipped += number_before(result, " ignored");
        } else if let Some(reason) = line.strip_prefix(SKIPPED) {
            said_so += 1;
            counts.unavoidable += usize::from(reason.contains(CONFORMANCE_DATA));
            counts.because(reason);
        } else if let Some((_, ignored)) = line
            .strip_prefix("test ")
            .and_then(|test| test.split_once(" ... ignored"))
        {
            counts.because(ignored.strip_prefix(", ").unwrap_or("ignored without a reason"));
        }
    }
    // libtest believes that these passed.
    counts.passed = counts.passed.saturating_sub(said_so);
    counts.skipped += said_so;
    counts
}

/// The number that stands before a word.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_counted() {
        let text = "running 4 tests\ntest a ... ok\ntest b ... ignored, needs a moon\ntest c ... FAILED\n\n\
                    test result: FAILED. 12 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        let counts = read(text);
        assert_eq!(
            counts,
            Counts {
                passed: 12,
                failed: 1,
                skipped: 1,
                unavoidable: 0,
                reasons: vec!["needs a moon".to_owned()],
            }
        );
        assert_eq!(counts.to_string(), "12 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn several_binaries_add_up() {
        let line = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(read(&line.repeat(3)).passed, 6);
    }

    #[test]
    fn a_test_that_says_so_was_skipped() {
        let text = "---- slow stdout ----\nSKIPPED: no such kernel\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            read(text),
            Counts {
                passed: 1,
                failed: 0,
                skipped: 1,
                unavoidable: 0,
                reasons: vec!["no such kernel".to_owned()],
            }
        );
    }

    #[test]
    fn a_test_without_conformance_data_is_skipped_for_a_reason_of_its_own() {
        let text = "SKIPPED: corpus: ../shared/data/corpus is absent\nSKIPPED: no moon\n\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        let counts = read(text);
        assert_eq!((counts.skipped, counts.unavoidable), (2, 1));
    }

    #[test]
    fn a_binary_that_dies_before_its_result_has_failed() {
        let mut counts = read("running 3 tests\ntest a ... ok\n");
        assert_eq!((counts.passed, counts.failed), (0, 0));
        counts.broken("signal: 11".to_owned());
        assert_eq!(counts.failed, 1);
    }
}
