//! Those pollers whose identity hashes to one place. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coraza_proto::Poller;
use coraza_ruleset::{EngineKey, PollerId, Running};

use super::{Identity, MAX_PER_SHARD};

/// How old the controller's knowledge of a poller may become that polls and goes on as it was.
pub(super) const REFRESH: Duration = Duration::from_secs(5);
/// How long a poller that no longer polls is remembered: longer than three of the longest poll intervals, an hour each.
const FORGET: Duration = Duration::from_secs(4 * 3_600);

#[derive(Debug, Default)]
pub(super) struct Shard {
    engines: HashMap<EngineKey, Known>,
    count: usize,
}

/// The pollers of one Engine, apart by kind so that they are found by what a request has at hand.
#[derive(Debug, Default)]
struct Known {
    pods: HashMap<Arc<str>, Seen>,
    addresses: HashMap<IpAddr, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    running: Running,
    at: Instant,
    /// How many waiting polls it holds.
    held: u32,
    /// What the controller was told last, and when.
    reported: Option<(Running, Instant)>,
}

impl Shard {
    pub(super) fn saw(&mut self, engine: &EngineKey, id: Identity<'_>, running: Running, now: Instant) {
        if let Some(seen) = self.get(engine, id) {
            seen.at = now;
            // An address doesn't say what it runs: what it was served stays true when it asks for something else.
            if running != Running::Unknown || matches!(id, Identity::Pod(_)) {
                seen.running = running;
            }
            return;
        }
        if self.count >= MAX_PER_SHARD {
            self.make_room();
        }
        let seen = Seen {
            running,
            at: now,
            held: 0,
            reported: None,
        };
        let known = self.engines.entry(engine.clone()).or_default();
        match id {
            Identity::Pod(name) => known.pods.insert(name.into(), seen),
            Identity::Address(address) => known.addresses.insert(address, seen),
        };
        self.count += 1;
    }

    pub(super) fn hold(&mut self, engine: &EngineKey, id: Identity<'_>) {
        if let Some(seen) = self.get(engine, id) {
            seen.held = seen.held.saturating_add(1);
        }
    }

    pub(super) fn release(&mut self, engine: &EngineKey, id: Identity<'_>, now: Instant) {
        if let Some(seen) = self.get(engine, id) {
            seen.held = seen.held.saturating_sub(1);
            seen.at = seen.at.max(now);
        }
    }

    /// Adds to `due` what the controller doesn't know yet, until that has `limit` pollers; forgets who is gone.
    pub(super) fn take_due(&mut self, due: &mut Vec<Poller>, limit: usize, now: Instant) {
        self.retain(|seen| seen.held > 0 || now.saturating_duration_since(seen.at) < FORGET);
        for (engine, known) in &mut self.engines {
            for (id, seen) in known.iter_mut() {
                if due.len() >= limit {
                    return;
                }
                if seen.is_due(now) {
                    due.push(seen.report(engine.clone(), id, now));
                }
            }
        }
    }

    pub(super) fn report_anew(&mut self) {
        let all = self.engines.values_mut().flat_map(Known::iter_mut);
        all.for_each(|(_, seen)| seen.reported = None);
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn get(&mut self, engine: &EngineKey, id: Identity<'_>) -> Option<&mut Seen> {
        let known = self.engines.get_mut(engine)?;
        match id {
            Identity::Pod(name) => known.pods.get_mut(name),
            Identity::Address(address) => known.addresses.get_mut(&address),
        }
    }

    fn make_room(&mut self) {
        let Some(most) = self.engines.values_mut().max_by_key(|known| known.len()) else {
            return;
        };
        if let Some(last) = most.iter_mut().map(|(_, seen)| seen.at).min() {
            self.count -= most.retain(|seen| seen.at != last);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Seen) -> bool) {
        for known in self.engines.values_mut() {
            self.count -= known.retain(&keep);
        }
        self.engines.retain(|_, known| known.len() > 0);
    }
}

impl Known {
    fn len(&self) -> usize {
        self.pods.len() + self.addresses.len()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (PollerId, &mut Seen)> {
        let pods = self
            .pods
            .iter_mut()
            .map(|(name, seen)| (PollerId::Pod(Arc::clone(name)), seen));
        let addresses = self.addresses.iter_mut();
        pods.chain(addresses.map(|(address, seen)| (PollerId::Address(*address), seen)))
    }

    /// Returns how many went.
    fn retain(&mut self, keep: impl Fn(&Seen) -> bool) -> usize {
        let before = self.len();
        self.pods.retain(|_, seen| keep(seen));
        self.addresses.retain(|_, seen| keep(seen));
        before - self.len()
    }
}

impl Seen {
    fn is_due(&self, now: Instant) -> bool {
        match self.reported {
            None => true,
            Some((running, _)) if running != self.running => true,
            Some((_, told)) => (self.held > 0 || self.at > told) && now.saturating_duration_since(told) >= REFRESH,
        }
    }

    fn report(&mut self, engine: EngineKey, id: PollerId, now: Instant) -> Poller {
        self.reported = Some((self.running, now));
        let seen_ago = if self.held > 0 {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.at)
        };
        Poller {
            engine,
            id,
            running: self.running,
            seen_ago,
        }
    }
}
