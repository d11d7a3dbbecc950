//! Who waits for news of which RuleSet: how many may, and how fast they are woken. Pure but for a mutex.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coraza_ruleset::RuleSetKey;

/// Waiting polls of one RuleSet: every gateway pod of a large cluster. Who comes later polls at its interval.
const MAX_PER_KEY: usize = 8_192;
/// Waiting polls of one address: a gateway pod has one for each of its Engines.
const MAX_PER_ADDRESS: usize = 512;
/// So many may be answered at once: with a Core Rule Set each that is some 9 MB to send.
const AT_ONCE: usize = 64;
/// What each further one adds to the time over which all are woken.
const PACE: Duration = Duration::from_micros(100);
/// The longest that a change is held back.
const MAX_SPREAD: Duration = Duration::from_millis(500);

/// The waiting polls of a process.
#[derive(Debug, Default)]
pub struct Waiters {
    /// A standard mutex: it is held for a look-up or two, only by requests that are about to wait or to wake, and never
    /// across an await.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    keys: HashMap<RuleSetKey, usize>,
    addresses: HashMap<IpAddr, usize>,
    issued: u64,
}

/// The right to wait; dropping it, as when the caller disconnects, makes room for another.
#[derive(Debug)]
pub struct Ticket {
    waiters: Arc<Waiters>,
    key: RuleSetKey,
    address: IpAddr,
    number: u64,
}

impl Waiters {
    /// Lets a caller at `address` wait for news of `key`, unless too many of either do.
    #[must_use]
    pub fn enter(self: &Arc<Self>, key: &RuleSetKey, address: IpAddr) -> Option<Ticket> {
        let mut counts = self.lock();
        let full = counts.keys.get(key).is_some_and(|count| *count >= MAX_PER_KEY)
            || counts
                .addresses
                .get(&address)
                .is_some_and(|count| *count >= MAX_PER_ADDRESS);
        if full {
            return None;
        }
        let number = counts.issued;
        counts.issued = number.wrapping_add(1);
        *counts.keys.entry(key.clone()).or_default() += 1;
        *counts.addresses.entry(address).or_default() += 1;
        drop(counts);
        Some(Ticket {
            waiters: Arc::clone(self),
            key: key.clone(),
            address,
            number,
        })
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().keys.values().sum()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// How long this caller's answer is held back so that not all who wait with it are answered at once.
    #[must_use]
    pub fn turn(&self) -> Duration {
        let waiting = self.waiters.lock().keys.get(&self.key).copied().unwrap_or_default();
        turn(waiting, self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.waiters.lock();
        decrement(&mut counts.keys, self.key.clone());
        decrement(&mut counts.addresses, self.address);
    }
}

fn decrement<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Slot::Occupied(mut slot) = counts.entry(key) {
        let left = slot.get().saturating_sub(1);
        *slot.get_mut() = left;
        if left == 0 {
            slot.remove();
        }
    }
}

/// The place of caller `number` in the time over which `waiting` callers are woken.
fn turn(waiting: usize, number: u64) -> Duration {
    if waiting <= AT_ONCE {
        return Duration::ZERO;
    }
    let spread = PACE
        .saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX))
        .min(MAX_SPREAD);
    // Multiples of the golden ratio: numbers that follow each other fall evenly into the interval, whichever they are.
    let fraction = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread.mul_f64(fraction as f64 / f64::from(u32::MAX)).min(spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> RuleSetKey {
        RuleSetKey::new("team", name).expect("key")
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn an_address_has_its_share_and_gives_it_back() {
        let waiters = Arc::new(Waiters::default());
        let mut tickets: Vec<_> = (0..MAX_PER_ADDRESS)
            .map_while(|_| waiters.enter(&key("crs"), address(1)))
            .collect();
        assert_eq!(tickets.len(), MAX_PER_ADDRESS);
        assert!(waiters.enter(&key("other"), address(1)).is_none());
        assert!(waiters.enter(&key("crs"), address(2)).is_some());
        tickets.pop();
        assert!(waiters.enter(&key("other"), address(1)).is_some());
        drop(tickets);
        assert!(waiters.is_empty() && waiters.lock().addresses.is_empty());
    }

    #[test]
    fn a_ruleset_has_its_share() {
        let waiters = Arc::new(Waiters::default());
        let addresses = (0..=u8::MAX).cycle().map(address);
        let tickets: Vec<_> = addresses
            .map_while(|address| waiters.enter(&key("crs"), address))
            .collect();
        assert_eq!(tickets.len(), MAX_PER_KEY);
        assert!(waiters.enter(&key("other"), address(1)).is_some());
    }

    #[test]
    fn few_are_woken_at_once_and_many_evenly() {
        assert_eq!(turn(AT_ONCE, 7), Duration::ZERO);
        for (waiting, spread) in [(1_000, 100), (5_000, 500), (10_000, 500)] {
            let mut buckets = [0_usize; 10];
            for number in 0..waiting {
                let turn = turn(waiting, 12_345 + number as u64);
                buckets[(turn.as_millis() as usize * 10 / spread).min(9)] += 1;
            }
            // A tenth of the callers, give or take a tenth of that, in each tenth of the time.
            assert!(
                buckets
                    .iter()
                    .all(|count| count.abs_diff(waiting / 10) <= waiting / 100),
                "{buckets:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_change_is_held_back_for_long(waiting: usize, number: u64) {
            prop_assert!(turn(waiting, number) <= MAX_SPREAD);
        }
    }
}
