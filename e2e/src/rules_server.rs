//! A cache that does what a test tells it: serves rules, waits or doesn't, and lies. It remembers who asked for what.
//!
//! For how the plugin takes a cache's answers, good and bad; the real cache has tests of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What it calls the source of its rules.
pub const SOURCE: &str = "rules-of-a-test";

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// What for.
    pub path: String,
    /// How.
    pub headers: HeaderMap,
}

impl Asked {
    /// A header field's value; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As our caches do: 304 for who has the latest, and waits for news.
    Ours,
    /// As the Go operator's: always the whole answer, at once.
    Go,
    /// This status and body, always.
    Fails(u16, &'static str),
    /// `/latest` as it should be, and this as the rules, with these header fields.
    Rules(Bytes, Vec<(&'static str, &'static str)>),
    /// Nothing, for so long.
    Hangs(Duration),
}

/// What is served now.
#[derive(Debug, Clone)]
struct Served {
    uuid: String,
    seconds: u64,
    rules: String,
    behaviour: Behaviour,
}

/// The server; it ends with its handle.
#[derive(Debug)]
pub struct RulesServer {
    address: SocketAddr,
    served: watch::Sender<Served>,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RulesServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RulesServer {
    /// Starts one that serves `rules` as revision `first`.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start(rules: &str) -> Self {
        Self::start_at(crate::port::free(), rules).await
    }

    /// Starts one at an address, where one may have been before.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_at(address: SocketAddr, rules: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let (served, watch) = watch::channel(Served {
            uuid: "first".to_owned(),
            seconds: 1,
            rules: rules.to_owned(),
            behaviour: Behaviour::Ours,
        });
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            // Connections end with the server, as those of a process that dies.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (watch, record) = (watch.clone(), Arc::clone(&record));
                let service = service_fn(move |request| {
                    let (watch, record) = (watch.clone(), Arc::clone(&record));
                    async move { Ok::<_, Infallible>(answer(&request, watch, &record).await) }
                });
                connections.spawn(async move {
                    // A caller that goes away is no error.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            served,
            asked,
            task,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves other rules, as a revision that is newer than all before.
    pub fn publish(&self, uuid: &str, rules: &str) {
        self.served.send_modify(|served| {
            served.seconds += 1;
            (served.uuid, served.rules) = (uuid.to_owned(), rules.to_owned());
        });
    }

    /// Serves other rules as a revision of that second.
    pub fn publish_as_of(&self, seconds: u64, uuid: &str, rules: &str) {
        self.served.send_modify(|served| {
            served.seconds = seconds;
            (served.uuid, served.rules) = (uuid.to_owned(), rules.to_owned());
        });
    }

    /// Does something else from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.served.send_modify(|served| served.behaviour = behaviour);
    }

    /// All that was asked.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last that was asked.
    ///
    /// # Panics
    /// If nothing was.
    #[must_use]
    pub fn last(&self) -> Asked {
        self.asked().pop().expect("somebody asked")
    }
}

async fn answer(
    request: &Request<Incoming>,
    mut watch: watch::Receiver<Served>,
    record: &Mutex<Vec<Asked>>,
) -> Response<Full<Bytes>> {
    let asked = Asked {
        at: Instant::now(),
        path: request.uri().path().to_owned(),
        headers: request.headers().clone(),
    };
    record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked.clone());
    let latest = asked.path.ends_with("/latest");
    let served = watch.borrow_and_update().clone();
    match &served.behaviour {
        Behaviour::Fails(status, body) => return whole(*status, Bytes::from_static(body.as_bytes()), &[]),
        Behaviour::Hangs(time) => {
            tokio::time::sleep(*time).await;
            return whole(503, Bytes::new(), &[]);
        }
        Behaviour::Rules(body, fields) if !latest => return whole(200, body.clone(), fields),
        Behaviour::Go | Behaviour::Rules(..) => return whole(200, json_of(&served, latest), &[]),
        Behaviour::Ours => {}
    }
    let wait = asked
        .header("prefer")
        .strip_prefix("wait=")
        .and_then(|seconds| seconds.parse().ok());
    if asked.header("if-none-match") != etag(&served) {
        return whole(200, json_of(&served, latest), &[("preference-applied", "wait")]);
    }
    let Some(wait) = wait else {
        return whole(304, Bytes::new(), &[]);
    };
    match tokio::time::timeout(Duration::from_secs(wait), watch.changed()).await {
        Ok(Ok(())) => whole(
            200,
            json_of(&watch.borrow().clone(), latest),
            &[("preference-applied", "wait")],
        ),
        _ => whole(304, Bytes::new(), &[("preference-applied", "wait")]),
    }
}

fn etag(served: &Served) -> String {
    format!("W/\"{}-{}\"", served.seconds * 1_000_000_000, served.uuid)
}

fn json_of(served: &Served, latest: bool) -> Bytes {
    let (minutes, seconds) = (served.seconds / 60, served.seconds % 60);
    let timestamp = format!("1970-01-01T{:02}:{:02}:{seconds:02}Z", minutes / 60, minutes % 60);
    let mut json = json!({ "uuid": served.uuid, "timestamp": timestamp });
    if !latest {
        json["rules"] = json!(served.rules);
        // As ours name them, which nobody need look at.
        json["sources"] = json!([{ "name": SOURCE, "lines": served.rules.split('\n').count() }]);
    }
    json.to_string().into()
}

fn whole(status: u16, body: Bytes, fields: &[(&'static str, &'static str)]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in fields {
        response.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    response
}
