//! How long to pause after so many failures. Pure.

/// The pause after the `failures`-th failure in a row: `least`, doubled with each, up to `most`; plus up to half of that, by
/// chance, so that those who failed together don't return together.
pub(super) fn backoff(failures: u32, least: u64, most: u64, random: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(32);
    let pause = least.saturating_mul(1 << doublings).min(most);
    let spread = pause / 2;
    pause
        .saturating_sub(spread / 2)
        .max(least)
        .saturating_add(random.checked_rem(spread).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        for (failures, from, to) in [
            (0, 100, 149),
            (1, 100, 149),
            (2, 150, 249),
            (3, 300, 499),
            (7, 3_750, 6_249),
            (99, 3_750, 6_249),
        ] {
            assert_eq!(backoff(failures, 100, 5_000, 0), from, "{failures}");
            let latest = (0..5_000).map(|random| backoff(failures, 100, 5_000, random)).max();
            assert_eq!(latest, Some(to), "{failures}");
        }
        assert!(backoff(u32::MAX, 1, u64::MAX, u64::MAX) > 1);
    }
}
