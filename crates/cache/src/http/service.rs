//! One request: route, authenticate, look up, perhaps wait, answer. The shell around the pure steps; it does no IO but waiting.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use coraza_runtime::drain;
use http::header::{CONNECTION, HeaderMap, HeaderValue};
use http::{Request, Response};
use hyper::body::Body;

use super::respond::{self, HttpError};
use super::route::{self, Resource, Route};
use super::wait::{Ticket, Waiters};
use super::{metrics, negotiate};
use crate::auth::{Access, Authenticate, BearerToken, Refusal};
use crate::store::{Entry, Pieces, Store};

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct Service<A> {
    pub(super) store: Store,
    pub(super) authenticate: A,
    pub(super) waiters: Arc<Waiters>,
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
        let access = self
            .authenticate
            .authenticate(&BearerToken::of(headers)?, &route.key)
            .await?;
        let Some(wait) = negotiate::wait(headers, self.max_wait).filter(|_| !self.draining.load(Ordering::Relaxed))
        else {
            return self.respond_now(&route, headers);
        };
        let mut response = self.respond_now(&route, headers)?;
        if response.status() == http::StatusCode::NOT_MODIFIED {
            let Some(ticket) = self.waiters.enter(&route.key, address) else {
                return Ok(response);
            };
            let began = Instant::now();
            let outcome = self
                .respond_later(&route, headers, &access, &ticket, began + wait)
                .await;
            *waited = began.elapsed();
            response = outcome?;
        }
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

    /// The answer when there are news, or none until `deadline`.
    async fn respond_later(
        &self,
        route: &Route,
        headers: &HeaderMap,
        access: &Access,
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<Response<Pieces>, HttpError> {
        loop {
            let entry = self.store.get(&route.key).ok_or(HttpError::NotFound)?;
            if respond::is_news(&entry, headers) {
                return Ok(respond::found(&entry, route.resource, headers));
            }
            let news = self.news(&entry, access, deadline).await?;
            let unchanged = respond::not_modified(&entry);
            // Nothing of the old revision is kept while this caller awaits its turn.
            drop(entry);
            tokio::time::sleep(ticket.turn()).await;
            if matches!(news, News::None) {
                return Ok(unchanged);
            }
        }
    }

    async fn news(&self, entry: &Entry, access: &Access, deadline: Instant) -> Result<News, Refusal> {
        let mut drain = self.drain.clone();
        tokio::select! {
            // When several have happened, the token's end goes before all and news before the end of the wait.
            biased;
            refusal = end_of(access) => Err(refusal),
            () = entry.superseded() => Ok(News::Changed),
            () = drain.signaled() => {
                // This wait may learn of the drain before anybody else, and its answer must close the connection.
                self.draining.store(true, Ordering::Relaxed);
                Ok(News::None)
            }
            () = tokio::time::sleep_until(deadline.into()) => Ok(News::None),
        }
    }
}

/// Ends when the token does.
async fn end_of(access: &Access) -> Refusal {
    let remaining = access.expires.duration_since(SystemTime::now()).unwrap_or_default();
    let revoked = async {
        match &access.revoked {
            Some(revoked) => revoked.cancelled().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = revoked => Refusal::Revoked,
        () = tokio::time::sleep(remaining) => Refusal::Expired,
    }
}
