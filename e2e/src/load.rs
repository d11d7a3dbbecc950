//! Data planes that poll without pause, and count what isn't answered: for what must cost nobody a poll.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::http as client;

/// How long an answer may take. A data plane gives a cache 5 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two polls of one data plane: together they poll some hundred times a second.
const PAUSE: Duration = Duration::from_millis(20);

/// Data planes of each kind.
const EACH: usize = 2;

/// What became of the polls.
#[derive(Debug, Default)]
pub struct Tally {
    /// Polls that were answered as they should be.
    pub answered: usize,
    /// Why the others weren't.
    pub failed: Vec<String>,
}

/// Polls under way.
pub struct Load {
    over: Arc<AtomicBool>,
    polls: JoinSet<Tally>,
}

impl Load {
    /// Polls a Service for a RuleSet, by a connection for each poll and by connections that are kept.
    #[must_use]
    pub fn start(service: SocketAddr, ruleset: &str, token: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut polls = JoinSet::new();
        let poll = Poll {
            service,
            path: format!("/rules/{ruleset}/latest"),
            token: token.to_owned(),
        };
        for _ in 0..EACH {
            let (fresh, kept) = (poll.clone(), poll.clone());
            let (fresh_over, kept_over) = (Arc::clone(&over), Arc::clone(&over));
            polls.spawn(async move { fresh.by_fresh_connections(&fresh_over).await });
            polls.spawn(async move { kept.by_a_kept_connection(&kept_over).await });
        }
        Self { over, polls }
    }

    /// Ends them and says what became of them.
    pub async fn stop(mut self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.polls.join_next().await {
            let tally = tally.unwrap_or_default();
            sum.answered += tally.answered;
            sum.failed.extend(tally.failed);
        }
        sum
    }
}

#[derive(Clone)]
struct Poll {
    service: SocketAddr,
    path: String,
    token: String,
}

impl Poll {
    async fn by_fresh_connections(&self, over: &AtomicBool) -> Tally {
        let mut tally = Tally::default();
        while !over.load(Ordering::Relaxed) {
            let answer = tokio::time::timeout(PATIENCE, client::get(self.service, &self.path, Some(&self.token))).await;
            match answer {
                Ok(Ok(answer)) if answer.status == StatusCode::OK => tally.answered += 1,
                Ok(Ok(answer)) => tally.failed.push(format!("fresh: {} {}", answer.status, answer.text())),
                Ok(Err(error)) => tally.failed.push(format!("fresh: {error:#}")),
                Err(_) => tally.failed.push("fresh: no answer in time".to_owned()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        tally
    }

    /// As Envoy does: a connection is used until the cache closes it or says that it will.
    async fn by_a_kept_connection(&self, over: &AtomicBool) -> Tally {
        let mut tally = Tally::default();
        let mut kept = None;
        while !over.load(Ordering::Relaxed) {
            match tokio::time::timeout(PATIENCE, self.poll_by(&mut kept)).await {
                Ok(Ok(StatusCode::OK)) => tally.answered += 1,
                Ok(Ok(status)) => tally.failed.push(format!("kept: {status}")),
                Ok(Err(error)) => {
                    kept = None;
                    tally.failed.push(format!("kept: {error:#}"));
                }
                Err(_) => {
                    kept = None;
                    tally.failed.push("kept: no answer in time".to_owned());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        tally
    }

    async fn poll_by(&self, kept: &mut Option<SendRequest<Full<Bytes>>>) -> anyhow::Result<StatusCode> {
        let mut sender = match kept.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(self.service).await?)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await?;
        let request = Request::get(&self.path)
            .header("host", self.service.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(Bytes::new()))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let last = response
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close");
        response.into_body().collect().await?;
        *kept = (!last).then_some(sender);
        Ok(status)
    }
}
