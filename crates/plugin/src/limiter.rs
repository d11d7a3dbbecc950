//! How many lines a second may be logged. Pure.

/// Lines that may follow each other at once.
const BURST: u64 = 20;
/// Nanoseconds after which one more may.
const REFILL: u64 = 100_000_000;

/// A bucket of lines.
#[derive(Debug, Default)]
pub struct Limiter {
    /// When the bucket is full again.
    full_at: u64,
    /// What was not logged since something was.
    suppressed: u64,
}

impl Limiter {
    /// Whether a line may be logged, and how many were not since the last one.
    pub fn admit(&mut self, now: u64) -> Option<u64> {
        let full_at = self.full_at.max(now).saturating_add(REFILL);
        // A clock that was set back must not silence for long.
        if full_at > now.saturating_add(BURST * REFILL) && self.full_at <= now.saturating_add(2 * BURST * REFILL) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.full_at = full_at.min(now.saturating_add(BURST * REFILL));
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_ten_a_second_and_nothing_is_lost_silently() {
        let mut limiter = Limiter::default();
        let start = 1_000 * REFILL;
        let admitted = (0..100).filter(|_| limiter.admit(start).is_some()).count();
        assert_eq!(admitted, 20);
        assert_eq!(limiter.admit(start + REFILL), Some(80));
        assert_eq!(limiter.admit(start + REFILL), None);
        assert_eq!(limiter.admit(start + 1_000 * REFILL), Some(1));
        assert_eq!(limiter.admit(0), Some(0), "the clock was set back");
    }
}
