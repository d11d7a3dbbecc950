//! What the plugin does with requests and responses in Envoy: each phase, each way to end a stream, and what must not be held.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use coraza_e2e::envoy::{Setup, read_until_silent};
use coraza_e2e::{Envoy, RulesServer, Upstream, until};
use http::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 1048576
SecResponseBodyAccess On
SecResponseBodyMimeType text/html text/plain
SecRule REQUEST_HEADERS:x-attack "@streq 1" "id:1,phase:1,deny,status:401,log,msg:'phase 1'"
SecRule ARGS "@contains evil" "id:2,phase:2,deny,status:406,log,msg:'phase 2',severity:CRITICAL,tag:'attack-sqli'"
SecRule RESPONSE_HEADERS:x-leak "@streq 1" "id:3,phase:3,deny,status:502,log,msg:'phase 3'"
SecRule RESPONSE_BODY "@contains secret" "id:4,phase:4,deny,status:500,log,msg:'phase 4'"
SecRule REQUEST_URI "@contains /logged" "id:5,phase:5,pass,log,msg:'phase 5'"
SecRule REQUEST_URI "@contains /drop" "id:6,phase:1,drop,log"
SecRule REQUEST_URI "@contains /old" "id:7,phase:1,redirect:'https://new.example/?was=%{REQUEST_HEADERS.x-from}',status:307,log"
SecRule REQUEST_HEADERS:Host "@streq ten.example" "id:8,phase:1,deny,status:410,log"
"#;

struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
    _cache: RulesServer,
}

async fn gateway(setup: Setup) -> Gateway {
    gateway_with(setup, RULES).await
}

async fn gateway_with(setup: Setup, rules: &str) -> Gateway {
    let (cache, upstream) = (RulesServer::start(rules).await, Upstream::start().await);
    let envoy = Envoy::start(setup, cache.address(), upstream.address()).await;
    envoy.until_status("/", 200).await;
    Gateway {
        envoy,
        upstream,
        _cache: cache,
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn each_phase_blocks_and_operators_see_it() {
    let setup = Setup {
        configuration: json!({ "log_requests": true }),
        ..Setup::default()
    };
    let audited = format!(
        "{RULES}SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus ^4\nSecAuditLogParts ABHZ\nSecAuditLogFormat JSON\nSecRuleRemoveById 8\n"
    );
    let Gateway { envoy, upstream, .. } = &gateway_with(setup, &audited).await;
    let attack = Request::get("/one")
        .header("x-attack", "1")
        .header("x-request-id", "req-1")
        .body(String::new())
        .unwrap();
    assert_eq!(envoy.send(attack).await.status, 401);
    assert_eq!(envoy.get("/two?a=evil").await.status, 406);
    assert_eq!(envoy.post("/two", "a=evil").await.status, 406);
    assert_eq!(envoy.post("/two", "a=good").await.text(), "a=good");
    assert_eq!(envoy.get("/header/x-leak/1").await.status, 502);
    assert_eq!(envoy.get("/header/x-leak/2").await.status, 200);
    let broken = envoy.raw(b"GET /body/secret HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let broken = String::from_utf8_lossy(&broken);
    assert!(
        broken.starts_with("HTTP/1.1 200 OK") && !broken.contains("secret\n") && broken.ends_with("\r\n\r\n"),
        "{broken}"
    );
    assert_eq!(envoy.get("/body/public").await.text(), "public");
    envoy.get("/logged").await;
    assert_eq!(envoy.raw(b"GET /drop HTTP/1.1\r\nhost: a\r\n\r\n").await, b"");
    let moved = envoy
        .send(
            Request::get("/old")
                .header("x-from", "a b")
                .body(String::new())
                .unwrap(),
        )
        .await;
    assert_eq!(
        (moved.status.as_u16(), moved.header("location")),
        (307, "https://new.example/?was=a%20b")
    );
    assert!(
        upstream
            .seen()
            .iter()
            .all(|seen| !seen.contains("evil") && !seen.contains("/one")),
        "{:?}",
        upstream.seen()
    );

    until("the log lines", async || {
        let log = envoy.log();
        let wanted = [
            "ACCESS /one 401 rule_id=1 phase=http_request_headers",
            "ACCESS /two 406 rule_id=2 phase=http_request_body event=coraza_waf_blocked_request action=deny status=406 \
             severity=CRITICAL category=sqli client_ip=127.0.0.1\n",
            "ACCESS /header/x-leak/1 502 rule_id=3 phase=http_response_headers",
            "ACCESS /body/secret 200 rule_id=4 phase=http_response_body",
            // What passes has none.
            "ACCESS /body/public 200 rule_id=- phase=- event=-",
            "[id \"5\"]",
            // The source's name, and the line there.
            r#"[file "rules-of-a-test"] [line "11"] [id "5"]"#,
            r#""rule_line":8,"rule_source":"rules-of-a-test""#,
            r#""event":"coraza_waf_plugin_load""#,
            r#""event":"coraza_waf_request","namespace":"prod","outcome":"block","request_id":"req-1""#,
            r#""request_id":"req-1""#,
            r#""event":"coraza_waf_blocked_request""#,
        ];
        let missing: Vec<_> = wanted.into_iter().filter(|wanted| !log.contains(wanted)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    })
    .await;
    assert_audited(&envoy.log());
    for (stat, value) in [
        ("waf_filter.tx.interruptions_ruleid=1_phase=http_request_headers", 1),
        ("waf_filter.tx.interruptions_ruleid=2_phase=http_request_body", 2),
        ("waf_filter.tx.interruptions_ruleid=4_phase=http_response_body", 1),
        (
            "coraza_waf_requests_total_driver_type_wasm_engine_shop_namespace_prod_outcome_redirect",
            1,
        ),
        (
            "coraza_waf_blocked_requests_total_driver_type_wasm_engine_shop_namespace_prod_category_sqli_severity_CRITICAL",
            2,
        ),
        (
            "coraza_waf_rule_overrides_driver_type_wasm_engine_shop_namespace_prod_rule_id_8_type_disabled",
            1,
        ),
    ] {
        assert_eq!(envoy.stat(&format!("wasmcustom.{stat}")).await, value, "{stat}");
    }
    envoy.assert_healthy("/two?a=evil", 406).await;
}

/// The record of the first attack, and of it alone under its id.
fn assert_audited(log: &str) {
    let records = log.lines().filter_map(|line| Some(line.split_once("AuditLog:")?.1));
    let records: Vec<_> = records.filter(|record| record.contains("req-1")).collect();
    assert_eq!(records.len(), 1, "{records:?}");
    let json: serde_json::Value = serde_json::from_str(records[0].trim()).unwrap();
    let transaction = &json["transaction"];
    assert_eq!(transaction["unique_id"], "req-1", "{json}");
    assert!(json.to_string().contains("rules-of-a-test"), "{json}");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn bodies_end_by_length_chunks_trailers_or_the_limit() {
    let rules = RULES.replace("SecRequestBodyLimit 1048576", "SecRequestBodyLimit 100");
    let setup = Setup {
        buffer_limit: Some(32 << 10),
        ..Setup::default()
    };
    let Gateway { envoy, .. } = &gateway_with(setup, &rules).await;
    let chunked = |parts: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n{parts}"
        )
    };
    let status = async |request: String| {
        let answer = envoy.raw(request.as_bytes()).await;
        String::from_utf8_lossy(answer.get(..12).unwrap_or(&answer)).into_owned()
    };
    assert_eq!(
        status(chunked("4\r\na=ev\r\n2\r\nil\r\n0\r\n\r\n")).await,
        "HTTP/1.1 406"
    );
    assert_eq!(
        status(chunked("4\r\na=ev\r\n2\r\nil\r\n0\r\nx: y\r\n\r\n")).await,
        "HTTP/1.1 406"
    );
    assert_eq!(
        status(chunked("4\r\na=go\r\n2\r\nod\r\n0\r\nx: y\r\n\r\n")).await,
        "HTTP/1.1 200"
    );
    assert_eq!(envoy.post("/", &format!("a={}", "x".repeat(200))).await.status, 413);
    assert_eq!(envoy.post("/", &format!("a={}", "x".repeat(200_000))).await.status, 413);
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_partial_body_is_inspected_at_the_limit_and_the_rest_streams() {
    let rules = RULES.replace(
        "SecRequestBodyLimit 1048576",
        "SecRequestBodyLimit 20000\nSecRequestBodyLimitAction ProcessPartial",
    );
    let setup = Setup {
        buffer_limit: Some(32 << 10),
        configuration: json!({ "max_held_body_bytes": 20_000 }),
        ..Setup::default()
    };
    let Gateway { envoy, .. } = &gateway_with(setup, &rules).await;
    let large = format!("a={}", "x".repeat(500_000));
    assert_eq!(envoy.post("/", &large).await.text().len(), large.len());
    assert_eq!(envoy.post("/", &format!("b=evil&{large}")).await.status, 406);
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_has_no_end_is_not_held() {
    let Gateway { envoy, .. } = &gateway(Setup::default()).await;
    // Server-sent events: the first one comes although there is no end.
    let mut events = TcpStream::connect(envoy.address()).await.unwrap();
    events
        .write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&read_until_silent(&mut events).await).into_owned();
    assert!(text.contains("data: first"), "{text}");
    // An upgrade: bytes go both ways.
    let mut socket = TcpStream::connect(envoy.address()).await.unwrap();
    socket
        .write_all(b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    socket.write_all(b"a=evil").await.unwrap();
    let echoed = String::from_utf8_lossy(&read_until_silent(&mut socket).await).into_owned();
    assert!(echoed.ends_with("a=evil"), "{echoed}");
    // gRPC is inspected by its head alone.
    let request = |kind: &str| {
        Request::post("/x")
            .header("content-type", kind)
            .body("a=evil".to_owned())
            .unwrap()
    };
    assert_eq!(envoy.send(request("application/grpc")).await.status, 200);
    assert_eq!(
        envoy
            .send(
                Request::post("/x?a=evil")
                    .header("content-type", "application/grpc")
                    .body(String::new())
                    .unwrap()
            )
            .await
            .status,
        200,
        "gRPC has statuses of its own"
    );
    assert_eq!(
        envoy.stat("wasmcustom.waf_filter.tx.uninspected_streams").await,
        2,
        "the event stream was none of the request's"
    );
    // Downloads that nobody looks at aren't held, however large.
    assert_eq!(envoy.get("/download/5000000").await.body.len(), 5_000_000);
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn large_responses_are_inspected_up_to_their_limit() {
    let Gateway { envoy, .. } = &gateway(Setup::default()).await;
    for size in [0, 1, 400_000, 524_288, 524_289, 3_000_000] {
        assert_eq!(envoy.get(&format!("/large/{size}")).await.body.len(), size, "{size}");
    }
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_early_answer_does_not_get_around_phase_2() {
    let Gateway { envoy, .. } = &gateway(Setup::default()).await;
    let mut stream = TcpStream::connect(envoy.address()).await.unwrap();
    let head = "POST /early HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\na=evil&";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&read_until_silent(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 406"), "{answer}");
    let mut stream = TcpStream::connect(envoy.address()).await.unwrap();
    stream.write_all(head.replace("evil", "good").as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&read_until_silent(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn all_versions_of_http_are_inspected() {
    let Gateway { envoy, .. } = &gateway(Setup::default()).await;
    let ten = envoy.raw(b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(ten.starts_with(b"HTTP/1.0 410"), "{}", String::from_utf8_lossy(&ten));
    let ten = envoy.raw(b"GET / HTTP/1.0\r\nhost: other\r\n\r\n").await;
    assert!(ten.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&ten));
    let two = async |path: &str, body: &str| {
        let stream = TcpStream::connect(envoy.address()).await.unwrap();
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request =
            Request::post(format!("http://a{path}")).header("content-type", "application/x-www-form-urlencoded");
        let body = http_body_util::Full::new(bytes::Bytes::from(body.to_owned()));
        sender
            .send_request(request.body(body).unwrap())
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(two("/", "a=evil").await, 406);
    assert_eq!(two("/?a=evil", "").await, 406);
    assert_eq!(two("/", "a=good").await, 200);
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_is_broken_on_purpose_costs_no_vm() {
    let Gateway { envoy, .. } = &gateway(Setup::default()).await;
    let many: String = (0..1_100).map(|number| format!("x-{number}: y\r\n")).collect();
    let poison: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: a\r\nx: \xff\xfe\x80\r\n\r\n".to_vec(),
        b"GET /\xff?a=\xff%ff HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_bytes(),
        format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", "a=%&".repeat(20_000)).into_bytes(),
        b"GET  HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\nbytes".to_vec(),
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nshort".to_vec(),
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x05\x01\x05\0\0\0\x01\x82\x84\x86\xff\xff".to_vec(),
        b"\x16\x03\x01\0\x05hello".to_vec(),
        b"\0".repeat(1_000),
    ];
    for bytes in &poison {
        envoy.raw(bytes).await;
        assert_eq!(
            envoy.get("/?a=evil").await.status,
            406,
            "after {}",
            String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes))
        );
    }
    envoy.assert_healthy("/?a=evil", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn static_rules_need_no_cache() {
    let upstream = Upstream::start().await;
    let rules: Vec<&str> = RULES.lines().filter(|line| !line.is_empty()).collect();
    let configuration = json!({ "cache_server_cluster": "", "directives_map": { "all": rules, "none": [] }, "default_directives": "all",
        "per_authority_directives": { "open.example": "none" } });
    let setup = Setup {
        configuration,
        ..Setup::default()
    };
    let envoy = Envoy::start(setup, coraza_e2e::port::free(), upstream.address()).await;
    assert_eq!(envoy.get("/?a=evil").await.status, 406);
    let open = Request::get("/?a=evil")
        .header("host", "open.example")
        .body(String::new())
        .unwrap();
    assert_eq!(envoy.send(open).await.status, 200);
    assert_eq!(
        envoy
            .stat("wasmcustom.waf_filter.tx.interruptions_ruleid=2_phase=http_request_body_authority=other")
            .await,
        1
    );
}
