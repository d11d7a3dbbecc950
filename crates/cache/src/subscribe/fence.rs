//! Which publisher to obey: never one that was deposed by another that this cache obeyed. *Pure*.

use std::time::{Duration, Instant};

use coraza_proto::Welcome;

/// The longest lease that is believed: a publisher that claims more would fence its successors for as long.
const MAX_LEASE: Duration = Duration::from_secs(300);

/// The latest publisher that was obeyed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fence {
    obeyed: Option<Obeyed>,
}

#[derive(Debug, Clone, Copy)]
struct Obeyed {
    epoch: u64,
    lease: Duration,
    alive: Instant,
}

/// A publisher that isn't obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the publisher has epoch {epoch}, and one with epoch {obeyed} was alive less than a lease ago")]
pub struct StaleEpoch {
    /// Its epoch.
    pub epoch: u64,
    /// The epoch of the one that is obeyed.
    pub obeyed: u64,
}

impl Fence {
    /// Obeys this publisher from now on, if it isn't an earlier one than the one before. An earlier one is obeyed only when that has
    /// been gone for its lease: epochs go back when etcd is restored, and a cache must not freeze for it.
    ///
    /// # Errors
    /// [`StaleEpoch`] if it is not obeyed.
    pub fn admit(&mut self, Welcome { epoch, lease_duration }: Welcome, now: Instant) -> Result<(), StaleEpoch> {
        if let Some(obeyed) = self.obeyed
            && epoch < obeyed.epoch
            && now.saturating_duration_since(obeyed.alive) < obeyed.lease
        {
            return Err(StaleEpoch {
                epoch,
                obeyed: obeyed.epoch,
            });
        }
        self.obeyed = Some(Obeyed {
            epoch,
            lease: lease_duration.min(MAX_LEASE),
            alive: now,
        });
        Ok(())
    }

    /// The publisher that is obeyed was heard of, or its stream ended only now.
    pub fn heard(&mut self, now: Instant) {
        if let Some(obeyed) = &mut self.obeyed {
            obeyed.alive = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    #[test]
    fn an_earlier_publisher_is_obeyed_only_a_lease_after_the_later_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let welcome = |epoch| Welcome {
            epoch,
            lease_duration: LEASE,
        };
        let mut fence = Fence::default();
        assert_eq!(fence.admit(welcome(5), at(0)), Ok(()));
        assert_eq!(fence.admit(welcome(5), at(1)), Ok(()));
        assert_eq!(fence.admit(welcome(9), at(2)), Ok(()));
        assert_eq!(fence.admit(welcome(5), at(3)), Err(StaleEpoch { epoch: 5, obeyed: 9 }));
        fence.heard(at(10));
        assert_eq!(fence.admit(welcome(5), at(24)), Err(StaleEpoch { epoch: 5, obeyed: 9 }));
        assert_eq!(fence.admit(welcome(5), at(25)), Ok(()));
        assert_eq!(fence.admit(welcome(6), at(25)), Ok(()));
    }

    #[test]
    fn no_publisher_fences_others_for_ever() {
        let start = Instant::now();
        let mut fence = Fence::default();
        let forever = Welcome {
            epoch: u64::MAX,
            lease_duration: Duration::MAX,
        };
        assert_eq!(fence.admit(forever, start), Ok(()));
        let next = Welcome {
            epoch: 1,
            lease_duration: LEASE,
        };
        assert!(fence.admit(next, start + MAX_LEASE - Duration::from_secs(1)).is_err());
        assert_eq!(fence.admit(next, start + MAX_LEASE), Ok(()));
    }
}
