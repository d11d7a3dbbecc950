//! Exponential back-off with jitter. Pure: randomness comes in as a number.

use std::time::Duration;

/// Delays that double from `min` to `max`, each shortened by up to half at random so that peers that failed together do not
/// return together.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// A back-off that has seen no failure.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// How long to wait after one more failure. `random` is between 0 and 1: see [`random`].
    pub fn next(&mut self, random: f64) -> Duration {
        let doubled = self.min.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.min(self.max);
        delay.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }

    /// Something worked: the next failure is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// A random number between 0 and 1 for [`Backoff::next`]. Not for secrets.
#[must_use]
pub fn random() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(MIN, MAX);
        let delays: Vec<_> = (0..8).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(1.0), MIN / 2);
    }

    proptest! {
        #[test]
        fn delays_stay_in_bounds(failures in 0_usize..200, random in prop::num::f64::ANY) {
            let mut backoff = Backoff::new(MIN, MAX);
            let random = if random.is_nan() { 0.5 } else { random };
            let last = (0..=failures).map(|_| backoff.next(random)).last().expect("one at least");
            prop_assert!(last >= MIN / 2 && last <= MAX);
        }
    }
}
