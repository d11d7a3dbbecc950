//! Waiting for a condition, with a deadline, and with what was seen last in the failure's message.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a condition may take if the test doesn't say: a machine that also compiles is slow, and a test that waits in vain has failed anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked at: a request to a process on loopback takes 1 ms.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `look` gives a value, 30 s at the most. `look` says what it saw instead: `Err(status)`.
///
/// # Panics
/// When the time is up: with what was waited for, and what was seen last.
pub async fn until<T, Seen: Display>(what: &str, look: impl AsyncFnMut() -> Result<T, Seen>) -> T {
    until_within(PATIENCE, what, look).await
}

/// As [`until`], with a time of the test's own.
///
/// # Panics
/// When the time is up.
pub async fn until_within<T, Seen: Display>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, Seen>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => panic!("waited {patience:?} for {what}; seen last: {seen}"),
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Checks again and again for a while that something holds all the time: for what must *not* happen.
///
/// # Panics
/// As soon as it doesn't hold.
pub async fn holds_for<Seen: Display>(time: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<(), Seen>) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Err(seen) = look().await {
            panic!("{what} must hold for {time:?}, but: {seen}");
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_waited_for() {
        let mut looks = 0;
        let value = until("three looks", async || {
            looks += 1;
            if looks == 3 { Ok("there") } else { Err(looks) }
        });
        assert_eq!(value.await, "there");
    }

    #[tokio::test]
    #[should_panic(expected = "waited 50ms for the moon; seen last: a cloud")]
    async fn a_failure_says_what_was_seen_last() {
        until_within(Duration::from_millis(50), "the moon", async || Err::<(), _>("a cloud")).await;
    }

    #[tokio::test]
    #[should_panic(expected = "but: rain")]
    async fn what_must_hold_is_looked_at_all_the_time() {
        let mut looks = 0;
        holds_for(Duration::from_secs(5), "sunshine", async || {
            looks += 1;
            if looks < 3 { Ok(()) } else { Err("rain") }
        })
        .await;
    }
}
