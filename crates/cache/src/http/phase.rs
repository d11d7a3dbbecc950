//! `Phases`: what a connection is doing and until when it may. Pure: the clock comes in as a value.
//!
//! | phase | begins with | may last |
//! |---|---|---|
//! | head | the connection, or the first byte after an idle time | 5 s |
//! | handling | a whole request head | as long as the answer takes: each wait has its own end |
//! | writing | the answer's first byte | 15 s |
//! | flushing | the end of the answer's body | what is left of writing |
//! | idle | the last byte written | 60 s |

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time-outs of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a request's head.
    pub head: Duration,
    /// For an answer, from its first byte on.
    pub write: Duration,
    /// Between requests.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// Those of the Go operator.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            write: Duration::from_secs(15),
            idle: Duration::from_secs(60),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Head,
    Handling,
    Writing,
    Flushing,
    Idle,
}

/// The phase of one connection, shared by its socket, its service and its bodies. All of them run in one task: the atomics
/// are there because the compiler can't know that, and are never contended.
#[derive(Debug)]
pub(super) struct Phases {
    timeouts: Timeouts,
    start: Instant,
    phase: AtomicU8,
    /// Nanoseconds since `start`; [`NEVER`] if the phase has no end.
    deadline: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Phases {
    /// A connection that was accepted now.
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        let phases = Self {
            timeouts,
            start: now,
            phase: AtomicU8::new(Phase::Head as u8),
            deadline: AtomicU64::new(NEVER),
        };
        phases.enter(Phase::Head, Some(timeouts.head), now);
        phases
    }

    /// When the connection must be closed unless its phase changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let nanos = self.deadline.load(Ordering::Relaxed);
        if nanos == NEVER {
            None
        } else {
            self.start.checked_add(Duration::from_nanos(nanos))
        }
    }

    /// Bytes came in.
    pub(super) fn bytes_read(&self, now: Instant) {
        if self.is(Phase::Idle) {
            self.enter(Phase::Head, Some(self.timeouts.head), now);
        }
    }

    /// A whole request head was read.
    pub(super) fn request_read(&self, now: Instant) {
        self.enter(Phase::Handling, None, now);
    }

    /// Bytes went out.
    pub(super) fn bytes_written(&self, now: Instant) {
        if self.is(Phase::Handling) {
            self.enter(Phase::Writing, Some(self.timeouts.write), now);
        } else if self.is(Phase::Flushing) && self.deadline().is_none() {
            self.enter(Phase::Flushing, Some(self.timeouts.write), now);
        }
    }

    /// The answer's body has been taken over to be written. Answers that fit a buffer are before their first byte is out.
    pub(super) fn body_taken(&self) {
        self.phase.store(Phase::Flushing as u8, Ordering::Relaxed);
    }

    /// Everything that was taken over is written.
    pub(super) fn flushed(&self, now: Instant) {
        if self.is(Phase::Flushing) {
            self.enter(Phase::Idle, Some(self.timeouts.idle), now);
        }
    }

    /// The socket takes no more bytes now. An answer whose first byte can't be written must end too.
    pub(super) fn write_blocked(&self, now: Instant) {
        if self.deadline().is_none() {
            self.enter(
                if self.is(Phase::Flushing) {
                    Phase::Flushing
                } else {
                    Phase::Writing
                },
                Some(self.timeouts.write),
                now,
            );
        }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn enter(&self, phase: Phase, lasting: Option<Duration>, now: Instant) {
        let since_start = now.saturating_duration_since(self.start);
        let deadline = lasting.and_then(|lasting| u64::try_from(since_start.saturating_add(lasting).as_nanos()).ok());
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.deadline.store(deadline.unwrap_or(NEVER), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_through_two_requests() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let phases = Phases::new(Timeouts::default(), start);
        assert_eq!(phases.deadline(), Some(at(5)));
        // More bytes of the same head don't prolong it.
        phases.bytes_read(at(4));
        assert_eq!(phases.deadline(), Some(at(5)));
        phases.request_read(at(4));
        assert_eq!(phases.deadline(), None);
        // A large body: written while it is taken.
        phases.bytes_written(at(50));
        assert_eq!(phases.deadline(), Some(at(65)));
        phases.bytes_written(at(60));
        phases.flushed(at(60));
        assert_eq!(phases.deadline(), Some(at(65)));
        phases.body_taken();
        phases.bytes_written(at(61));
        assert_eq!(phases.deadline(), Some(at(65)));
        phases.flushed(at(62));
        assert_eq!(phases.deadline(), Some(at(122)));
        // The next request's first byte.
        phases.bytes_read(at(100));
        assert_eq!(phases.deadline(), Some(at(105)));
        phases.request_read(at(101));
        // A small body: taken before the first byte is written.
        phases.body_taken();
        assert_eq!(phases.deadline(), None);
        phases.bytes_written(at(102));
        assert_eq!(phases.deadline(), Some(at(117)));
        phases.flushed(at(102));
        assert_eq!(phases.deadline(), Some(at(162)));
    }

    #[test]
    fn an_answer_that_cannot_begin_ends_too() {
        let start = Instant::now();
        let phases = Phases::new(Timeouts::default(), start);
        phases.request_read(start);
        phases.body_taken();
        phases.write_blocked(start);
        assert_eq!(phases.deadline(), Some(start + Duration::from_secs(15)));
        phases.write_blocked(start + Duration::from_secs(9));
        assert_eq!(phases.deadline(), Some(start + Duration::from_secs(15)));
    }
}
