//! The gRPC service: one task reads what a cache says, one stream sends what it is due. Both only drive the [`Exchange`]
//! (`super::exchange`), which decides.

use std::pin::Pin;
use std::time::Duration;

use coraza_proto::convert::{InvalidRequest, decode_request};
use coraza_proto::intern::Verbatim;
use coraza_proto::v1alpha1::distribution_server::Distribution;
use coraza_proto::v1alpha1::{SubscribeRequest, SubscribeResponse};
use coraza_proto::{CACHE_IDENTITY, Hello, Request};
use futures::Stream;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status, Streaming};

use super::Publisher;
use super::exchange::{Exchange, SessionId, Unavailable, Violation};
use super::serve::Peer;
use super::session::Step;

/// How long a peer may take to send its Hello: it is the first thing that it sends.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The service of one publisher.
#[derive(Debug)]
pub(super) struct Service {
    publisher: Publisher,
}

impl Service {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }
}

/// Why a stream ends. The one place that knows which gRPC status that is.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the peer's certificate is not for {CACHE_IDENTITY}")]
    NoCache,
    #[error("no Hello within {} s", HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("the first message must be Hello, and no other")]
    HelloExpected,
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    #[error("the connection failed")]
    Transport(#[source] Box<Status>),
    #[error("the cache left")]
    Left,
}

impl From<Unavailable> for Ended {
    fn from(unavailable: Unavailable) -> Self {
        Self::Violation(Violation::Unavailable(unavailable))
    }
}

impl Ended {
    fn code(&self) -> Code {
        match self {
            Self::NoCache => Code::Unauthenticated,
            Self::Silent => Code::DeadlineExceeded,
            Self::HelloExpected | Self::Request(_) | Self::Violation(Violation::Nonce(_)) => Code::InvalidArgument,
            Self::Violation(Violation::Unavailable(unavailable)) => match unavailable {
                Unavailable::NotLeader | Unavailable::Draining => Code::Unavailable,
                Unavailable::Full => Code::ResourceExhausted,
                Unavailable::Replaced => Code::Aborted,
            },
            Self::Transport(status) => status.code(),
            Self::Left => Code::Cancelled,
        }
    }
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        Self::new(ended.code(), ended.to_string())
    }
}

#[tonic::async_trait]
impl Distribution for Service {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: tonic::Request<Streaming<SubscribeRequest>>,
    ) -> Result<tonic::Response<Self::SubscribeStream>, Status> {
        let peer = request.extensions().get::<Peer>().copied().filter(|peer| peer.is_cache);
        let Peer { address, .. } = peer.ok_or(Ended::NoCache)?;
        // Asked before Hello too, so that a standby answers at once.
        self.publisher.read(Exchange::available).map_err(Ended::from)?;
        let mut requests = request.into_inner();
        let hello = self.hello(&mut requests).await.inspect_err(|error| {
            tracing::warn!(%address, %error, "subscription refused");
        })?;
        let (replica, holdings) = (hello.replica.clone(), hello.holdings.len());
        let subscription = Subscription::start(&self.publisher, hello).map_err(Ended::from)?;
        tracing::info!(replica, %address, holdings, "cache subscribed");
        Ok(tonic::Response::new(Box::pin(responses(subscription, requests))))
    }
}

impl Service {
    async fn hello(&self, requests: &mut Streaming<SubscribeRequest>) -> Result<Hello, Ended> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, requests.message()).await;
        let first = first
            .map_err(|_| Ended::Silent)?
            .map_err(|status| Ended::Transport(Box::new(status)))?;
        // A Hello has no texts to share.
        match decode_request(first.ok_or(Ended::Left)?, &Verbatim)? {
            Request::Hello(hello) => Ok(hello),
            Request::Ack { .. } | Request::Nack { .. } | Request::Recalled { .. } | Request::Report(_) => {
                Err(Ended::HelloExpected)
            }
        }
    }
}

/// A subscription as long as it is held.
#[derive(Debug)]
struct Subscription {
    publisher: Publisher,
    id: SessionId,
    replica: String,
    wake: watch::Receiver<()>,
}

impl Subscription {
    fn start(publisher: &Publisher, hello: Hello) -> Result<Self, Unavailable> {
        let replica = hello.replica.clone();
        // Before the first look at what is due, so that no change after it goes unseen.
        let wake = publisher.shared.wake.subscribe();
        let id = publisher.update(|exchange, now| exchange.subscribe(hello, now))?;
        Ok(Self {
            publisher: publisher.clone(),
            id,
            replica,
            wake,
        })
    }

    /// The next message, when there is one.
    async fn next(&mut self) -> Result<SubscribeResponse, Unavailable> {
        loop {
            self.wake.mark_unchanged();
            let until = match self.publisher.step(self.id)? {
                Step::Send(response) => return Ok((&response).into()),
                Step::Wait(until) => until,
            };
            let timeout = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives in the publisher that is held here.
                _ = self.wake.changed() => {}
                () = timeout => {}
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.publisher
            .update(|exchange, now| exchange.unsubscribe(self.id, now));
        tracing::info!(replica = self.replica, "cache unsubscribed");
    }
}

/// What is sent on a stream: what is due, until the subscription or the cache's side of the stream ends.
fn responses(
    subscription: Subscription,
    requests: Streaming<SubscribeRequest>,
) -> impl Stream<Item = Result<SubscribeResponse, Status>> + Send {
    let listener = Listener {
        publisher: subscription.publisher.clone(),
        id: subscription.id,
        replica: subscription.replica.clone(),
    };
    // A task of its own, so that what a cache says is heard while it takes no more messages.
    let listening = AbortOnDropHandle::new(tokio::spawn(listener.listen(requests)));
    futures::stream::unfold(Some((subscription, listening)), |open| async {
        let (mut subscription, mut listening) = open?;
        let ended = tokio::select! {
            ended = &mut listening => ended.unwrap_or(Ended::Left),
            response = subscription.next() => match response {
                Ok(response) => return Some((Ok(response), Some((subscription, listening)))),
                Err(unavailable) => unavailable.into(),
            },
        };
        tracing::debug!(replica = subscription.replica, %ended, "stream ends");
        Some((Err(ended.into()), None))
    })
}

/// Takes in what one cache says.
struct Listener {
    publisher: Publisher,
    id: SessionId,
    replica: String,
}

impl Listener {
    async fn listen(self, mut requests: Streaming<SubscribeRequest>) -> Ended {
        loop {
            let heard = match requests.message().await {
                Ok(Some(request)) => self.hear(request),
                Ok(None) => return Ended::Left,
                Err(status) => return Ended::Transport(Box::new(status)),
            };
            if let Err(ended) = heard {
                tracing::warn!(replica = self.replica, error = %ended, "cache violates the protocol");
                return ended;
            }
        }
    }

    fn hear(&self, request: SubscribeRequest) -> Result<(), Ended> {
        // Decoded before any lock is taken: checking a recalled content takes a while.
        let request = match decode_request(request, &self.publisher.shared.interner) {
            Ok(request) => request,
            Err(InvalidRequest::Unknown) => {
                tracing::debug!(replica = self.replica, "request of an unknown kind passed over");
                return Ok(());
            }
            Err(InvalidRequest::Recalled { key, source }) => {
                tracing::warn!(replica = self.replica, %key, error = %source, "recalled content refused");
                self.publisher
                    .update(|exchange, now| exchange.recall_failed(self.id, &key, now));
                return Ok(());
            }
            Err(invalid) => return Err(invalid.into()),
        };
        match request {
            Request::Hello(_) => Err(Ended::HelloExpected),
            Request::Ack { nonce } => Ok(self
                .publisher
                .update(|exchange, _| exchange.acknowledged(self.id, nonce))?),
            Request::Nack { nonce, detail } => {
                tracing::warn!(replica = self.replica, nonce, detail, "cache refused a message");
                Ok(self
                    .publisher
                    .update(|exchange, now| exchange.refused(self.id, nonce, detail, now))?)
            }
            Request::Recalled { key, ruleset } => {
                tracing::info!(replica = self.replica, %key, found = ruleset.is_some(), "cache answered a recall");
                Ok(self
                    .publisher
                    .update(|exchange, now| exchange.recalled(self.id, &key, ruleset, now))?)
            }
            // Wakes nobody: nothing is sent for it.
            Request::Report(pollers) => Ok(self.publisher.reported(self.id, pollers)?),
        }
    }
}
