//! The subscription: finds the controller that leads, tells it what is held, applies what it sends, and says so. When there is none,
//! the store stays as it is, and so does readiness.

pub mod address;
mod connect;
pub mod fence;
pub mod session;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use coraza_proto::convert::decode_response;
use coraza_proto::intern::Verbatim;
use coraza_proto::limits::MAX_POLLERS_PER_REPORT;
use coraza_proto::{Hello, Request};
use coraza_runtime::backoff::{self, Backoff};
use coraza_runtime::log::{News, chain};
use coraza_runtime::readiness::Latch;
use coraza_runtime::{drain, tls::ClientTls};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::pollers::{Pollers, REPORT_INTERVAL};
use connect::{ConnectError, Stream};
use fence::Fence;
use session::{Progress, Refusal, Session};

pub use address::{ControllerAddress, InvalidAddress};
pub use session::Held;

/// Between attempts at all addresses: short enough that a fail-over is not felt, long enough for a fleet of caches.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How this cache introduces itself, and to whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where controllers are.
    pub addresses: Vec<ControllerAddress>,
    /// The replica's name, for people: its Pod's.
    pub replica: String,
    /// The largest RuleSet that it takes, in bytes of payload.
    pub max_ruleset_bytes: u64,
    /// SHA-256 of the plugin file that it serves, if it serves one.
    pub plugin_digest: Option<[u8; 32]>,
    /// Who polls it: the controller is told.
    pub pollers: Pollers,
}

/// What others may know of the subscription: for metrics, and for who may read while there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// The epoch of the publisher that is obeyed, while its stream is up.
    pub connected: Option<u64>,
    /// Whether a whole snapshot was ever received.
    pub complete: bool,
    /// Streams whose publisher was obeyed.
    pub streams: u64,
    /// Messages that were applied.
    pub acks: u64,
    /// Messages that were refused.
    pub nacks: u64,
}

/// Why a subscription ended, or never was.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the stream failed")]
    Stream(#[source] Box<Status>),
    #[error("the controller ended the stream")]
    Closed,
    #[error("the publisher is not obeyed")]
    Refused(#[from] Refusal),
    #[error("the message's handler failed")]
    Handler(#[from] tokio::task::JoinError),
}

impl Ended {
    /// A standby answers so, and a leader that steps down: nothing is wrong. That certificates are missing was said when they were read.
    fn is_expected(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Subscribe(status)) | Self::Stream(status) => status.code() == Code::Unavailable,
            Self::Closed | Self::Connect(ConnectError::NoCertificates) => true,
            Self::Connect(_) | Self::Refused(_) | Self::Handler(_) => false,
        }
    }
}

/// Keeps `held` at what the leading controller publishes, and it up to date on who polls, until the drain starts.
///
/// `ready` is set at the first complete snapshot, and stays set: what was good stays served. `state` follows the subscription.
pub async fn run(
    options: Options,
    tls: ClientTls,
    held: Held,
    ready: Latch,
    state: watch::Sender<State>,
    mut drain: drain::Watch,
) {
    let process_id = Uuid::new_v4();
    let subscriber = Subscriber {
        options,
        process_id,
        tls,
        held,
        ready,
        state,
        fence: Fence::default(),
        said: News::default(),
    };
    tokio::select! {
        () = subscriber.keep_subscribed() => {}
        () = drain.signaled() => {}
    }
}

struct Subscriber {
    options: Options,
    process_id: Uuid,
    tls: ClientTls,
    held: Held,
    ready: Latch,
    state: watch::Sender<State>,
    fence: Fence,
    /// Why there is no subscription, as far as that was logged since the last one: the same isn't said again at every try.
    said: News,
}

impl Subscriber {
    async fn keep_subscribed(mut self) {
        let (min, max) = BACKOFF;
        let mut backoff = Backoff::new(min, max);
        loop {
            if self.try_each().await {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next(backoff::random())).await;
        }
    }

    /// Tries every address until one leads, and follows that one. Returns whether one did.
    async fn try_each(&mut self) -> bool {
        for address in address::resolve(&self.options.addresses).await {
            let streams = self.state.borrow().streams;
            let ended = self.follow(address).await;
            self.held.grants.incomplete();
            self.state.send_modify(|state| state.connected = None);
            match ended {
                Err(ended) if ended.is_expected() => tracing::debug!(%address, error = chain(&ended), "not subscribed"),
                Err(ended) => self.tell(address, &chain(&ended)),
                Ok(never) => match never {},
            }
            if self.state.borrow().streams > streams {
                self.said.forget();
                self.fence.heard(Instant::now());
                return true;
            }
        }
        false
    }

    /// Logs why there is no subscription: for people when it is news, else for those who look closely.
    fn tell(&mut self, address: SocketAddr, error: &str) {
        if self.said.is(address, error) {
            tracing::warn!(%address, error, "not subscribed");
        } else {
            tracing::debug!(%address, error, "not subscribed");
        }
    }

    /// Subscribes at one address and applies what comes, as long as it comes.
    async fn follow(&mut self, address: SocketAddr) -> Result<std::convert::Infallible, Ended> {
        let hello = Hello {
            replica: self.options.replica.clone(),
            process_id: self.process_id,
            holdings: self.held.store.holdings().into_iter().collect(),
            max_ruleset_bytes: self.options.max_ruleset_bytes,
            plugin_digest: self.options.plugin_digest,
            grants: self
                .held
                .grants
                .held()
                .into_iter()
                .map(|grant| (grant.token, grant))
                .collect(),
        };
        let stream = connect::open(address, &self.tls, hello).await?;
        let session = Session::new(self.fence, self.options.max_ruleset_bytes);
        self.converse(address, stream, session).await
    }

    async fn converse(
        &mut self,
        address: SocketAddr,
        mut stream: Stream,
        mut session: Session,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut report = tokio::time::interval(REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.options.pollers.report_anew();
        loop {
            let message = tokio::select! {
                message = stream.responses.message() => message,
                _ = report.tick() => {
                    self.report(&stream, session.progress());
                    continue;
                }
            };
            let message = message
                .map_err(|status| Ended::Stream(Box::new(status)))?
                .ok_or(Ended::Closed)?;
            let (held, before) = (self.held.clone(), session.progress());
            // Decoding, hashing and encoding a RuleSet take milliseconds that belong to others on this thread.
            let (heard_by, replies) = tokio::task::spawn_blocking(move || {
                let replies = session.hear(
                    decode_response(message, &Verbatim),
                    &held,
                    Instant::now(),
                    SystemTime::now(),
                );
                (session, replies)
            })
            .await?;
            session = heard_by;
            self.fence = session.fence();
            self.note(address, before, session.progress());
            for reply in replies? {
                self.count(&reply);
                if stream.requests.send((&reply).into()).await.is_err() {
                    return Err(Ended::Closed);
                }
            }
        }
    }

    /// Tells an obeyed controller who polls, if the stream has room: replies go first.
    fn report(&self, stream: &Stream, progress: Progress) {
        if progress == Progress::Greeting {
            return;
        }
        if let Ok(room) = stream.requests.try_reserve() {
            let pollers = self.options.pollers.due(MAX_POLLERS_PER_REPORT, Instant::now());
            if !pollers.is_empty() {
                room.send((&Request::Report(pollers)).into());
            }
        }
    }

    fn note(&self, address: SocketAddr, before: Progress, after: Progress) {
        match (before, after) {
            (Progress::Greeting, Progress::Snapshot { epoch }) => {
                tracing::info!(%address, epoch, "subscribed");
                self.state.send_modify(|state| {
                    state.connected = Some(epoch);
                    state.streams += 1;
                });
            }
            (Progress::Snapshot { .. }, Progress::Complete { epoch }) => {
                tracing::info!(%address, epoch, "snapshot complete");
                self.state.send_modify(|state| state.complete = true);
                self.ready.set();
            }
            _ => {}
        }
    }

    fn count(&self, reply: &Request) {
        match reply {
            Request::Ack { .. } => self.state.send_modify(|state| state.acks += 1),
            Request::Nack { nonce, detail } => {
                tracing::warn!(nonce, detail, "message refused");
                self.state.send_modify(|state| state.nacks += 1);
            }
            Request::Hello(_) | Request::Recalled { .. } | Request::Report(_) => {}
        }
    }
}
