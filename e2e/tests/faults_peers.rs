//! Peers that are not what they should be, and what is not the protocol. *Faults*: each test with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use bytes::Bytes;
use coraza_e2e::certificates::{self, Authority, Identity};
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Cache, Fleet, Namespace, Size, Subscriber, http, subscriber};
use coraza_proto::v1alpha1::subscribe_request::Request;
use coraza_proto::v1alpha1::subscribe_response::Response;
use coraza_proto::v1alpha1::{Ack, Hello, Holding, Key, Recalled, RuleSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Status};

const RULES: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";

/// As much as a machine's memory, for a controller.
const BOMB: usize = 512 << 20;

/// The controller still does its work: a RuleSet of its own reaches the cache.
async fn still_works(fleet: &Fleet) {
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn only_a_cache_may_subscribe() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let controller = fleet.controllers[0].grpc;
    let stranger = Identity {
        authority: fleet.authority.issue("any").authority,
        ..Authority::new().issue(certificates::CACHE)
    };
    // A handshake that TLS 1.3 refuses is over for the client before it hears of it: it sees a failure to connect, or the end of its
    // connection at any point of its first call. None of these is an answer of the controller.
    let no_answer: &[Code] = &[Code::Unknown, Code::Unavailable, Code::Cancelled];
    let (controllers, somebodys) = (certificates::CONTROLLER, "somebody");
    for (who, identity, codes) in [
        ("another authority's cache", stranger, no_answer),
        (
            controllers,
            fleet.authority.issue(controllers),
            &[Code::Unauthenticated],
        ),
        (somebodys, fleet.authority.issue(somebodys), &[Code::Unauthenticated]),
    ] {
        let refusal = refusal(controller, &identity).await;
        assert!(codes.contains(&refusal.code()), "{who}: {refusal:?}");
    }
    let ca = fleet.authority.issue("any").authority;
    let nobody = match subscriber::connect(controller, &ca, None).await {
        Ok(channel) => subscribe(channel).await,
        Err(_) => None,
    };
    assert!(nobody.is_none(), "a peer without a certificate subscribed");
    still_works(&fleet).await;
}

/// The status that an attempt to subscribe gets.
async fn refusal(controller: std::net::SocketAddr, identity: &Identity) -> Status {
    let opened = Subscriber::open(controller, identity, Request::Hello(subscriber::hello("stranger"))).await;
    match opened {
        Err(status) => status,
        Ok(mut subscriber) => subscriber.next().await.expect_err("a stranger was subscribed"),
    }
}

/// The first message, if this channel gets one.
async fn subscribe(channel: Channel) -> Option<Response> {
    let mut subscriber = Subscriber::open_on(channel, Request::Hello(subscriber::hello("nobody")))
        .await
        .ok()?;
    subscriber.next().await.ok().flatten().map(|(_, response)| response)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_obeys_nobody_but_its_controller() {
    let mut fleet = Fleet::start(Size::of(1, 1)).await;
    // Its own certificate is good, but it trusts another authority than the controller's.
    let mut settings = fleet.cache_settings();
    settings.identity.as_mut().unwrap().authority = Authority::new().issue("any").authority;
    let cache = Cache::start(settings);
    holds_for(Duration::from_secs(3), "being unready", async || {
        match http::get(cache.health, "/readyz", None).await {
            Ok(answer) if answer.status.is_success() => Err("ready"),
            _ => Ok(()),
        }
    })
    .await;
    assert!(cache.process.ended().is_none(), "it goes on trying");
    still_works(&fleet).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn messages_that_break_the_protocol_end_their_stream_and_nothing_else() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let identity = fleet.authority.issue(certificates::CACHE);
    let key = |namespace: &str| {
        Some(Key {
            namespace: namespace.to_owned(),
            name: "waf".to_owned(),
        })
    };
    let holding = |namespace: &str, digest: &'static [u8]| Holding {
        key: key(namespace),
        digest: Bytes::from_static(digest),
        timestamp: 1,
    };
    let hello = |change: &dyn Fn(&mut Hello)| {
        let mut hello = subscriber::hello("broken");
        change(&mut hello);
        Request::Hello(hello)
    };
    for (what, first) in [
        ("an Ack before Hello", Request::Ack(Ack { nonce: 1 })),
        (
            "an answer before Hello",
            Request::Recalled(Recalled {
                key: key("default"),
                ruleset: None,
            }),
        ),
        (
            "a process id that is no UUID",
            hello(&|hello| hello.process_id = "one".to_owned()),
        ),
        (
            "a replica's name that is no name",
            hello(&|hello| hello.replica = "../../etc\n".to_owned()),
        ),
        (
            "a digest of five bytes",
            hello(&|hello| hello.holdings = vec![holding("default", b"short")]),
        ),
        (
            "a namespace that is none",
            hello(&|hello| hello.holdings = vec![holding("../x", &[0; 32])]),
        ),
        (
            "a plugin digest of one byte",
            hello(&|hello| hello.plugin_digest = Bytes::from_static(b"x")),
        ),
    ] {
        let refusal = match Subscriber::open(fleet.controllers[0].grpc, &identity, first).await {
            Err(status) => status,
            Ok(mut subscriber) => subscriber.next().await.expect_err(what),
        };
        assert_eq!(refusal.code(), Code::InvalidArgument, "{what}: {refusal:?}");
        assert!(!refusal.message().is_empty(), "{what} is refused without a reason");
    }

    // After Hello too: an acknowledgement of what was never sent.
    let mut subscriber = Subscriber::open(
        fleet.controllers[0].grpc,
        &identity,
        Request::Hello(subscriber::hello("early")),
    )
    .await
    .unwrap();
    subscriber.ack(1_000_000);
    let refusal = loop {
        match subscriber.next().await {
            Ok(message) => assert!(message.is_some(), "the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
    // Unasked content: it must not get from one cache to the others.
    let unasked = Recalled {
        key: key("default"),
        ruleset: Some(RuleSet::default()),
    };
    let mut subscriber = Subscriber::open(
        fleet.controllers[0].grpc,
        &identity,
        Request::Hello(subscriber::hello("unasked")),
    )
    .await
    .unwrap();
    subscriber.send(Request::Recalled(unasked));
    while let Ok(Some((_, response))) = subscriber.next().await {
        if matches!(response, Response::SnapshotComplete(_)) {
            break;
        }
    }
    still_works(&fleet).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn bytes_that_are_no_messages_end_their_stream_and_nothing_else() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let identity = fleet.authority.issue(certificates::CACHE);
    let invalid_utf8 = [b"\x0a\x05\x0a\x03".as_slice(), b"\xff\xfe\xfd"].concat();
    for (what, message, compressed) in [
        ("noise", vec![0xa5; 1000], false),
        (
            "a length beyond the message",
            vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            false,
        ),
        ("invalid UTF-8", invalid_utf8, false),
        ("a message over the limit", vec![0; 40 << 20], false),
        // A few kilobytes of Zstandard.
        ("a bomb", vec![0; BOMB], true),
    ] {
        let channel = subscriber::connect(fleet.controllers[0].grpc, &identity.authority, Some(&identity))
            .await
            .unwrap();
        let status = send_bytes(channel, message, compressed).await.expect_err(what);
        assert!(!matches!(status.code(), Code::Ok | Code::Unknown), "{what}: {status:?}");
    }
    let peak = fleet.controllers[0].process.peak_memory();
    assert!(peak < u64::try_from(BOMB / 2).unwrap(), "{peak} bytes");
    // Not even TLS.
    let mut plain = TcpStream::connect(fleet.controllers[0].grpc).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "plain HTTP is answered");
    still_works(&fleet).await;
}

/// Subscribes with a first message of any bytes; gives the status that comes of it.
async fn send_bytes(channel: Channel, message: Vec<u8>, compressed: bool) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    if compressed {
        grpc = grpc.send_compressed(CompressionEncoding::Zstd);
    }
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::from_static("/coraza.distribution.v1alpha1.Distribution/Subscribe");
    // The stream stays open after the message, as a cache's does.
    let messages = tokio_stream::StreamExt::chain(tokio_stream::once(message), tokio_stream::pending());
    let mut answers = grpc
        .streaming(tonic::Request::new(messages), path, Raw)
        .await?
        .into_inner();
    answers.message().await.map(drop)
}

/// Sends bytes as they are, and reads none.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        let all = bytes::Buf::remaining(buffer);
        bytes::Buf::advance(buffer, all);
        Ok(Some(()))
    }
}
