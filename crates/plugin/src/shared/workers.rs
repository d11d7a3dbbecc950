//! Which revision each VM runs. Pure.

use crate::revision::Revision;

/// A VM that is silent for so long, in nanoseconds, is gone: three of its reports.
const GONE: u64 = 30_000_000_000;
/// More VMs than an Envoy has threads.
const MAX_WORKERS: usize = 512;

/// The VMs of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers(Vec<Worker>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Worker {
    vm: u64,
    seen: u64,
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
    /// One line for each VM: `<vm> <seen> <timestamp> <uuid>`, or `-` for the last two.
    pub(super) fn read(text: &str) -> Self {
        let worker = |line: &str| {
            let mut parts = line.split(' ');
            let (vm, seen) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
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
            Some(Worker { vm, seen, revision })
        };
        Self(text.lines().filter_map(worker).take(MAX_WORKERS).collect())
    }

    pub(super) fn write(&self) -> String {
        let lines = self.0.iter().map(|Worker { vm, seen, revision }| match revision {
            Some(revision) => format!("{vm} {seen} {} {}\n", revision.timestamp, revision.uuid),
            None => format!("{vm} {seen} -\n"),
        });
        lines.collect()
    }

    pub(super) fn set(&mut self, vm: u64, revision: Option<&Revision>, now: u64) {
        self.0.retain(|worker| worker.vm != vm && !worker.is_gone(now));
        self.0.push(Worker {
            vm,
            seen: now,
            revision: revision.cloned(),
        });
    }

    /// What the worker that is furthest behind runs.
    #[must_use]
    pub fn worst(&self, now: u64) -> Worst {
        let present = self.0.iter().filter(|worker| !worker.is_gone(now));
        let worst = present.min_by_key(|worker| worker.revision.as_ref().map(|revision| revision.timestamp));
        worst
            .and_then(|worker| worker.revision.clone())
            .map_or(Worst::None, Worst::Revision)
    }
}

impl Worker {
    fn is_gone(&self, now: u64) -> bool {
        self.seen.saturating_add(GONE) < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_silent_are_forgotten() {
        let mut workers = Workers::default();
        workers.set(1, None, 0);
        workers.set(
            2,
            Some(&Revision {
                uuid: "u".into(),
                timestamp: 5,
            }),
            GONE,
        );
        assert_eq!(Workers::read(&workers.write()), workers);
        assert_eq!(workers.worst(GONE), Worst::None);
        assert_eq!(workers.worst(GONE + 1).header(), "W/\"5-u\"");
        workers.set(3, None, GONE + 1);
        assert_eq!(workers.0.len(), 2);
        assert_eq!(Workers::default().worst(0).header(), "none");
        assert_eq!(
            Workers::read("x\n1 2\n1 2 3\n1 2 3 a\"b\n1 2 -"),
            Workers(vec![Worker {
                vm: 1,
                seen: 2,
                revision: None
            }])
        );
    }
}
