//! Which revision each VM runs. Pure.

use crate::revision::Revision;

/// A VM that is silent for so long, in nanoseconds, is gone: three of its reports.
const GONE: u64 = 30_000_000_000;
/// VMs that came within so long of each other, in nanoseconds, came together: one isn't there in place of the other. Envoy makes those of a
/// configuration at once, and each reports at its first tick.
const TOGETHER: u64 = 10_000_000_000;
/// More VMs than an Envoy has threads.
const MAX_WORKERS: usize = 512;

/// The VMs of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers(Vec<Worker>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Worker {
    vm: u64,
    born: u64,
    seen: u64,
    /// It came in place of one that fell silent, and of no other.
    successor: bool,
    revision: Option<Revision>,
}

/// What the worker that is furthest behind runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worst {
    /// Nothing: it has no rules.
    None,
    /// This one.
    Revision(Revision),
}

impl Worst {
    /// As reports have it.
    #[must_use]
    pub fn header(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Revision(revision) => revision.etag(),
        }
    }
}

impl Workers {
    /// One line for each VM: `<vm> <born> <seen> <successor: 0 or 1> <timestamp> <uuid>`, or `-` for the last two.
    pub(super) fn read(text: &str) -> Self {
        let worker = |line: &str| {
            let mut parts = line.split(' ');
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (vm, born, seen, successor) = (number()?, number()?, number()?, number()? != 0);
            let revision = match parts.next()? {
                "-" => None,
                timestamp => {
                    let timestamp = timestamp.parse().ok()?;
                    Some(Revision {
                        timestamp,
                        ..Revision::new(parts.next()?, "")?
                    })
                }
            };
            Some(Worker {
                vm,
                born,
                seen,
                successor,
                revision,
            })
        };
        Self(text.lines().filter_map(worker).take(MAX_WORKERS).collect())
    }

    pub(super) fn write(&self) -> String {
        let line = |worker: &Worker| {
            let Worker {
                vm,
                born,
                seen,
                successor,
                revision,
            } = worker;
            let head = format!("{vm} {born} {seen} {}", u8::from(*successor));
            match revision {
                Some(revision) => format!("{head} {} {}\n", revision.timestamp, revision.uuid),
                None => format!("{head} -\n"),
            }
        };
        self.0.iter().map(line).collect()
    }

    pub(super) fn set(&mut self, vm: u64, revision: Option<&Revision>, now: u64) {
        match self.0.iter_mut().find(|worker| worker.vm == vm) {
            Some(worker) => (worker.seen, worker.revision) = (now, revision.cloned()),
            None => self.0.push(Worker {
                vm,
                born: now,
                seen: now,
                successor: false,
                revision: revision.cloned(),
            }),
        }
        self.forget_replaced(now);
    }

    /// A VM goes, and says so.
    pub(super) fn remove(&mut self, vm: u64) {
        self.0.retain(|worker| worker.vm != vm);
    }

    /// What the worker that is furthest behind runs. One that fell silent, has not said that it goes, and was not replaced has trapped: Envoy
    /// lets its requests pass, or refuses them all, and either way it runs nothing.
    #[must_use]
    pub fn worst(&self, now: u64) -> Worst {
        let runs = |worker: &Worker| worker.revision.clone().filter(|_| !worker.is_silent(now));
        let worst = self.0.iter().map(runs);
        worst
            .min_by_key(|revision| revision.as_ref().map(|revision| revision.timestamp))
            .flatten()
            .map_or(Worst::None, Worst::Revision)
    }

    /// A VM stands for one silent one if it came after that one's last word, as after a trap with `FAIL_RELOAD`, or later than those of that one's
    /// time, as when another module came: Envoy drops the VMs of the one before unasked when they are drained.
    fn forget_replaced(&mut self, now: u64) {
        while let Some((silent, successor)) = self.replaced(now) {
            for worker in &mut self.0 {
                worker.successor |= worker.vm == successor;
            }
            self.remove(silent);
        }
    }

    fn replaced(&self, now: u64) -> Option<(u64, u64)> {
        let silent = self.0.iter().filter(|worker| worker.is_silent(now));
        let pair = |silent: &Worker| {
            let after = silent.seen.min(silent.born.saturating_add(TOGETHER));
            let later = |worker: &&Worker| !worker.successor && worker.born > after;
            Some((silent.vm, self.0.iter().find(later)?.vm))
        };
        silent.into_iter().find_map(pair)
    }
}

impl Worker {
    fn is_silent(&self, now: u64) -> bool {
        self.seen.saturating_add(GONE) < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: u64 = TOGETHER + 1;

    fn revision() -> Revision {
        Revision {
            uuid: "u".into(),
            timestamp: 5,
        }
    }

    fn reported(workers: &mut Workers, vms: &[u64], now: u64) {
        for vm in vms {
            workers.set(*vm, Some(&revision()), now);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut workers = Workers::default();
        workers.set(1, None, 0);
        workers.set(2, Some(&revision()), GONE);
        assert_eq!(Workers::read(&workers.write()), workers);
        assert_eq!(workers.worst(GONE), Worst::None);
        assert_eq!(Workers::default().worst(0).header(), "none");
        let read = Workers::read("x\n1 2\n1 2 3 0\n1 2 3 0 4 a\"b\n1 2 3 1 -");
        let only = Worker {
            vm: 1,
            born: 2,
            seen: 3,
            successor: true,
            revision: None,
        };
        assert_eq!(read, Workers(vec![only]));
    }

    #[test]
    fn a_worker_that_falls_silent_runs_nothing_until_it_is_back() {
        let mut workers = Workers::default();
        reported(&mut workers, &[1, 2], 0);
        reported(&mut workers, &[1], GONE);
        assert_eq!(workers.worst(GONE).header(), "W/\"5-u\"");
        reported(&mut workers, &[1], GONE + 1);
        assert_eq!(workers.worst(GONE + 1), Worst::None);
        reported(&mut workers, &[2], GONE + 2);
        assert_eq!(workers.worst(GONE + 2).header(), "W/\"5-u\"");
    }

    #[test]
    fn one_that_says_that_it_goes_is_forgotten() {
        let mut workers = Workers::default();
        reported(&mut workers, &[1, 2], 0);
        workers.remove(2);
        reported(&mut workers, &[1], GONE + 1);
        assert_eq!(workers.worst(GONE + 1).header(), "W/\"5-u\"");
    }

    #[test]
    fn one_that_is_replaced_is_forgotten_and_the_next_that_traps_is_not() {
        let mut workers = Workers::default();
        reported(&mut workers, &[1, 2, 3], 0);
        // 3 traps, and is replaced by 4.
        reported(&mut workers, &[1, 2, 4], LATER);
        let later = LATER + GONE;
        reported(&mut workers, &[1, 2, 4], later);
        assert_eq!(workers.worst(later).header(), "W/\"5-u\"");
        assert_eq!(workers.0.len(), 3);
        // 2 traps too: 4 stands for 3 already.
        let latest = later + GONE + 1;
        reported(&mut workers, &[1, 4], latest);
        assert_eq!(workers.worst(latest), Worst::None);
    }

    #[test]
    fn one_that_traps_and_is_replaced_at_once_is_forgotten() {
        let mut workers = Workers::default();
        reported(&mut workers, &[1, 2], 0);
        // With rules, which each says.
        reported(&mut workers, &[1, 2], 1);
        reported(&mut workers, &[3], 2);
        let later = GONE + 3;
        reported(&mut workers, &[1, 3], later);
        assert_eq!(workers.worst(later).header(), "W/\"5-u\"");
    }

    #[test]
    fn those_of_another_module_stand_for_all_that_were_there_before() {
        let mut workers = Workers::default();
        reported(&mut workers, &[1, 2, 3], 0);
        let drained = 20 * GONE;
        reported(&mut workers, &[1, 2, 3, 4, 5, 6], drained);
        let dropped = drained + GONE + 1;
        reported(&mut workers, &[4, 5, 6], dropped);
        assert_eq!(workers.worst(dropped).header(), "W/\"5-u\"");
        assert_eq!(workers.0.len(), 3);
    }
}
