//! Counts of requests: one shard for each thread that serves, so that counting takes no lock and shares no cache line. Summed
//! when they are scraped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::route::Resource;

const HANDLERS: [(Resource, &str); 2] = [(Resource::Latest, "latest"), (Resource::Rules, "rules")];
/// As Go's promhttp writes them: methods that it doesn't know are `unknown`.
const METHODS: [&str; 3] = ["get", "head", "unknown"];
/// Every status that `respond` gives; anything else would be counted as the last.
const CODES: [u16; 10] = [200, 304, 400, 401, 403, 404, 405, 413, 503, 500];
/// Upper bounds in seconds, those of the Go operator.
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The counts of one thread.
#[derive(Debug)]
pub(super) struct Shard {
    /// By handler, method and code: see [`position`].
    series: Box<[Series]>,
    in_flight: [AtomicI64; HANDLERS.len()],
    auth_failures: AtomicU64,
}

/// Requests of one handler, method and code, by how long they took.
#[derive(Debug, Default)]
struct Series {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

/// A request that is being answered. Dropped without an end, as when the caller disconnects, it counts for nothing.
pub(super) struct InFlight<'a> {
    shard: &'a Shard,
    handler: usize,
}

impl Shard {
    fn new() -> Self {
        let series = HANDLERS.len() * METHODS.len() * CODES.len();
        Self {
            series: (0..series).map(|_| Series::default()).collect(),
            in_flight: Default::default(),
            auth_failures: AtomicU64::new(0),
        }
    }

    /// A request has come.
    pub(super) fn begin(&self, handler: Resource) -> InFlight<'_> {
        let handler = HANDLERS
            .iter()
            .position(|(resource, _)| *resource == handler)
            .unwrap_or_default();
        self.add_in_flight(handler, 1);
        InFlight { shard: self, handler }
    }

    /// A token was refused.
    pub(super) fn auth_failed(&self) {
        self.auth_failures.fetch_add(1, Ordering::Relaxed);
    }

    fn add_in_flight(&self, handler: usize, change: i64) {
        if let Some(gauge) = self.in_flight.get(handler) {
            gauge.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl InFlight<'_> {
    /// It was answered with `status` after working for `took`.
    pub(super) fn end(self, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            _ => METHODS.len() - 1,
        };
        let code = CODES
            .iter()
            .position(|code| *code == status.as_u16())
            .unwrap_or(CODES.len() - 1);
        if let Some(series) = self.shard.series.get(position(self.handler, method, code)) {
            series.observe(took);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shard.add_in_flight(self.handler, -1);
    }
}

impl Series {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKETS.len());
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

fn position(handler: usize, method: usize, code: usize) -> usize {
    (handler * METHODS.len() + method) * CODES.len() + code
}

/// The counts of all threads.
#[derive(Debug, Clone)]
pub struct Requests(Arc<[Arc<Shard>]>);

impl Requests {
    /// Counts for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Arc::new(Shard::new())).collect())
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = Arc<Shard>> {
        self.0.iter().cloned()
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.0.iter().map(|shard| of(shard)).fold(0, u64::wrapping_add)
    }

    /// Each series that has counted anything: its labels, its buckets and the sum of its durations in seconds.
    fn series(&self) -> impl Iterator<Item = (Labels, Vec<u64>, f64)> {
        let labels = HANDLERS.iter().flat_map(|(_, handler)| {
            METHODS.iter().flat_map(move |method| {
                CODES.iter().map(move |code| {
                    [
                        ("handler", handler.to_string()),
                        ("method", method.to_string()),
                        ("code", code.to_string()),
                    ]
                })
            })
        });
        labels.enumerate().filter_map(|(position, labels)| {
            let series = |shard: &Shard, of: &dyn Fn(&Series) -> u64| shard.series.get(position).map_or(0, of);
            let bucket = |bucket: usize| {
                self.sum(|shard| {
                    series(shard, &|series| {
                        series
                            .buckets
                            .get(bucket)
                            .map_or(0, |count| count.load(Ordering::Relaxed))
                    })
                })
            };
            let buckets: Vec<u64> = (0..=BUCKETS.len()).map(bucket).collect();
            let nanos = self.sum(|shard| series(shard, &|series| series.nanos.load(Ordering::Relaxed)));
            buckets
                .iter()
                .any(|count| *count > 0)
                .then(|| (labels, buckets, Duration::from_nanos(nanos).as_secs_f64()))
        })
    }
}

type Labels = [(&'static str, String); 3];

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut requests = encoder.encode_descriptor(
            "coraza_cache_server_requests",
            "Requests answered",
            None,
            MetricType::Counter,
        )?;
        for (labels, buckets, _) in self.series() {
            requests
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&buckets.iter().sum::<u64>(), None)?;
        }
        let mut durations = encoder.encode_descriptor(
            "coraza_cache_server_request_duration_seconds",
            "Time from a request's head to its answer, without the time that the caller asked to wait",
            None,
            MetricType::Histogram,
        )?;
        for (labels, buckets, sum) in self.series() {
            let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
            let count = buckets.iter().sum();
            let buckets: Vec<(f64, u64)> = bounds.zip(buckets).collect();
            durations
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let mut in_flight = encoder.encode_descriptor(
            "coraza_cache_server_in_flight_requests",
            "Requests being answered, those that wait included",
            None,
            MetricType::Gauge,
        )?;
        for (position, (_, handler)) in HANDLERS.iter().enumerate() {
            let gauge = |shard: &Arc<Shard>| {
                shard
                    .in_flight
                    .get(position)
                    .map_or(0, |gauge| gauge.load(Ordering::Relaxed))
            };
            in_flight
                .encode_family(&[("handler", *handler)])?
                .encode_gauge(&self.0.iter().map(gauge).sum::<i64>())?;
        }
        let failures = self.sum(|shard| shard.auth_failures.load(Ordering::Relaxed));
        encoder
            .encode_descriptor(
                "coraza_cache_server_auth_failures",
                "Requests whose token was refused",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&failures, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn exposition_has_the_names_of_the_go_operator() {
        let requests = Requests::new(2);
        let [a, b] = requests.shards().collect::<Vec<_>>().try_into().expect("two shards");
        a.begin(Resource::Latest)
            .end(&Method::GET, StatusCode::OK, Duration::from_millis(2));
        b.begin(Resource::Latest)
            .end(&Method::GET, StatusCode::OK, Duration::from_secs(10));
        b.begin(Resource::Rules)
            .end(&Method::POST, StatusCode::METHOD_NOT_ALLOWED, Duration::ZERO);
        drop(b.begin(Resource::Rules));
        b.auth_failed();
        let waiting = a.begin(Resource::Rules);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(requests));
        let mut text = String::new();
        encode(&mut text, &registry).expect("encoded");
        drop(waiting);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_series_has_its_place() {
        let mut positions: Vec<_> = (0..HANDLERS.len())
            .flat_map(|handler| {
                (0..METHODS.len())
                    .flat_map(move |method| (0..CODES.len()).map(move |code| position(handler, method, code)))
            })
            .collect();
        assert!(positions.is_sorted());
        positions.dedup();
        assert_eq!(positions.len(), Shard::new().series.len());
        assert_eq!(positions.last(), Some(&(positions.len() - 1)));
    }
}
