//! The server behind a socket: what callers see, good ones and bad ones.

mod tls;

use std::time::SystemTime;

use coraza_ruleset::{
    CompiledRuleSet, Content, EngineKey, PollerId, Revision, RuleSetKey, RulesText, Running, Timestamp,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::StoreUpdate;
use crate::auth::{Access, BearerToken, Refusal};

/// Knows the token `good`, for every RuleSet, until it is revoked.
#[derive(Clone)]
struct Scripted {
    revoked: CancellationToken,
    expires: SystemTime,
}

impl Authenticate for Scripted {
    async fn authenticate(&self, token: &BearerToken<'_>, _: &RuleSetKey) -> Result<Access, Refusal> {
        match token.secret() {
            "good" if self.revoked.is_cancelled() => Err(Refusal::Revoked),
            "good" if self.expires <= SystemTime::now() => Err(Refusal::Expired),
            "good" => Ok(Access {
                expires: self.expires,
                revoked: Some(self.revoked.clone()),
                engine: None,
            }),
            "plugin" => Ok(Access {
                expires: self.expires,
                revoked: None,
                engine: Some(EngineKey::new("team", "waf", "1").expect("an engine")),
            }),
            // Good until it is revoked, and then for another reason.
            "twice" => Ok(Access {
                expires: self.expires,
                revoked: Some(self.revoked.clone()).filter(|revoked| !revoked.is_cancelled()),
                engine: None,
            }),
            "foreign" => Err(Refusal::OtherNamespace),
            "late" => Err(Refusal::Exhausted {
                retry_after: Duration::from_secs(2),
            }),
            _ => Err(Refusal::Unknown),
        }
    }
}

/// A server with one RuleSet, `team/crs`.
struct Fixture {
    address: SocketAddr,
    store: Store,
    gauges: Gauges,
    revoked: CancellationToken,
    signal: drain::Signal,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

fn settings() -> Settings {
    Settings {
        max_wait: Duration::from_secs(60),
        timeouts: Timeouts::default(),
        drain_delay: Duration::ZERO,
        max_connections: 1_000,
    }
}

impl Fixture {
    fn start(settings: Settings) -> Self {
        Self::start_with(settings, Duration::from_secs(3_600))
    }

    fn start_with(settings: Settings, token_life: Duration) -> Self {
        Self::start_on(settings, token_life, None)
    }

    fn start_on(settings: Settings, token_life: Duration, tls: Option<ServerTls>) -> Self {
        let (store, compressor) = Store::new();
        put(&store, "SecRuleEngine On", 1);
        compressor.run_once();
        let server = Server::bind("127.0.0.1:0".parse().expect("address"), 2, tls, settings).expect("bound");
        let (address, gauges) = (server.local_address(), server.gauges());
        let revoked = CancellationToken::new();
        let authenticate = Scripted {
            revoked: revoked.clone(),
            expires: SystemTime::now() + token_life,
        };
        let (signal, watch) = drain::channel();
        let served = tokio::spawn(server.serve(store.clone(), authenticate, watch));
        Self {
            address,
            store,
            gauges,
            revoked,
            signal,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// All that comes back for these bytes until the server closes the connection.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may refuse before it has read everything, and reset the connection then.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }

    /// A request for the RuleSet's latest revision, on a connection of its own.
    async fn poll(&self, more: &str) -> String {
        self.exchange(request("/latest", &format!("Connection: close\r\n{more}")).as_bytes())
            .await
    }

    fn etag(&self) -> String {
        let entry = self.store.get(&key()).expect("held");
        entry.etag().to_str().expect("text").to_owned()
    }

    /// A poll that waits, once it does.
    async fn wait(&self, seconds: u32) -> TcpStream {
        self.wait_as("good", seconds, "").await
    }

    async fn wait_as(&self, token: &str, seconds: u32, more: &str) -> TcpStream {
        let (mut stream, waiting) = (self.connect().await, self.gauges.waiters.len());
        let headers = format!("Prefer: wait={seconds}\r\nIf-None-Match: {}\r\n{more}", self.etag());
        stream
            .write_all(request_as(token, "/latest", &headers).as_bytes())
            .await
            .expect("sent");
        until(|| self.gauges.waiters.len() > waiting).await;
        stream
    }
}

fn key() -> RuleSetKey {
    RuleSetKey::new("team", "crs").expect("key")
}

fn put(store: &Store, rules: &str, timestamp: u64) {
    let content = Content {
        rules: RulesText::new([Arc::from(rules)]),
        ..Content::default()
    };
    let revision = Revision {
        digest: content.digest(),
        timestamp: Timestamp::from_unix_nanos(timestamp),
    };
    store.apply(StoreUpdate::Upsert(CompiledRuleSet {
        key: key(),
        revision,
        content,
    }));
}

fn request(suffix: &str, more: &str) -> String {
    request_as("good", suffix, more)
}

fn request_as(token: &str, suffix: &str, more: &str) -> String {
    format!("GET /rules/team/crs{suffix} HTTP/1.1\r\nHost: cache\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

/// Waits for a condition, and fails instead of waiting for ever.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), holds)
        .await
        .expect("the condition holds in time");
}

/// What comes until the connection ends, however it does.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async { while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the connection ends in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer without a body.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(
            tokio::time::timeout(Duration::from_secs(20), stream.read_u8())
                .await
                .expect("in time")
                .expect("a byte"),
        );
    }
    String::from_utf8(bytes).expect("text")
}

fn without_date(answer: &str) -> String {
    answer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("date: "))
        .collect()
}

#[tokio::test]
async fn answers_to_the_byte() {
    let server = Fixture::start(settings());
    let etag = server.etag();
    let entry = server.store.get(&key()).expect("held");
    let latest = String::from_utf8(entry.latest().0.concat()).expect("text");
    let headers = |length: usize| {
        format!(
            "content-type: application/json\r\netag: {etag}\r\ncache-control: no-cache\r\nvary: accept-encoding\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let get = server.poll("").await;
    assert_eq!(
        without_date(&get),
        format!("HTTP/1.1 200 OK\r\n{}{latest}", headers(latest.len()))
    );
    let head = server
        .exchange(
            request("/latest", "Connection: close\r\n")
                .replacen("GET", "HEAD", 1)
                .as_bytes(),
        )
        .await;
    assert_eq!(
        without_date(&head),
        format!("HTTP/1.1 200 OK\r\n{}", headers(latest.len()))
    );
    let unchanged = server.poll(&format!("If-None-Match: {etag}\r\n")).await;
    let expected = format!(
        "HTTP/1.1 304 Not Modified\r\netag: {etag}\r\ncache-control: no-cache\r\nvary: accept-encoding\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(without_date(&unchanged), expected);
}

#[tokio::test]
async fn a_kept_connection_serves_request_after_request() {
    let server = Fixture::start(settings());
    let mut stream = server.connect().await;
    let unchanged = format!("If-None-Match: {}\r\n", server.etag());
    for _ in 0..3 {
        // Two at once: answers come in order.
        stream
            .write_all(
                [request("/latest", &unchanged), request("", &unchanged)]
                    .concat()
                    .as_bytes(),
            )
            .await
            .expect("sent");
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 304"));
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 304"));
    }
    assert_eq!(server.gauges.connections.open(), 1);
}

#[tokio::test]
async fn what_is_no_good_request_gets_its_status_and_harms_nobody() {
    let server = Fixture::start(settings());
    let long_path = format!(
        "GET /rules/team/{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "a".repeat(60_000)
    );
    let too_long_path = format!("GET /rules/team/{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    let long_header = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer good\r\n\r\n")
    };
    let with_token = |token: &str| {
        format!("GET /rules/team/crs HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n")
    };
    for (bytes, status) in [
        // No HTTP.
        ("GARBAGE\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}", "400"),
        ("GET\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nX: \u{0}\r\n\r\n", "400"),
        // Too much of it.
        (&long_path, "400"),
        (&too_long_path, "431"),
        (&long_header, "431"),
        (&many_headers, "431"),
        // Bodies, and what smuggles.
        (&request("", "Content-Length: 5\r\n"), "413"),
        (&request("", "Transfer-Encoding: chunked\r\n"), "413"),
        (&request("", "Content-Length: 5\r\nContent-Length: 6\r\n"), "400"),
        (&request("", "Content-Length: -1\r\n"), "400"),
        (&request("", "Transfer-Encoding: gzip\r\n"), "400"),
        // Paths and methods.
        (&get("/rules/../rules/team/crs"), "400"),
        (&get("/rules/team/../../etc/passwd"), "400"),
        (&get("/rules/team%2fcrs"), "400"),
        (&get("/rules/team/%2e%2e"), "400"),
        (&get("/rules//crs"), "400"),
        (&get("//rules/team/crs"), "404"),
        (&get("/"), "404"),
        (&get("*"), "404"),
        (&get("http://elsewhere/rules/team/crs"), "200"),
        (&get("/rules/team/crs?x=y"), "200"),
        (&get("/rules/team/other"), "404"),
        (
            "POST /rules/team/crs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "405",
        ),
        (
            "CONNECT cache:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "404",
        ),
        // Tokens.
        (
            "GET /rules/team/crs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "401",
        ),
        (
            "GET /rules/team/other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "401",
        ),
        (&with_token("Basic good"), "401"),
        (&with_token("Bearer bad"), "401"),
        (&with_token("Bearer foreign"), "403"),
        (&with_token("Bearer late"), "503"),
        (&with_token("Bearer good"), "200"),
    ] {
        let shown: String = bytes.chars().take(80).collect();
        let answer = server.exchange(bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {answer}");
        assert!(server.poll("").await.starts_with("HTTP/1.1 200 OK\r\n"), "{shown:?}");
    }
    until(|| server.gauges.connections.open() == 0).await;
}

#[tokio::test]
async fn slow_and_silent_callers_are_let_go() {
    let short = Duration::from_millis(50);
    let server = Fixture::start(Settings {
        timeouts: Timeouts {
            head: short,
            write: short,
            idle: short,
        },
        ..settings()
    });
    // Silent from the start; silent in the middle of a head.
    for bytes in [&b""[..], b"GET /rules/team/crs HTTP/1.1\r\nHost:"] {
        assert_eq!(server.exchange(bytes).await, "");
    }
    // A byte now and then doesn't prolong a head.
    let mut stream = server.connect().await;
    let dribble = async {
        for byte in request("/latest", "").bytes().cycle().take(1_000) {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a head of ten seconds was read");
    };
    dribble.await;
    // Silent between requests.
    let mut stream = server.connect().await;
    let unchanged = format!("If-None-Match: {}\r\n", server.etag());
    stream
        .write_all(request("/latest", &unchanged).as_bytes())
        .await
        .expect("sent");
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 304"));
    assert_eq!(rest(&mut stream).await, "");
    // One that doesn't read its answer, which no socket buffer takes whole.
    put(&server.store, &"SecRuleEngine On\n".repeat(1 << 20), 2);
    let mut stream = server.connect().await;
    stream.write_all(request("", "").as_bytes()).await.expect("sent");
    until(|| server.gauges.connections.open() == 1).await;
    until(|| server.gauges.connections.open() == 0).await;
    assert!(rest(&mut stream).await.len() < 17 << 20);
}

#[tokio::test]
async fn time_is_not_counted_while_a_caller_waits() {
    let short = Duration::from_millis(50);
    let server = Fixture::start(Settings {
        timeouts: Timeouts {
            head: short,
            write: short,
            idle: short,
        },
        ..settings()
    });
    let mut stream = server.wait(1).await;
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 304") && answer.contains("preference-applied: wait=1\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_waits_gets_the_change_at_once() {
    let server = Fixture::start(settings());
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(server.wait(60).await);
    }
    let in_flight = || server.gauges.waiters.len();
    assert_eq!(in_flight(), 3);
    put(&server.store, "SecRuleEngine Off", 2);
    for stream in &mut streams {
        let answer = head(stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains(&server.etag()),
            "{answer}"
        );
        assert!(answer.contains("preference-applied: wait=60\r\n"), "{answer}");
    }
    until(|| in_flight() == 0).await;
    // Changed already: no wait, but the caller learns that waiting works.
    let answer = server.poll("Prefer: wait=60\r\nIf-None-Match: W/\"0-x\"\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("preference-applied: wait=60\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_has_something_later_waits_until_that_is_passed() {
    let server = Fixture::start(settings());
    let later = format!(
        "Prefer: wait=60\r\nIf-None-Match: W/\"3-{}\"\r\n",
        server.store.get(&key()).expect("held").revision().uuid()
    );
    let mut stream = server.connect().await;
    stream
        .write_all(request("/latest", &later).as_bytes())
        .await
        .expect("sent");
    until(|| server.gauges.waiters.len() == 1).await;
    put(&server.store, "SecRuleEngine Off", 2);
    put(&server.store, "SecRuleEngine DetectionOnly", 4);
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("etag: W/\"4-"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_disconnects_waits_no_more() {
    let server = Fixture::start(settings());
    let streams = [server.wait(60).await, server.wait(60).await];
    drop(streams);
    until(|| server.gauges.waiters.is_empty() && server.gauges.connections.open() == 0).await;
}

#[tokio::test]
async fn a_wait_ends_with_the_ruleset_the_token_or_the_process() {
    let server = Fixture::start(settings());
    let mut stream = server.wait(60).await;
    server.store.apply(StoreUpdate::Remove(key()));
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 404"));
    put(&server.store, "SecRuleEngine On", 1);
    let mut stream = server.wait(60).await;
    server.revoked.cancel();
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains("error_description=\"revoked\""),
        "{answer}"
    );

    let server = Fixture::start_with(settings(), Duration::from_millis(200));
    let answer = head(&mut server.wait(60).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains("error_description=\"expired\""),
        "{answer}"
    );

    let server = Fixture::start(settings());
    let mut waiting = server.wait(60).await;
    let mut idle = server.connect().await;
    until(|| server.gauges.connections.open() == 2).await;
    let drained = tokio::spawn(server.signal.drain(Duration::from_secs(20)));
    let answer = rest(&mut waiting).await;
    assert!(
        answer.starts_with("HTTP/1.1 304") && answer.contains("connection: close\r\n"),
        "{answer}"
    );
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(drained.await.expect("ran"), Ok(()));
    server.served.await.expect("ran").expect("served");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_drain_serves_on_for_its_delay() {
    let server = Fixture::start(Settings {
        drain_delay: Duration::from_secs(3_600),
        ..settings()
    });
    let drained = tokio::spawn(server.signal.drain(Duration::from_secs(7_200)));
    let (address, etag) = (server.address, "W/\"1-x\"");
    let closes = async {
        loop {
            let mut stream = TcpStream::connect(address).await.expect("accepted");
            stream
                .write_all(request("/latest", &format!("Prefer: wait=60\r\nIf-None-Match: {etag}\r\n")).as_bytes())
                .await
                .expect("sent");
            let answer = head(&mut stream).await;
            if answer.contains("connection: close\r\n") {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), closes)
        .await
        .expect("connections close");
    assert!(
        answer.starts_with("HTTP/1.1 200") && !answer.contains("preference-applied"),
        "{answer}"
    );
    drained.abort();
}

#[tokio::test]
async fn who_finds_no_room_is_told_to_return() {
    let server = Fixture::start(Settings {
        max_connections: 8,
        ..settings()
    });
    let waiting = [server.wait(60).await, server.wait(60).await];
    assert!(server.poll("").await.starts_with("HTTP/1.1 503"));
    assert_eq!(server.gauges.connections.refused(), 1);
    drop(waiting);
    until(|| server.gauges.connections.open() == 0).await;
    assert!(server.poll("").await.starts_with("HTTP/1.1 200"));
}

/// What the controller would be told of the data planes.
fn told(server: &Fixture) -> Vec<(PollerId, Running)> {
    server.gauges.pollers.report_anew();
    let due = server.gauges.pollers.due(usize::MAX, Instant::now());
    due.into_iter().map(|poller| (poller.id, poller.running)).collect()
}

#[tokio::test]
async fn data_planes_are_remembered_by_what_they_say_and_others_by_what_they_were_sent() {
    let server = Fixture::start(settings());
    let ask = async |token: &str, suffix: &str, more: &str| {
        let request = request_as(token, suffix, &format!("Connection: close\r\n{more}"));
        server.exchange(request.as_bytes()).await
    };
    // People who read the rules are no data planes.
    ask("good", "", "x-coraza-pod: gateway-0\r\n").await;
    assert_eq!(told(&server), []);
    let pod = PollerId::Pod("gateway-0".into());
    for (said, running) in [
        ("none".to_owned(), Running::Nothing),
        (
            server.etag(),
            Running::Revision((*server.store.get(&key()).expect("held").revision()).into()),
        ),
    ] {
        ask(
            "plugin",
            "",
            &format!("x-coraza-pod: gateway-0\r\nx-coraza-revision: {said}\r\n"),
        )
        .await;
        assert_eq!(told(&server), [(pod.clone(), running)]);
    }
    let (server, address) = (Fixture::start(settings()), PollerId::Address([127, 0, 0, 1].into()));
    let ask = async |suffix: &str| {
        let request = request_as("plugin", suffix, "Connection: close\r\n");
        server.exchange(request.as_bytes()).await
    };
    ask("/latest").await;
    assert_eq!(told(&server), [(address.clone(), Running::Unknown)]);
    let sent = Running::Revision((*server.store.get(&key()).expect("held").revision()).into());
    ask("").await;
    assert_eq!(told(&server), [(address.clone(), sent)]);
    put(&server.store, "SecRuleEngine Off", 2);
    ask("/latest").await;
    assert_eq!(told(&server), [(address, sent)]);
}

#[tokio::test]
async fn a_data_plane_is_seen_while_it_waits() {
    let server = Fixture::start(settings());
    let mut waiting = server.wait_as("plugin", 60, "x-coraza-pod: gateway-0\r\n").await;
    let seen_ago = |after: Duration| {
        server.gauges.pollers.report_anew();
        server.gauges.pollers.due(1, Instant::now() + after)[0].seen_ago
    };
    assert_eq!(seen_ago(Duration::from_secs(50)), Duration::ZERO);
    put(&server.store, "SecRuleEngine Off", 2);
    head(&mut waiting).await;
    assert!(seen_ago(Duration::from_secs(50)) > Duration::from_secs(40));
}

#[tokio::test]
async fn a_wait_goes_on_if_its_token_is_good_for_another_reason() {
    let server = Fixture::start(settings());
    let mut waiting = server.wait_as("twice", 60, "").await;
    server.revoked.cancel();
    put(&server.store, "SecRuleEngine Off", 2);
    assert!(head(&mut waiting).await.starts_with("HTTP/1.1 200"));
}
