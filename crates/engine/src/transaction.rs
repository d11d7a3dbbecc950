//! `Transaction`: one request and its response on their way through the rules. No IO.
//!
//! The phases can't be called out of order: each call takes the transaction and gives it back in its next state, or with what
//! interrupts it. After an interruption, or when it ends early, a transaction is still to be logged.

mod control;
mod evaluate;
mod meter;
mod naive;
mod planned;
mod request;
mod resolve;
mod response;
mod state;
mod test;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use coraza_seclang::rules::{Phase, Variable};

use crate::anomaly::AnomalyScores;
use crate::error_log::Origin;
use crate::event::MatchedRule;
use crate::interruption::Interruption;
use crate::program::Program;

pub(crate) use control::Control;
pub(crate) use meter::Meter;
pub(crate) use state::{LastMatch, State};

/// Who speaks with whom, as the server sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection<'a> {
    /// The client's IP address, as text.
    pub client_address: &'a [u8],
    /// Its port.
    pub client_port: u16,
    /// The server's IP address, as text.
    pub server_address: &'a [u8],
    /// Its port.
    pub server_port: u16,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// `GET`.
    pub method: &'a [u8],
    /// `/path?query`, as it came.
    pub uri: &'a [u8],
    /// `HTTP/1.1`.
    pub protocol: &'a [u8],
}

/// What tells one transaction from all others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    /// `UNIQUE_ID`.
    pub unique_id: &'a [u8],
    /// When it began, since 1970-01-01 in UTC.
    pub started: Duration,
}

/// The states of a [`Transaction`].
pub mod states {
    /// The connection is there, the request's head comes next.
    #[derive(Debug)]
    pub struct Connected(());
    /// The request's body, or its end, comes next.
    #[derive(Debug)]
    pub struct RequestBody(());
    /// The response's head comes next.
    #[derive(Debug)]
    pub struct ResponseHeaders(());
    /// The response's body, or its end, comes next.
    #[derive(Debug)]
    pub struct ResponseBody(());
    /// All is said and done; the rules of phase 5 come next.
    #[derive(Debug)]
    pub struct Logging(());
}

/// One request and its response. `S` says what may come next, so a phase can't be called before its time:
///
/// ```compile_fail,E0599
/// # fn f(program: &std::sync::Arc<coraza_engine::Program>) {
/// use coraza_engine::transaction::{Connection, Identity, Transaction};
///
/// let transaction = Transaction::new(program, &Connection::default(), &Identity::default());
/// transaction.request_body();
/// # }
/// ```
///
/// nor twice:
///
/// ```compile_fail,E0382
/// # use coraza_engine::transaction::{Transaction, states};
/// # fn f(transaction: Transaction<states::RequestBody>) {
/// let response = transaction.request_body();
/// let again = transaction.request_body();
/// # }
/// ```
#[derive(Debug)]
pub struct Transaction<S> {
    state: Box<State>,
    next: PhantomData<S>,
}

/// A transaction that may not go on.
#[derive(Debug)]
pub struct Interrupted {
    /// What is to be done.
    pub interruption: Interruption,
    /// What is left of the transaction: it is to be logged.
    pub transaction: Transaction<states::Logging>,
}

/// The transaction in its next state, or what interrupts it.
pub type Progress<S> = Result<Transaction<S>, Interrupted>;

/// What is to say about a transaction that has ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where it came from.
    pub origin: Origin,
    /// The rules that matched and want to be logged, in order.
    pub matched: Vec<MatchedRule>,
    /// How many more there were: not all are remembered.
    pub forgotten: usize,
    /// What interrupted it, or would have if the engine only detects.
    pub interruption: Option<Interruption>,
    /// Whether the interruption took place.
    pub interrupted: bool,
    /// What its anomalies added up to.
    pub anomaly_scores: AnomalyScores,
    /// The record for the audit log, one line of JSON in the shape of libmodsecurity's, if `SecAuditEngine` and
    /// `SecAuditLogRelevantStatus` want one; `SecAuditLogParts` says what is in it. Bodies and headers are cut.
    pub audit_log: Option<String>,
    /// How much work its rules were: bytes that were looked at, each as often as it was.
    pub work: u64,
    /// How often one of the rules' regular expressions was started on a value.
    pub patterns_started: u64,
    /// Whether work or memory reached its limit, after which rules see less than they ask for.
    pub exceeded: bool,
}

impl Transaction<states::Connected> {
    /// Begins a transaction.
    #[must_use]
    pub fn new(program: &Arc<Program>, connection: &Connection<'_>, identity: &Identity<'_>) -> Self {
        Self {
            state: Box::new(State::new(program, connection, identity)),
            next: PhantomData,
        }
    }

    /// Phase 1: the request's head.
    ///
    /// # Errors
    /// What interrupts the transaction.
    pub fn request_headers<'h>(
        mut self,
        line: &RequestLine<'_>,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Progress<states::RequestBody> {
        self.state.request_head(line, headers);
        self.run(Phase::RequestHeaders)
    }
}

impl Transaction<states::RequestBody> {
    /// Whether the rules want to see the request's body.
    pub fn wants_body(&self) -> bool {
        self.state.wants_request_body()
    }

    /// How many bytes of the body the rules may see: `SecRequestBodyLimit`, or what a rule changed it to.
    pub fn body_limit(&self) -> u64 {
        self.state.control.request_body.limit
    }

    /// Takes a part of the request's body.
    ///
    /// # Errors
    /// What interrupts the transaction: the body is too large.
    pub fn append(mut self, bytes: &[u8]) -> Progress<states::RequestBody> {
        match self.state.append_request_body(bytes) {
            None => Ok(self),
            Some(interruption) => Err(self.interrupted(interruption)),
        }
    }

    /// Phase 2: the request's body has ended, or as much of it as may be read.
    ///
    /// # Errors
    /// What interrupts the transaction.
    pub fn request_body(mut self) -> Progress<states::ResponseHeaders> {
        self.state.read_request_body();
        self.run(Phase::RequestBody)
    }
}

impl Transaction<states::ResponseHeaders> {
    /// Phase 3: the response's head.
    ///
    /// # Errors
    /// What interrupts the transaction.
    pub fn response_headers<'h>(
        mut self,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Progress<states::ResponseBody> {
        self.state.response_head(status, protocol, headers);
        self.run(Phase::ResponseHeaders)
    }
}

impl Transaction<states::ResponseBody> {
    /// Whether the rules want to see the response's body.
    pub fn wants_body(&self) -> bool {
        self.state.wants_response_body()
    }

    /// How many bytes of the body the rules may see: `SecResponseBodyLimit`, or what a rule changed it to.
    pub fn body_limit(&self) -> u64 {
        self.state.control.response_body.limit
    }

    /// Takes a part of the response's body.
    ///
    /// # Errors
    /// What interrupts the transaction: the body is too large.
    pub fn append(mut self, bytes: &[u8]) -> Progress<states::ResponseBody> {
        match self.state.append_response_body(bytes) {
            None => Ok(self),
            Some(interruption) => Err(self.interrupted(interruption)),
        }
    }

    /// Phase 4: the response's body has ended, or as much of it as may be read.
    ///
    /// # Errors
    /// What interrupts the transaction.
    pub fn response_body(mut self) -> Progress<states::Logging> {
        self.state.read_response_body();
        self.run(Phase::ResponseBody)
    }
}

impl Transaction<states::Logging> {
    /// Phase 5, in which nothing can be interrupted any more.
    pub fn log(mut self) -> Report {
        self.state.run(Phase::Logging);
        self.state.report()
    }
}

impl<S> Transaction<S> {
    /// Says how much time has passed since the transaction began, for `DURATION` and `TIME`.
    pub fn set_elapsed(&mut self, elapsed: Duration) {
        self.state.clock.elapsed = elapsed;
    }

    /// What the rules have stored in `TX`, by name, in order.
    pub fn tx(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let entries = self.state.variables.collection(Variable::Tx);
        entries.map(|entry| (&*entry.key, &*entry.value))
    }

    /// The rules that matched so far and want to be logged.
    pub fn matched(&self) -> &[MatchedRule] {
        &self.state.matched
    }

    /// Leaves out the phases that are left, but for logging: the client or the server went away.
    #[must_use]
    pub fn end(self) -> Transaction<states::Logging> {
        self.next()
    }

    fn run<N>(mut self, phase: Phase) -> Progress<N> {
        match self.state.run(phase) {
            None => Ok(self.next()),
            Some(interruption) => Err(self.interrupted(interruption)),
        }
    }

    fn interrupted(self, interruption: Interruption) -> Interrupted {
        Interrupted {
            interruption,
            transaction: self.next(),
        }
    }

    fn next<N>(self) -> Transaction<N> {
        Transaction {
            state: self.state,
            next: PhantomData,
        }
    }
}
