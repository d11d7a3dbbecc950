//! One request: route, authenticate, look up, perhaps wait, answer. The shell around the pure steps; it does no IO but waiting.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use coraza_ruleset::Running;
use coraza_runtime::drain;
use http::header::{CONNECTION, ETAG, HeaderMap, HeaderValue};
use http::{Request, Response};
use hyper::body::Body;
use tokio_util::sync::CancellationToken;

use super::respond::{self, HttpError};
use super::route::{self, Resource, Route};
use super::wait::{Ticket, Waiters};
use super::{identity, metrics, negotiate};
use crate::auth::{Access, Authenticate, BearerToken, Refusal};
use crate::pollers::{Identity, Pollers};
use crate::store::{Entry, Pieces, Store};

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct Service<A> {
    pub(super) store: Store,
    pub(super) authenticate: A,
    pub(super) waiters: Arc<Waiters>,
    pub(super) pollers: Pollers,
    /// The longest wait that is granted.
    pub(super) max_wait: Duration,
    pub(super) drain: drain::Watch,
    /// Whether the drain has begun: what `drain` says, for a price that every request can pay.
    pub(super) draining: AtomicBool,
}

/// How a wait ended.
enum News {
    /// The entry is no longer the one that is served.
    Changed,
    /// There are none: the time is over, or the process ends.
    None,
    /// The token was revoked or has expired, or was good only while nobody could say what is granted.
    TokenEnded,
}

impl<A: Authenticate> Service<A> {
    /// The answer to `request` from `address`.
    pub(super) async fn answer<B: Body>(
        &self,
        request: &Request<B>,
        address: IpAddr,
        metrics: &metrics::Shard,
    ) -> Response<Pieces> {
        let started = Instant::now();
        let in_flight = metrics.begin(Resource::of_path(request.uri().path()));
        let mut waited = Duration::ZERO;
        let mut response = self
            .respond(request, address, &mut waited)
            .await
            .unwrap_or_else(|error| {
                if let HttpError::Auth(refusal) = error {
                    metrics.auth_failed();
                    tracing::debug!(%address, path = request.uri().path(), reason = %refusal, "refused a request");
                }
                respond::failed(&error)
            });
        if self.draining.load(Ordering::Relaxed) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        in_flight.end(
            request.method(),
            response.status(),
            started.elapsed().saturating_sub(waited),
        );
        response
    }

    async fn respond<B: Body>(
        &self,
        request: &Request<B>,
        address: IpAddr,
        waited: &mut Duration,
    ) -> Result<Response<Pieces>, HttpError> {
        let route = route::route(request.method(), request.uri().path())?;
        if !request.body().is_end_stream() {
            return Err(HttpError::Body);
        }
        let headers = request.headers();
        let token = BearerToken::of(headers)?;
        let access = self.authenticate.authenticate(&token, &route.key).await?;
        let (id, running) = identity::of(headers, address);
        if let Some(engine) = &access.engine {
            self.pollers.saw(engine, id, running, Instant::now());
        }
        let Some(wait) = negotiate::wait(headers, self.max_wait).filter(|_| !self.draining.load(Ordering::Relaxed))
        else {
            let response = self.respond_now(&route, headers)?;
            self.served(&route, &access, id, &response);
            return Ok(response);
        };
        let mut response = self.respond_now(&route, headers)?;
        if response.status() == http::StatusCode::NOT_MODIFIED {
            let Some(ticket) = self.waiters.enter(&route.key, address) else {
                return Ok(response);
            };
            let began = Instant::now();
            let held = access.engine.as_ref().map(|engine| self.pollers.hold(engine, id));
            let outcome = self
                .respond_later((&route, headers), (&token, access.clone()), &ticket, began + wait)
                .await;
            drop(held);
            *waited = began.elapsed();
            response = outcome?;
        }
        self.served(&route, &access, id, &response);
        respond::preference_applied(&mut response, wait);
        Ok(response)
    }

    /// The answer as of now.
    fn respond_now(&self, route: &Route, headers: &HeaderMap) -> Result<Response<Pieces>, HttpError> {
        let entry = self.store.get(&route.key).ok_or(HttpError::NotFound)?;
        Ok(if respond::is_news(&entry, headers) {
            respond::found(&entry, route.resource, headers)
        } else {
            respond::not_modified(&entry)
        })
    }

    /// Remembers what was sent to a poller that doesn't say what it runs.
    fn served(&self, route: &Route, access: &Access, id: Identity<'_>, response: &Response<Pieces>) {
        let sent = route.resource == Resource::Rules && response.status() == http::StatusCode::OK;
        if let (Identity::Address(_), Some(engine), true) = (id, &access.engine, sent)
            && let Some(tag) = response.headers().get(ETAG).and_then(negotiate::tag)
        {
            self.pollers.saw(engine, id, Running::Revision(tag), Instant::now());
        }
    }

    /// The answer when there are news, or none until `deadline`.
    async fn respond_later(
        &self,
        (route, headers): (&Route, &HeaderMap),
        (token, mut access): (&BearerToken<'_>, Access),
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<Response<Pieces>, HttpError> {
        loop {
            let entry = self.store.get(&route.key).ok_or(HttpError::NotFound)?;
            if respond::is_news(&entry, headers) {
                return Ok(respond::found(&entry, route.resource, headers));
            }
            let news = self.news(&entry, &access, deadline).await;
            if matches!(news, News::TokenEnded) {
                // It may be good in another way now, but must be for longer than no time, or this would never end.
                access = self.authenticate.authenticate(token, &route.key).await?;
                match ended(&access) {
                    Some(refusal) => return Err(refusal.into()),
                    None => continue,
                }
            }
            let unchanged = respond::not_modified(&entry);
            // Nothing of the old revision is kept while this caller awaits its turn.
            drop(entry);
            tokio::time::sleep(ticket.turn()).await;
            if matches!(news, News::None) {
                return Ok(unchanged);
            }
        }
    }

    async fn news(&self, entry: &Entry, access: &Access, deadline: Instant) -> News {
        let mut drain = self.drain.clone();
        tokio::select! {
            // When several have happened, the token's end goes before all and news before the end of the wait.
            biased;
            () = end_of(access) => News::TokenEnded,
            () = entry.superseded() => News::Changed,
            () = drain.signaled() => {
                // This wait may learn of the drain before anybody else, and its answer must close the connection.
                self.draining.store(true, Ordering::Relaxed);
                News::None
            }
            () = tokio::time::sleep_until(deadline.into()) => News::None,
        }
    }
}

/// Ends when the token does.
async fn end_of(access: &Access) {
    let remaining = access.expires.duration_since(SystemTime::now()).unwrap_or_default();
    let revoked = async {
        match &access.revoked {
            Some(revoked) => revoked.cancelled().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = revoked => {}
        () = tokio::time::sleep(remaining) => {}
    }
}

/// How a token has ended, if it has.
fn ended(access: &Access) -> Option<Refusal> {
    let revoked = access.revoked.as_ref().is_some_and(CancellationToken::is_cancelled);
    let expired = access.expires <= SystemTime::now();
    revoked
        .then_some(Refusal::Revoked)
        .or(expired.then_some(Refusal::Expired))
}
