//! Leader election over a Lease: [`elector`] decides, this reads and writes the Lease and tells the process who leads.
//!
//! One leader at a time publishes and writes status. The Lease is read once per retry period by those who wait, and at once when
//! a watch says that it is free; it is written once per retry period by the one who leads. A request that hangs never keeps the
//! leader from deposing itself in time.

pub mod elector;

use std::time::Duration;

use coraza_runtime::backoff::random;
use coraza_runtime::drain;
use coraza_runtime::log::chain;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::client::Clients;
use crate::lease::elector::{Elector, Record, Step, Timings};

/// The Lease's name; the Go operator's, so that the two never work at the same time.
pub const LEASE_NAME: &str = "waf.k8s.coraza.io";
/// How long the release at exit may take: within the chart's grace period, and a standby that gets no release only waits longer.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether this process leads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Receiver<Option<Reign>>);

/// A term, with its end on the process's clock; a reign without a Lease has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reign {
    epoch: u64,
    until: Option<Instant>,
}

impl Leadership {
    /// The epoch if this process leads *now*. Ask right before whatever only a leader may do: a process that was frozen past its
    /// deadline gets the right answer from its first instruction on.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        let reign = (*self.0.borrow())?;
        reign
            .until
            .is_none_or(|until| Instant::now() < until)
            .then_some(reign.epoch)
    }

    /// Returns when [`epoch`](Self::epoch) may have changed; never again once the election has ended.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The leadership of the only controller that there is: no Lease and no end. The epoch is the wall clock in seconds, so that
    /// it grows from start to start.
    #[must_use]
    pub fn unopposed() -> Self {
        let epoch = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        Self(watch::channel(Some(Reign { epoch, until: None })).1)
    }
}

#[cfg(test)]
impl Leadership {
    /// That of a process that never leads.
    pub(crate) fn none() -> Self {
        Self(watch::channel(None).1)
    }
}

/// This process as a candidate for the Lease.
#[derive(Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    /// The same, over a client whose calls may be silent.
    watched: Api<Lease>,
    elector: Elector,
    timings: Timings,
    /// The zero of the elector's clock.
    started: Instant,
    /// The Lease as our last write returned it: a renewal needs no read.
    held: Option<Lease>,
    reign: watch::Sender<Option<Reign>>,
    failing: bool,
}

impl Candidate {
    /// A candidate for the Lease in a namespace, and the other end of what it finds out.
    #[must_use]
    pub fn new(clients: &Clients, namespace: &str, identity: String, timings: Timings) -> (Self, Leadership) {
        let (reign, leadership) = watch::channel(None);
        let candidate = Self {
            leases: Api::namespaced(clients.calls.clone(), namespace),
            watched: Api::namespaced(clients.watches.clone(), namespace),
            elector: Elector::new(identity, timings),
            timings,
            started: Instant::now(),
            held: None,
            reign,
            failing: false,
        };
        (candidate, Leadership(leadership))
    }

    /// Stands for election until the drain, then gives the Lease back.
    pub async fn run(mut self, mut drain: drain::Watch) {
        let mut releases = std::pin::pin!(releases(self.watched.clone()));
        loop {
            let delay = tokio::select! {
                delay = self.round() => delay,
                () = drain.signaled() => break,
            };
            self.announce();
            tokio::select! {
                () = tokio::time::sleep_until(self.next_look(delay)) => {}
                Some(()) = releases.next() => {}
                () = drain.signaled() => break,
            }
            self.announce();
        }
        self.elector.resign();
        self.announce();
        match tokio::time::timeout(RELEASE_TIMEOUT, self.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "failed to release the lease"),
            Err(_) => tracing::warn!("failed to release the lease in time"),
        }
    }

    /// One look at the Lease, one write if it is ours to make. Gives the time until the next one.
    async fn round(&mut self) -> Duration {
        let result = timeout_at(self.patience(), self.contend())
            .await
            .unwrap_or(Err(Error::TimedOut));
        match &result {
            Err(error) if !self.failing => tracing::warn!(error = chain(error), "failed to contend for the lease"),
            Ok(()) if self.failing => tracing::info!("contending for the lease again"),
            _ => {}
        }
        self.failing = result.is_err();
        // Spread by up to a fifth, so that candidates that started together don't collide for ever.
        self.timings.retry_period.mul_f64(1.0 - random() / 5.0)
    }

    async fn contend(&mut self) -> Result<(), Error> {
        let lease = match self.held.take() {
            Some(lease) => Some(lease),
            None => self.leases.get_opt(LEASE_NAME).await.map_err(Error::Read)?,
        };
        let record = lease.as_ref().map(record);
        match self.elector.observe(self.now(), record.as_ref()) {
            Step::Wait => Ok(()),
            step @ (Step::Acquire | Step::Renew) => self.write(lease, step).await,
        }
    }

    async fn write(&mut self, lease: Option<Lease>, step: Step) -> Result<(), Error> {
        let claim = claim(
            lease,
            self.elector.identity(),
            self.timings.lease_duration,
            step,
            Timestamp::now(),
        );
        let sent = self.now();
        let written = self.put(&claim).await?;
        let version = written.metadata.resource_version.as_deref().unwrap_or_default();
        let version = version.parse().map_err(|_| Error::Version {
            version: version.to_owned(),
        })?;
        self.elector.wrote(sent, version);
        self.held = Some(written);
        Ok(())
    }

    /// Writes the Lease if nobody wrote it since it was read: its resourceVersion is the precondition.
    async fn put(&self, lease: &Lease) -> Result<Lease, Error> {
        let parameters = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.leases.replace(LEASE_NAME, &parameters, lease).await
        } else {
            self.leases.create(&parameters, lease).await
        };
        written.map_err(Error::Write)
    }

    /// Gives the Lease back if it is ours; never one that somebody else took meanwhile.
    async fn release(&mut self) -> Result<(), Error> {
        if let Some(held) = self.held.take() {
            match self.put(&released(held)).await {
                Err(Error::Write(kube::Error::Api(status))) if status.is_conflict() => {}
                result => return result.map(drop),
            }
        }
        // Perhaps our last write succeeded and its answer was lost.
        let lease = self.leases.get_opt(LEASE_NAME).await.map_err(Error::Read)?;
        match lease {
            Some(lease) if record(&lease).holder.as_deref() == Some(self.elector.identity()) => {
                self.put(&released(lease)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Tells the process about a term that began, was renewed or ended.
    fn announce(&self) {
        let reign = self.elector.term(self.now()).map(|term| {
            let until = Some(self.started + term.until);
            Reign {
                epoch: term.epoch,
                until,
            }
        });
        self.reign.send_if_modified(|current| {
            let (before, after) = (current.map(|reign| reign.epoch), reign.map(|reign| reign.epoch));
            *current = reign;
            match (before, after) {
                (_, Some(epoch)) if before != after => tracing::info!(epoch, "leading"),
                (Some(epoch), None) => tracing::info!(epoch, "leading no longer"),
                _ => {}
            }
            // A renewal changes the end only, which nobody has to wake up for.
            before != after
        });
    }

    /// When to look next: after the delay, or when our term ends, to say so.
    fn next_look(&self, delay: Duration) -> Instant {
        let look = Instant::now() + delay;
        self.elector
            .term(self.now())
            .map_or(look, |term| look.min(self.started + term.until))
    }

    /// How long a round may take: two of them fit into the time that a leader has, and none outlasts its term.
    fn patience(&self) -> Instant {
        let limit = Instant::now() + self.timings.renew_deadline / 2;
        self.elector
            .term(self.now())
            .map_or(limit, |term| limit.min(self.started + term.until))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Says each time that the Lease is free. A watch that fails only lets a release be seen at the next look.
fn releases(leases: Api<Lease>) -> impl Stream<Item = ()> {
    let watch = watch_object(leases, LEASE_NAME).default_backoff();
    watch.filter_map(async |event| event.is_ok_and(|lease| is_free(lease.as_ref())).then_some(()))
}

/// Whether nobody holds the Lease, as far as it says.
fn is_free(lease: Option<&Lease>) -> bool {
    lease.is_none_or(|lease| record(lease).holder.is_none())
}

/// What a Lease says, as far as the election goes.
fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        renewed: spec.renew_time.map(|MicroTime(time)| time.to_string()),
    }
}

/// The Lease with our name in it; what else others wrote into it stays.
fn claim(lease: Option<Lease>, identity: &str, duration: Duration, step: Step, now: Timestamp) -> Lease {
    let mut lease = lease.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(LEASE_NAME.into()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    let taken_over = spec.holder_identity.as_deref() != Some(identity);
    if step == Step::Acquire {
        spec.acquire_time = Some(MicroTime(now));
    }
    if taken_over {
        let transitions = spec
            .lease_transitions
            .map_or(0, |transitions| transitions.saturating_add(1));
        spec.lease_transitions = Some(transitions);
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The Lease without a holder, as client-go leaves it: free at once.
fn released(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    lease
}

/// Why a round of the election failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the lease")]
    Read(#[source] kube::Error),
    #[error("failed to write the lease")]
    Write(#[source] kube::Error),
    #[error("the lease's resourceVersion {version:?} is not a number")]
    Version { version: String },
    #[error("the API server did not answer in time")]
    TimedOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_counts_take_overs_and_keeps_what_others_wrote() {
        let now = Timestamp::UNIX_EPOCH;
        let first = claim(None, "a", Duration::from_secs(15), Step::Acquire, now);
        let spec = first.spec.clone().unwrap_or_default();
        assert_eq!(
            (spec.lease_transitions, spec.lease_duration_seconds),
            (Some(0), Some(15))
        );
        assert_eq!(spec.acquire_time, Some(MicroTime(now)));

        let mut found = first.clone();
        found.metadata.labels = Some([("team".to_owned(), "waf".to_owned())].into());
        let later = Timestamp::from_second(9).expect("a time");
        let second = claim(Some(found.clone()), "b", Duration::from_secs(15), Step::Acquire, later);
        assert_eq!(second.metadata.labels, found.metadata.labels);
        assert_eq!(second.spec.and_then(|spec| spec.lease_transitions), Some(1));

        let renewed = claim(Some(first), "a", Duration::from_secs(15), Step::Renew, later)
            .spec
            .unwrap_or_default();
        assert_eq!(
            (renewed.lease_transitions, renewed.acquire_time),
            (Some(0), Some(MicroTime(now)))
        );
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
    }

    #[test]
    fn a_released_lease_has_no_holder() {
        let lease = claim(None, "a", Duration::from_secs(15), Step::Acquire, Timestamp::UNIX_EPOCH);
        assert_eq!(record(&lease).holder.as_deref(), Some("a"));
        assert!(!is_free(Some(&lease)) && is_free(None));
        let lease = released(lease);
        assert_eq!(record(&lease).holder, None);
        assert!(is_free(Some(&lease)));
    }

    #[test]
    fn nobody_opposes_the_only_controller() {
        assert!(
            Leadership::unopposed()
                .epoch()
                .is_some_and(|epoch| epoch > 1_700_000_000)
        );
    }
}
