//! The response's side of a stream.

use std::time::Duration;

use coraza_engine::Transaction;
use coraza_engine::transaction::states;

use super::head::{self, Body};
use super::{Outlets, Stage, Stream};
use crate::host::{Action, Buffer, Headers, Host, Pairs, Side};

/// Switching Protocols: what follows is no HTTP.
const SWITCHING: u16 = 101;

impl Stream {
    /// The response's head.
    pub fn response_headers<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, end: bool) -> Action {
        // Our own answer comes by here too.
        if self.answered || matches!(self.stage, Stage::Passed) {
            return Action::Continue;
        }
        let headers = match outlets.host.headers(Headers::Response) {
            Ok(headers) => headers,
            Err(status) => {
                self.stage = std::mem::take(&mut self.stage)
                    .end()
                    .map_or(Stage::Passed, Stage::Logging);
                return self.broken(outlets, "response headers", status);
            }
        };
        let status = headers
            .get(":status")
            .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status = status.unwrap_or_default();
        self.status = Some(status);
        // The upstream answered before it had all of the request.
        if matches!(self.stage, Stage::RequestBody(_)) {
            self.read_request_body(outlets, Side::Request);
        }
        let mut transaction = match std::mem::take(&mut self.stage) {
            Stage::ResponseHeaders(transaction) => transaction,
            other => {
                self.stage = other;
                return self.answer_to_response();
            }
        };
        transaction.set_elapsed(Duration::from_nanos(outlets.host.now().saturating_sub(self.started)));
        let transaction = match transaction.response_headers(status, &self.protocol, headers.regular()) {
            Ok(transaction) => transaction,
            Err(interrupted) => {
                self.interrupted(outlets, interrupted, Side::Request);
                return self.answer_to_response();
            }
        };
        if !end && status != SWITCHING && self.may_hold(&headers) && transaction.wants_body() {
            self.stage = Stage::ResponseBody(transaction);
            return Action::Continue;
        }
        self.response_end(outlets, transaction, Side::Request);
        self.answer_to_response()
    }

    /// Whether the response's body may be held: it has an end.
    fn may_hold(&self, headers: &Pairs) -> bool {
        self.head.body == Body::Whole && !head::is_event_stream(headers)
    }

    /// A head that is held stalls, also when an answer of ours is on its way: that takes its place.
    fn answer_to_response(&self) -> Action {
        if self.answered { Action::Pause } else { Action::Continue }
    }

    /// A part of the response's body: `size` bytes are held.
    pub fn response_body<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, size: usize, end: bool) -> Action {
        match &self.stage {
            Stage::ResponseBody(transaction)
                if !end && size <= self.limit(transaction.body_limit(), Side::Response) =>
            {
                Action::Pause
            }
            Stage::ResponseBody(_) => self.read_response_body(outlets),
            _ => Action::Continue,
        }
    }

    /// The response's trailers: its body has ended.
    pub fn response_trailers<H: Host>(&mut self, outlets: &mut Outlets<'_, H>) -> Action {
        self.read_response_body(outlets)
    }

    fn read_response_body<H: Host>(&mut self, outlets: &mut Outlets<'_, H>) -> Action {
        let transaction = match std::mem::take(&mut self.stage) {
            Stage::ResponseBody(transaction) => transaction,
            other => {
                self.stage = other;
                return Action::Continue;
            }
        };
        let length = self.limit(transaction.body_limit(), Side::Response).saturating_add(1);
        let bytes = match outlets.host.buffer(Buffer::ResponseBody, 0, length) {
            Ok(bytes) => bytes,
            Err(status) => {
                self.stage = Stage::Logging(transaction.end());
                return self.broken_response(outlets, status);
            }
        };
        match transaction.append(&bytes) {
            Ok(transaction) => self.response_end(outlets, transaction, Side::Response),
            Err(interrupted) => self.interrupted(outlets, interrupted, Side::Response),
        }
    }

    fn response_end<H: Host>(
        &mut self,
        outlets: &mut Outlets<'_, H>,
        mut transaction: Transaction<states::ResponseBody>,
        side: Side,
    ) -> Action {
        transaction.set_elapsed(Duration::from_nanos(outlets.host.now().saturating_sub(self.started)));
        match transaction.response_body() {
            Err(interrupted) => self.interrupted(outlets, interrupted, side),
            Ok(transaction) => {
                self.stage = Stage::Logging(transaction);
                Action::Continue
            }
        }
    }

    /// The head is with the client, so an answer in its place would be none.
    fn broken_response<H: Host>(&mut self, outlets: &mut Outlets<'_, H>, status: crate::host::Status) -> Action {
        let action = self.broken(outlets, "response body", status);
        if action == Action::Pause {
            let _ = outlets.host.close(Side::Response);
        }
        action
    }
}
