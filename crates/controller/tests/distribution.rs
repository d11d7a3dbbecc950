//! Both ends of the distribution over real sockets and real TLS: what peers may do, and what they may not.

#![allow(clippy::expect_used, reason = "tests, and what they share")]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coraza_cache::Store;
use coraza_cache::auth::Grants;
use coraza_cache::pollers::{Identity, Pollers};
use coraza_cache::subscribe::{self, Held, Options, State};
use coraza_controller::publish::{self, Publisher};
use coraza_proto::v1alpha1::{self, SubscribeRequest, SubscribeResponse, subscribe_request};
use coraza_proto::{CACHE_IDENTITY, CONTROLLER_IDENTITY};
use coraza_ruleset::{
    Content, EngineKey, Grant, Revision, RevisionTag, RuleSetKey, RulesText, Running, Timestamp, TokenDigest,
};
use coraza_runtime::drain;
use coraza_runtime::readiness::{Latch, Readiness};
use coraza_runtime::tls::{ClientTls, ServerTls};
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

const LIMIT: u64 = 1 << 20;
/// Ends a test that would wait for ever; nothing is ever waited for this long.
const NEVER: Duration = Duration::from_secs(60);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

fn certificate(name: &str, issuer: &Authority, root: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    for (file, pem) in [
        ("tls.crt", certificate.pem()),
        ("tls.key", key.serialize_pem()),
        ("ca.crt", root.pem()),
    ] {
        fs::write(directory.path().join(file), pem).expect("written");
    }
    directory
}

/// A publisher that serves.
struct Controller {
    publisher: Publisher,
    address: SocketAddr,
    drain: drain::Signal,
}

impl Controller {
    async fn start(ca: &Authority) -> Self {
        let files = certificate(CONTROLLER_IDENTITY, ca, ca);
        let tls = ServerTls::mutual(files.path(), Readiness::default().latch("certificates"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let publisher = Publisher::new(Duration::from_secs(15));
        let (drain, watch) = drain::channel();
        tokio::spawn(publish::serve(publisher.clone(), listener, tls, LIMIT, watch));
        Self {
            publisher,
            address,
            drain,
        }
    }

    async fn leading(ca: &Authority) -> Self {
        let controller = Self::start(ca).await;
        controller.publisher.lead(Some(1));
        controller.publisher.open();
        controller.publisher.open_grants();
        controller
    }

    fn serve(&self, name: &str, rules: &str) -> Revision {
        let rules = RulesText::new([Arc::from(rules)]);
        let content = Content {
            rules,
            ..Content::default()
        };
        let digest = content.digest();
        self.publisher.serve(&key(name), content, digest, None)
    }

    /// Waits until a cache serves the current revision of a key.
    async fn until_acked(&self, name: &str) -> Revision {
        let mut changes = Box::pin(self.publisher.changes());
        loop {
            match self.publisher.delivery(&key(name)) {
                Some(delivery) if delivery.acked > 0 => return delivery.revision,
                _ => tokio::time::timeout(NEVER, changes.next()).await.expect("in time"),
            };
        }
    }
}

fn key(name: &str) -> RuleSetKey {
    RuleSetKey::new("default", name).expect("a key")
}

/// A cache that subscribes.
struct Cache {
    store: Store,
    grants: Grants,
    pollers: Pollers,
    ready: Latch,
    state: watch::Receiver<State>,
    _drain: drain::Signal,
}

impl Cache {
    fn start(files: &Path, addresses: &[SocketAddr]) -> Self {
        let (store, grants, pollers) = (Store::new().0, Grants::default(), Pollers::default());
        let ready = Readiness::default().latch("snapshot");
        let (sender, state) = watch::channel(State::default());
        let (signal, watch) = drain::channel();
        let options = Options {
            addresses: addresses
                .iter()
                .map(|address| address.to_string().parse().expect("an address"))
                .collect(),
            replica: "cache-0".into(),
            max_ruleset_bytes: LIMIT,
            plugin_digest: None,
            pollers: pollers.clone(),
        };
        let tls = ClientTls::mutual(files, Readiness::default().latch("certificates"));
        tokio::spawn(subscribe::run(
            options,
            tls,
            Held {
                store: store.clone(),
                grants: grants.clone(),
            },
            ready.clone(),
            sender,
            watch,
        ));
        Self {
            store,
            grants,
            pollers,
            ready,
            state,
            _drain: signal,
        }
    }

    async fn until(&mut self, condition: impl Fn(&Store, &State) -> bool) {
        let store = self.store.clone();
        let waited = self.state.wait_for(|state| condition(&store, state));
        tokio::time::timeout(NEVER, waited)
            .await
            .expect("in time")
            .expect("running");
    }

    async fn until_held(&mut self, expected: &[(&str, Revision)]) {
        let expected: Vec<_> = expected.iter().map(|(name, revision)| (key(name), *revision)).collect();
        self.until(|store, _| store.holdings() == expected).await;
    }
}

/// A TLS connection to a controller, as whoever has these files.
async fn connect(files: &Path, address: SocketAddr) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tls = ClientTls::mutual(files, Readiness::default().latch("certificates"));
    let tls = TlsConnector::from(tls.current().expect("good files"));
    let name = CONTROLLER_IDENTITY.try_into().expect("a name");
    tls.connect(name, TcpStream::connect(address).await?).await
}

async fn channel(files: &Path, address: SocketAddr) -> Channel {
    let stream = connect(files, address).await.expect("a connection");
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().expect("not poisoned").take().expect("one connection");
        async move { Ok::<_, Infallible>(stream) }
    });
    let endpoint = Endpoint::from_static("http://controller");
    endpoint.connect_with_connector(connector).await.expect("a channel")
}

/// Sends messages of any type where the controller expects requests.
async fn stream<M: prost::Message + Default + 'static>(
    files: &Path,
    address: SocketAddr,
    messages: Vec<M>,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel(files, address).await);
    client.ready().await.expect("ready");
    let path = "/coraza.distribution.v1alpha1.Distribution/Subscribe"
        .parse()
        .expect("a path");
    let codec = tonic_prost::ProstCodec::<M, SubscribeResponse>::default();
    let requests = futures::stream::iter(messages).chain(futures::stream::pending());
    Ok(client
        .streaming(tonic::Request::new(requests), path, codec)
        .await?
        .into_inner())
}

fn hello(replica: &str) -> SubscribeRequest {
    let hello = v1alpha1::Hello {
        replica: replica.into(),
        process_id: uuid::Uuid::new_v4().to_string(),
        max_ruleset_bytes: LIMIT,
        ..v1alpha1::Hello::default()
    };
    SubscribeRequest {
        request: Some(subscribe_request::Request::Hello(hello)),
    }
}

async fn refused<M: prost::Message + Default + 'static>(files: &Path, address: SocketAddr, messages: Vec<M>) -> Code {
    let refused = async {
        match stream(files, address, messages).await {
            Err(status) => status.code(),
            Ok(mut responses) => loop {
                match responses.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Code::Ok,
                    Err(status) => return status.code(),
                }
            },
        }
    };
    tokio::time::timeout(NEVER, refused).await.expect("in time")
}

#[tokio::test]
async fn a_cache_follows_the_leader_and_keeps_what_it_has_when_there_is_none() {
    let ca = authority();
    let files = certificate(CACHE_IDENTITY, &ca, &ca);
    let (standby, leader) = (Controller::start(&ca).await, Controller::leading(&ca).await);
    let first = leader.serve("a", "1");
    let mut cache = Cache::start(files.path(), &[standby.address, leader.address]);
    cache.until_held(&[("a", first)]).await;
    cache
        .until(|_, state| state.complete && state.connected == Some(1))
        .await;
    assert!(cache.ready.is_set());
    let (second, other) = (leader.serve("a", "2"), leader.serve("b", "3"));
    cache.until_held(&[("a", second), ("b", other)]).await;
    leader.publisher.forget(&key("b"));
    cache.until_held(&[("a", second)]).await;

    leader.publisher.lead(None);
    cache.until(|_, state| state.connected.is_none()).await;
    assert!(cache.ready.is_set());
    assert_eq!(cache.store.holdings(), [(key("a"), second)]);

    standby.publisher.retain(&key("a"), Some(second));
    standby.publisher.lead(Some(2));
    standby.publisher.open();
    standby.publisher.open_grants();
    cache.until(|_, state| state.connected == Some(2)).await;
    assert_eq!(standby.until_acked("a").await, second);
}

#[tokio::test]
async fn a_drain_ends_streams_and_connections() {
    let ca = authority();
    let files = certificate(CACHE_IDENTITY, &ca, &ca);
    let controller = Controller::leading(&ca).await;
    let mut cache = Cache::start(files.path(), &[controller.address]);
    cache.until(|_, state| state.connected.is_some()).await;
    controller
        .drain
        .drain(NEVER)
        .await
        .expect("every connection was closed");
    cache.until(|_, state| state.connected.is_none()).await;
}

#[tokio::test]
async fn who_is_no_cache_is_turned_away_and_disturbs_nobody() {
    let (ca, stranger) = (authority(), authority());
    let controller = Controller::leading(&ca).await;
    let address = controller.address;
    let cache_files = certificate(CACHE_IDENTITY, &ca, &ca);

    let other_identity = certificate(CONTROLLER_IDENTITY, &ca, &ca);
    assert_eq!(
        refused(other_identity.path(), address, vec![hello("x")]).await,
        Code::Unauthenticated
    );

    // With TLS 1.3 a client learns with its first read that its certificate was refused.
    let other_authority = certificate(CACHE_IDENTITY, &stranger, &ca);
    if let Ok(mut stream) = connect(other_authority.path(), address).await {
        stream.read_u8().await.expect_err("the connection is closed");
    }

    let mut plain = TcpStream::connect(address).await.expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    let _ = plain.read_to_end(&mut Vec::new()).await;

    let mut garbage = connect(cache_files.path(), address).await.expect("a connection");
    garbage.write_all(&[0xff; 64]).await.expect("written");
    let _ = garbage.read_to_end(&mut Vec::new()).await;

    assert!(controller.publisher.caches().is_empty());
    let revision = controller.serve("a", "1");
    Cache::start(cache_files.path(), &[address])
        .until_held(&[("a", revision)])
        .await;
}

#[tokio::test]
async fn messages_that_break_the_protocol_end_their_stream() {
    let ca = authority();
    let controller = Controller::leading(&ca).await;
    let (address, files) = (controller.address, certificate(CACHE_IDENTITY, &ca, &ca));
    let files = files.path();
    let ack = |nonce| SubscribeRequest {
        request: Some(subscribe_request::Request::Ack(v1alpha1::Ack { nonce })),
    };
    // A Nack on the wire is no request: its first field has another type.
    let garbage = v1alpha1::Nack {
        nonce: 7,
        error_detail: "x".into(),
    };
    assert_eq!(refused(files, address, vec![garbage]).await, Code::Internal);
    assert_eq!(refused(files, address, vec![ack(1)]).await, Code::InvalidArgument);
    assert_eq!(
        refused(files, address, vec![hello("not a name")]).await,
        Code::InvalidArgument
    );
    assert_eq!(
        refused(files, address, vec![hello("a"), hello("a")]).await,
        Code::InvalidArgument
    );
    assert_eq!(
        refused(files, address, vec![hello("a"), ack(99)]).await,
        Code::InvalidArgument
    );
    assert_eq!(
        refused(files, address, vec![hello(&"a".repeat(17 << 20))]).await,
        Code::OutOfRange
    );
    let standby = Controller::start(&ca).await;
    assert_eq!(
        refused(files, standby.address, vec![hello("a")]).await,
        Code::Unavailable
    );
}

#[tokio::test]
async fn a_cache_that_reads_nothing_delays_nobody() {
    let ca = authority();
    let files = certificate(CACHE_IDENTITY, &ca, &ca);
    let controller = Controller::leading(&ca).await;
    let silent = stream(files.path(), controller.address, vec![hello("silent")])
        .await
        .expect("subscribed");
    let mut cache = Cache::start(files.path(), &[controller.address]);
    for number in 0..20 {
        // Text that doesn't compress, so that it fills every buffer on the silent one's way.
        let rules: String = (0..20_000).map(|_| uuid::Uuid::new_v4().to_string()).collect();
        let revision = controller.serve("a", &format!("{number}{rules}"));
        cache.until_held(&[("a", revision)]).await;
    }
    assert_eq!(controller.publisher.caches().len(), 2);
    let silent_state = controller
        .publisher
        .caches()
        .into_iter()
        .find(|cache| cache.replica == "silent");
    assert!(silent_state.expect("still subscribed").in_flight <= 3);
    drop(silent);
}

fn grant(token: &str) -> Grant {
    Grant {
        token: TokenDigest::of(token),
        expires: Timestamp::from_unix_nanos(u64::MAX),
        key: key("a"),
        engine: EngineKey::new("default", "waf", "1").expect("an engine"),
    }
}

#[tokio::test]
async fn a_token_is_acknowledged_by_every_cache_and_revoked_at_all_of_them() {
    let ca = authority();
    let files = certificate(CACHE_IDENTITY, &ca, &ca);
    let controller = Controller::leading(&ca).await;
    let publisher = &controller.publisher;
    publisher.grant(grant("1"));
    let soon = Duration::from_millis(10);
    assert!(
        !publisher.acknowledged(&grant("1").token, soon).await,
        "there is no cache"
    );
    let mut caches: Vec<_> = (0..3)
        .map(|_| Cache::start(files.path(), &[controller.address]))
        .collect();
    for cache in &mut caches {
        cache.until(|_, state| state.complete).await;
    }
    assert!(publisher.acknowledged(&grant("1").token, NEVER).await);
    publisher.grant(grant("2"));
    assert!(publisher.acknowledged(&grant("2").token, NEVER).await);
    assert!(!publisher.acknowledged(&grant("3").token, soon).await);
    publisher.revoke(&grant("1").token);
    for cache in &mut caches {
        let grants = cache.grants.clone();
        cache.until(move |_, _| grants.held() == [grant("2")]).await;
    }
}

#[tokio::test]
async fn a_new_leader_is_told_of_every_poller_and_then_of_changes() {
    let ca = authority();
    let files = certificate(CACHE_IDENTITY, &ca, &ca);
    let (first, second) = (Controller::leading(&ca).await, Controller::start(&ca).await);
    let cache = Cache::start(files.path(), &[first.address, second.address]);
    let engine = grant("1").engine;
    let until_told = async |publisher: &Publisher, expected: Running| {
        let mut changes = Box::pin(publisher.poller_changes());
        while publisher.pollers(&engine).first().map(|poller| poller.running) != Some(expected) {
            let changed = tokio::time::timeout(NEVER, changes.next()).await.expect("in time");
            assert_eq!(changed.as_ref(), Some(&engine));
        }
    };
    let revision = |nanos| {
        Running::Revision(RevisionTag {
            timestamp: Timestamp::from_unix_nanos(nanos),
            uuid: uuid::Uuid::from_u128(1),
        })
    };
    let saw = |running| {
        let pod = Identity::Pod("gateway-0");
        cache.pollers.saw(&engine, pod, running, Instant::now());
    };
    saw(revision(1));
    until_told(&first.publisher, revision(1)).await;
    first.publisher.lead(None);
    second.publisher.lead(Some(2));
    second.publisher.open();
    second.publisher.open_grants();
    until_told(&second.publisher, revision(1)).await;
    saw(revision(2));
    until_told(&second.publisher, revision(2)).await;
}
