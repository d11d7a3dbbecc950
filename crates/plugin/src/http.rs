//! `Stream`: one request and its response, on their way through Envoy's callbacks and the engine's phases.
//!
//! | Envoy | phase | held |
//! |---|---|---|
//! | request's head | 1; 2 too if no body is to be seen | never: without a setting that Istio can't make, a held head stalls the request |
//! | request's body, trailers | 2, at its end or at the limit | until then |
//! | response's head | 2 if it didn't run (an early answer), 3; 4 too if no body is to be seen | never: it would stall |
//! | response's body, trailers | 4, at its end or at the limit | until then |
//! | log | 5 | |
//!
//! Tunnels, upgrades, gRPC and event streams have no end to wait for: their bodies pass uninspected.

mod act;
mod head;
mod report;
mod response;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coraza_engine::Transaction;
use coraza_engine::seclang::rules::LimitAction;
use coraza_engine::transaction::{Connection, Identity, Interrupted, RequestLine, states};

use crate::config::FailurePolicy;
use crate::host::{Action, Buffer, Headers, Host, Side, Status};
use crate::limiter::Limiter;
use crate::load::Loaded;
use crate::metrics::Metrics;
use crate::site::Site;
use head::{Body, RequestHead};

/// The largest body that is copied to be inspected, whatever Envoy may hold: linear memory never shrinks.
const MAX_BODY: usize = 8 << 20;

/// What streams write to.
#[derive(Debug)]
pub struct Outlets<'a, H> {
    /// Envoy.
    pub host: &'a H,
    /// Metrics.
    pub metrics: &'a mut Metrics,
    /// How many lines may be logged.
    pub limiter: &'a mut Limiter,
}

/// The rules that a stream is inspected with.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The rules.
    pub loaded: Rc<Loaded>,
    /// The configured authority that they are for, if they are for one.
    pub authority: Option<String>,
}

/// One request and its response.
#[derive(Debug, Default)]
pub struct Stream {
    site: Option<Arc<Site>>,
    rules: Option<Selected>,
    stage: Stage,
    head: RequestHead,
    client: Vec<u8>,
    protocol: Vec<u8>,
    started: u64,
    /// The status that the upstream, or Envoy in its stead, answered with.
    status: Option<u16>,
    /// Whether we answered, or closed the stream.
    answered: bool,
    /// Whether the host failed us.
    failed: bool,
}

/// What comes next.
#[derive(Debug, Default)]
enum Stage {
    /// Nothing: the stream isn't inspected, or not any more.
    #[default]
    Passed,
    RequestBody(Transaction<states::RequestBody>),
    ResponseHeaders(Transaction<states::ResponseHeaders>),
    ResponseBody(Transaction<states::ResponseBody>),
    Logging(Transaction<states::Logging>),
}

impl Stage {
    /// The transaction, to be logged as far as it came.
    fn end(self) -> Option<Transaction<states::Logging>> {
        match self {
            Self::Passed => None,
            Self::RequestBody(transaction) => Some(transaction.end()),
            Self::ResponseHeaders(transaction) => Some(transaction.end()),
            Self::ResponseBody(transaction) => Some(transaction.end()),
            Self::Logging(transaction) => Some(transaction),
        }
    }
}

impl Stream {
    /// The request's head. `select` gives the rules for an authority, if there are any yet.
    pub fn request_headers<H: Host>(
        &mut self,
        outlets: &mut Outlets<'_, H>,
        site: &Arc<Site>,
        select: impl FnOnce(&[u8]) -> Option<Selected>,
        end: bool,
    ) -> Action {
        let host = outlets.host;
        self.site = Some(Arc::clone(site));
        self.started = host.now();
        let headers = match host.headers(Headers::Request) {
            Ok(headers) => headers,
            Err(status) => return self.broken(outlets, "request headers", status),
        };
        self.head = RequestHead::of(&headers, &site.stream_content_types);
        let Some(rules) = select(&self.head.authority) else {
            return self.without_rules(outlets);
        };
        outlets.metrics.add(host, site.names.transactions(), 1);
        let source = host.property(&["source", "address"]).unwrap_or_default();
        let destination = host.property(&["destination", "address"]).unwrap_or_default();
        let (client_address, client_port) = head::address(&source);
        let (server_address, server_port) = head::address(&destination);
        self.client = client_address.to_vec();
        self.protocol = host.property(&["request", "protocol"]).unwrap_or_default();
        if self.protocol.is_empty() {
            self.protocol = b"HTTP/2.0".to_vec();
        }
        if self.head.request_id.is_empty() {
            self.head.request_id = format!("{:016x}", host.random()).into_bytes();
        }
        let connection = Connection {
            client_address,
            client_port,
            server_address,
            server_port,
        };
        let identity = Identity {
            unique_id: &self.head.request_id,
            started: Duration::from_nanos(self.started),
        };
        let line = RequestLine {
            method: &self.head.method,
            uri: &self.head.uri,
            protocol: &self.protocol,
        };
        let transaction = Transaction::new(&rules.loaded.program, &connection, &identity);
        self.rules = Some(rules);
        if self.head.body == Body::Stream && !end {
            outlets.metrics.add(host, site.names.own("tx.uninspected_streams"), 1);
        }
        match transaction.request_headers(&line, self.head.fields(&headers)) {
            Err(interrupted) => self.interrupted(outlets, interrupted, Side::Request),
            Ok(transaction) if end || self.head.body == Body::Stream || !transaction.wants_body() => {
                self.request_end(outlets, transaction, Side::Request)
            }
            Ok(transaction) => {
                self.stage = Stage::RequestBody(transaction);
                Action::Continue
            }
        }
    }

    /// A part of the request's body: `size` bytes are held.
    pub fn request_body<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, size: usize, end: bool) -> Action {
        let Stage::RequestBody(transaction) = &self.stage else {
            return self.pass();
        };
        let whole = match self.head.body {
            Body::Upgrade(length) => size >= length,
            Body::Whole | Body::Stream => false,
        };
        if !end && !whole && size <= self.limit(transaction.body_limit(), Side::Request) {
            return Action::Pause;
        }
        self.read_request_body(outlets, Side::Request)
    }

    /// The request's trailers: its body has ended.
    pub fn request_trailers<H: Host>(&mut self, outlets: &mut Outlets<'_, H>) -> Action {
        self.read_request_body(outlets, Side::Request)
    }

    /// Phase 2 on the bytes that are held.
    fn read_request_body<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, side: Side) -> Action {
        let transaction = match std::mem::take(&mut self.stage) {
            Stage::RequestBody(transaction) => transaction,
            other => {
                self.stage = other;
                return self.pass();
            }
        };
        // One byte more than may be inspected tells the engine that there are more.
        let length = self.limit(transaction.body_limit(), Side::Request).saturating_add(1);
        let bytes = match outlets.host.buffer(Buffer::RequestBody, 0, length) {
            Ok(bytes) => bytes,
            Err(status) => {
                self.stage = Stage::Logging(transaction.end());
                return self.broken(outlets, "request body", status);
            }
        };
        match transaction.append(&bytes) {
            Err(interrupted) => self.interrupted(outlets, interrupted, side),
            Ok(transaction) => {
                drop(bytes);
                self.request_end(outlets, transaction, side)
            }
        }
    }

    fn request_end<H: Host>(
        &mut self,
        outlets: &mut Outlets<'_, H>,
        transaction: Transaction<states::RequestBody>,
        side: Side,
    ) -> Action {
        match transaction.request_body() {
            Err(interrupted) => self.interrupted(outlets, interrupted, side),
            Ok(transaction) => {
                self.stage = Stage::ResponseHeaders(transaction);
                Action::Continue
            }
        }
    }

    fn interrupted<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, interrupted: Interrupted, side: Side) -> Action {
        let Interrupted {
            interruption,
            transaction,
        } = interrupted;
        self.tell_access_logs(outlets.host, &interruption, transaction.matched());
        self.stage = Stage::Logging(transaction);
        self.answered = true;
        act::act(outlets.host, &interruption, side)
    }

    /// What a part of an uninspected stream gets. What comes after our answer is held back until the stream is gone.
    fn pass(&self) -> Action {
        if self.answered { Action::Pause } else { Action::Continue }
    }

    /// There are no rules yet.
    fn without_rules<H: Host>(&mut self, outlets: &mut Outlets<'_, H>) -> Action {
        self.fail(outlets, act::NO_RULES)
    }

    /// The host failed in a way that it does not with sound requests: as if there were no rules.
    fn broken<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, what: &str, status: Status) -> Action {
        self.failed = true;
        if let Some(suppressed) = outlets.limiter.admit(outlets.host.now()) {
            let line = serde_json::json!({
                "event": "coraza_waf_host_error", "reading": what, "error": status.to_string(), "suppressed": suppressed,
            });
            outlets.host.log(crate::host::Level::Error, &line.to_string());
        }
        self.fail(outlets, act::ENGINE_ERROR)
    }

    fn fail<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, body: &[u8]) -> Action {
        let Some(site) = &self.site else {
            return Action::Continue;
        };
        self.count_request(outlets, "error", None);
        match site.failure_policy {
            FailurePolicy::Allow => Action::Continue,
            FailurePolicy::Fail => {
                self.answered = true;
                act::unavailable(outlets.host, body)
            }
        }
    }

    /// How many bytes of a body are inspected, where the rules would see `of_rules`.
    fn limit(&self, of_rules: u64, side: Side) -> usize {
        let settings = self.rules.as_ref().map(|rules| rules.loaded.program.settings());
        let partial = settings.is_some_and(|settings| {
            let body = match side {
                Side::Request => &settings.request_body,
                Side::Response => &settings.response_body,
            };
            body.limit_action == LimitAction::ProcessPartial
        });
        let held = self
            .site
            .as_ref()
            .filter(|_| partial)
            .map_or(u64::MAX, |site| site.max_held_body_bytes);
        usize::try_from(of_rules.min(held)).unwrap_or(usize::MAX).min(MAX_BODY)
    }
}

#[cfg(test)]
mod tests;
