//! Stopping kindly: one signal, any number of tasks that finish what they do, a deadline.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The end that starts the drain and waits for it.
#[derive(Debug)]
pub struct Signal(watch::Sender<bool>);

/// The end that a task holds as long as it has something to finish. Dropping it says that it is done.
#[derive(Debug, Clone)]
pub struct Watch(watch::Receiver<bool>);

/// A drain that hasn't started.
#[must_use]
pub fn channel() -> (Signal, Watch) {
    let (sender, receiver) = watch::channel(false);
    (Signal(sender), Watch(receiver))
}

impl Signal {
    /// Tells every [`Watch`] to finish and waits until all of them are dropped, `deadline` at most.
    ///
    /// # Errors
    /// [`DeadlineExceeded`] if a task still holds a [`Watch`] then.
    pub async fn drain(self, deadline: Duration) -> Result<(), DeadlineExceeded> {
        // No receiver is left: nothing has to be told.
        let _ = self.0.send(true);
        tokio::time::timeout(deadline, self.0.closed())
            .await
            .map_err(|_| DeadlineExceeded)
    }
}

impl Watch {
    /// Returns when the drain has started, or when nobody is left who could start it.
    pub async fn signaled(&mut self) {
        // An error says that the signal is gone, and so is the process's main task.
        let _ = self.0.wait_for(|started| *started).await;
    }

    /// Whether the drain has started.
    #[must_use]
    pub fn is_signaled(&self) -> bool {
        *self.0.borrow()
    }
}

/// Tasks were still at work when the drain's deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tasks were still at work at the drain's deadline")]
pub struct DeadlineExceeded;

/// Returns when the process is asked to stop: SIGTERM from the kubelet, SIGINT from a terminal.
///
/// # Errors
/// If the signals can't be listened for.
pub async fn requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_every_watch() {
        let (signal, mut watch) = channel();
        let (finish, finished) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            watch.signaled().await;
            finished.await
        });
        let drain = tokio::spawn(signal.drain(Duration::from_secs(60)));
        tokio::task::yield_now().await;
        assert!(!drain.is_finished());
        finish.send(()).expect("the task waits");
        assert_eq!(drain.await.expect("ran"), Ok(()));
        assert_eq!(task.await.expect("ran"), Ok(()));
    }

    #[tokio::test]
    async fn drain_ends_at_its_deadline() {
        let (signal, watch) = channel();
        assert_eq!(signal.drain(Duration::ZERO).await, Err(DeadlineExceeded));
        assert!(watch.is_signaled());
    }

    #[tokio::test]
    async fn a_lost_signal_counts_as_a_drain() {
        let (signal, mut watch) = channel();
        drop(signal);
        watch.signaled().await;
    }
}
