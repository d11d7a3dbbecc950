//! What `docs/security.md` says that an attacker in some place can't do, tried from there. *Faults*: each test has processes of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::sync::Arc;

use coraza_api::{Engine, RuleSet};
use coraza_e2e::certificates::{self, Identity};
use coraza_e2e::environment::checkout;
use coraza_e2e::object::GATEWAY;
use coraza_e2e::{Cache, Fleet, Namespace, Process, Size, cluster, environment, http, kubectl_coraza, until};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS \"@contains attack\" \"id:1,phase:2,deny\"";

/// What is said of an Engine whose RuleSet isn't there, or has a name that is none.
const MISSED: [&str; 2] = ["RuleSetNotFound", "InvalidConfiguration"];

/// Rules that would reach what isn't theirs, files, programs, the environment, other servers, and one whose id no machine word holds.
const OUTWARD: [&str; 13] = [
    "Include /etc/passwd",
    "IncludeOptional *.conf",
    "SecRemoteRules key https://rules.example/all.conf",
    "SecRuleScript /tmp/check.lua \"id:10,phase:2,deny\"",
    "SecRule ARGS \"@inspectFile /bin/true\" \"id:11,phase:2,deny\"",
    "SecRule ARGS \"@rx a\" \"id:12,phase:2,deny,exec:/bin/true\"",
    "SecRule ENV:POD_NAMESPACE \"@rx .\" \"id:13,phase:2,deny\"",
    "SecRule ARGS \"@pmFromFile /etc/passwd\" \"id:14,phase:2,deny\"",
    "SecRule ARGS \"@pmFromFile ../../../../etc/passwd\" \"id:15,phase:2,deny\"",
    "SecRule REMOTE_ADDR \"@ipMatchFromFile https://rules.example/all.data\" \"id:16,phase:1,deny\"",
    "SecRule REMOTE_ADDR \"@ipMatchFromFile /etc/hosts\" \"id:17,phase:1,deny\"",
    "SecAction \"id:18,phase:2,proxy:'http://elsewhere.example'\"",
    "SecRule ARGS \"@rx a\" \"id:18446744073709551616,phase:2,deny\"",
];

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_reach_nothing_but_what_is_their_own() {
    let _fleet = Fleet::start(Size::of(1, 1)).await;
    let namespace = Namespace::create().await;
    for (number, rule) in OUTWARD.iter().enumerate() {
        let name = format!("outward-{number}");
        namespace.source(&name, &format!("{RULES}\n{rule}")).await;
        namespace.ruleset(&name, &[&name], &[]).await;
    }
    // What has no effect here may be written, since rules of other engines have it.
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let inert = [
        RULES.to_owned(),
        format!(
            "SecAuditEngine On\nSecAuditLog {}\nSecDebugLog {}",
            file("audit"),
            file("debug")
        ),
        format!(
            "SecUploadKeepFiles On\nSecUploadDir {}\nSecDataDir {}",
            file("uploads"),
            file("data")
        ),
        "SecAction \"id:20,phase:1,pass,setenv:KUBECONFIG=/tmp\"".to_owned(),
        "SecRule REMOTE_ADDR \"@rbl rules.example\" \"id:21,phase:1,deny\"".to_owned(),
        "SecAction \"id:22,phase:1,pass,log,msg:'<%{ENV.KUBECONFIG}>',logdata:'<%{ENV.KUBECONFIG}>'\"".to_owned(),
    ];
    namespace.source("inert", &inert.join("\n")).await;
    namespace.ruleset("inert", &["inert"], &[]).await;
    namespace.ready("inert").await;
    let request = ["explain", "-o", "json", "https://shop.example/?a=attack"];
    let own = ["--ruleset", "inert", "--namespace", &namespace.name];
    let explained = kubectl_coraza::run(&[&request[..], &own].concat());
    assert_eq!(explained.json()["verdict"], "blocked", "{explained:?}");
    assert!(explained.out.contains("<>"), "{explained:?}");
    let kubeconfig = environment().cluster.kubeconfig.display().to_string();
    assert!(!explained.out.contains(&kubeconfig), "{explained:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    for (number, rule) in OUTWARD.iter().enumerate() {
        until(&format!("`{rule}` to be refused"), async || {
            let status = namespace.get_ruleset(&format!("outward-{number}")).await.status;
            let status = status.unwrap_or_default();
            let refused = |condition: &Condition| condition.type_ == "Degraded" && condition.status == "True";
            assert!(status.revision.is_none(), "{rule} is served");
            let conditions = &status.conditions;
            conditions
                .iter()
                .any(refused)
                .then_some(())
                .ok_or(format!("{conditions:?}"))
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn references_stay_in_their_namespace() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let (victim, attacker) = (Namespace::create().await, Namespace::create().await);
    victim.source("secret-rules", RULES).await;
    victim.data("secret-data", &[("words.data", "secret")]).await;
    victim.ruleset("waf", &["secret-rules"], &["secret-data"]).await;
    let revision = victim.ready("waf").await;
    victim.served(&fleet.caches, "waf", &revision.uuid).await;

    let path = |name: &str| format!("{}/{name}", victim.name);
    let elsewhere = |name: &str| json!({"name": name, "namespace": victim.name});
    // Refused by the API server, or taken for what they would be in the attacker's own namespace, where they are nothing.
    for (what, spec) in [
        ("a path", json!({"sources": [{"name": path("secret-rules")}]})),
        (
            "a way up",
            json!({"sources": [{"name": format!("../{}", path("secret-rules"))}]}),
        ),
        ("a namespace", json!({"sources": [elsewhere("secret-rules")]})),
        ("a bare name", json!({"sources": [{"name": "secret-rules"}]})),
        (
            "data",
            json!({"sources": [{"name": "own"}], "data": [elsewhere("secret-data")]}),
        ),
    ] {
        attacker.source("own", RULES).await;
        if attacker.try_apply::<RuleSet>("thief", spec).await.is_err() {
            continue;
        }
        until(&format!("the reference by {what} to be missed"), async || {
            let status = attacker.get_ruleset("thief").await.status.unwrap_or_default();
            let reasons: Vec<_> = status
                .conditions
                .iter()
                .map(|condition| condition.reason.clone())
                .collect();
            let missed = reasons.iter().any(|reason| reason.ends_with("NotFound"));
            if missed && status.revision.is_none() {
                Ok(())
            } else {
                Err(format!("{reasons:?}"))
            }
        })
        .await;
        attacker.delete::<RuleSet>("thief").await;
    }
    // An Engine of his names the RuleSet of another.
    cluster::install_mesh().await;
    cluster::apply(&[&checkout("e2e/data/gateway-class.yaml")]);
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let gateway = json!({"gatewayClassName": "coraza-e2e", "listeners": [listener]});
    GATEWAY
        .apply(&attacker.client, &attacker.name, "gateway", gateway)
        .await;
    for ruleset in [json!({"name": path("waf")}), elsewhere("waf"), json!({"name": "waf"})] {
        let spec = json!({
            "ruleSet": ruleset,
            "target": {"type": "Gateway", "name": "gateway"},
            "driver": {"type": "wasm", "wasm": {"image": "oci://registry.example/plugin:1"}},
        });
        if attacker.try_apply::<Engine>("thief", spec).await.is_err() {
            continue;
        }
        let token = attacker.token("waf").await;
        for cache in &fleet.caches {
            let answer = http::get(cache.http, &format!("/rules/{}/waf", victim.name), Some(&token)).await;
            assert_eq!(answer.unwrap().status, 403, "{ruleset}");
        }
        until("the Engine to miss its RuleSet", async || {
            let engine = attacker
                .api::<Engine>()
                .get("thief")
                .await
                .map_err(|error| error.to_string())?;
            let status = engine.status.unwrap_or_default();
            let missed = status
                .conditions
                .iter()
                .any(|condition| MISSED.contains(&condition.reason.as_str()));
            if missed {
                Ok(())
            } else {
                Err(format!("{:?}", status.conditions))
            }
        })
        .await;
    }
}

/// Shakes hands as a controller would, by this certificate: how it ends for whoever connects next.
async fn shake(listener: &TcpListener, identity: &Identity) -> Result<(), String> {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (stream, _) = listener.accept().await.unwrap();
    let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    accepted.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_was_taken_does_not_pass_for_the_controller() {
    let mut fleet = Fleet::start(Size::of(1, 1)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = fleet.cache_settings();
    settings.controllers = vec![listener.local_addr().unwrap()];
    let cache = Cache::start(settings);
    // Of the same authority, as a cache's Secret has it.
    for _ in 0..2 {
        let refused = shake(&listener, &fleet.authority.issue(certificates::CACHE)).await;
        let refused = refused.expect_err("the cache takes a cache for the controller");
        assert!(refused.to_lowercase().contains("certificate"), "{refused}");
    }
    let welcome = shake(&listener, &fleet.authority.issue(certificates::CONTROLLER)).await;
    assert_eq!(welcome, Ok(()), "it was the name");
    assert!(cache.process.ended().is_none());
}

/// What a kubeconfig's user may not do, of these.
async fn forbidden<'a>(kubeconfig: &std::path::Path, asked: &[(&'a str, &'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("usable")).expect("a client");
    let mut forbidden = Vec::new();
    for (verb, group, resource) in asked {
        let (resource_name, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = ResourceAttributes {
            verb: Some((*verb).to_owned()),
            group: Some((*group).to_owned()),
            resource: Some(resource_name.to_owned()),
            subresource: Some(subresource.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let review = reviews.create(&PostParams::default(), &review).await.expect("a review");
        if !review.status.expect("a verdict").allowed {
            forbidden.push((*verb, *resource));
        }
    }
    forbidden
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_may_have_tokens_reviewed_and_nothing_else() {
    // Who has rights is made with the cluster; the fleet sees to that nobody changes them meanwhile.
    let _fleet = Fleet::start(Size::of(1, 1)).await;
    let (waf, istio) = ("waf.k8s.coraza.io", "extensions.istio.io");
    let asked = [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        ("list", waf, "rulesets"),
        ("update", waf, "rulesets"),
        ("update", waf, "rulesets/status"),
        ("create", waf, "engines"),
        ("get", istio, "wasmplugins"),
        ("patch", istio, "wasmplugins"),
        ("get", "", "secrets"),
        ("list", "", "pods"),
        ("create", "", "pods"),
        ("create", "", "serviceaccounts/token"),
        ("create", "", "events"),
        ("update", "coordination.k8s.io", "leases"),
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ];
    let may_not: Vec<_> = asked
        .iter()
        .skip(2)
        .map(|(verb, _, resource)| (*verb, *resource))
        .collect();
    assert_eq!(
        forbidden(&environment().cluster.cache_kubeconfig, &asked).await,
        may_not
    );
    let asked = [
        ("patch", waf, "rulesets/status"),
        ("create", "", "pods"),
        ("list", "", "secrets"),
        ("create", "", "pods/exec"),
        ("create", "", "pods/portforward"),
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ];
    let may_not: Vec<_> = asked
        .iter()
        .skip(1)
        .map(|(verb, _, resource)| (*verb, *resource))
        .collect();
    assert_eq!(
        forbidden(&environment().cluster.controller_kubeconfig, &asked).await,
        may_not
    );
}

/// Requests whose parts are made to look like the end of a line and another one, or to steer a terminal.
const FORGERIES: [&[u8]; 6] = [
    b"GET /rules/%0a%7b%22level%22%3a%22forged%22%7d/waf HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /rules/\xe2\x80\xae\xc2\x9b31m/waf HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /rules/a/waf HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xc2\x9b31mforged\r\n\r\n",
    b"GET /rules/a/waf HTTP/1.1\r\nHost: a\r\nx-coraza-pod: forged\xc2\x85line\r\nx-coraza-revision: \xc2\x9b\r\n\r\n",
    b"GET /rules/a/waf\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\nforged\n\x1b[31m\r\n\r\n",
];

async fn send(process: &Process, address: std::net::SocketAddr) {
    for forgery in FORGERIES {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(forgery).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_buf(&mut answer).await;
    }
    let last = "the-last-of-them";
    let _ = http::get(address, &format!("/rules/{last}/waf"), None).await;
    until("the requests to be logged", async || {
        let log = process.log();
        if log.contains(last) {
            Ok(())
        } else {
            Err(log.lines().count())
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn nobody_writes_lines_of_his_own_into_a_log() {
    let level = "--log-level=debug";
    let mut fleet = Fleet::start(Size::of(1, 1).cache_flags(&[level])).await;
    let lines = &fleet.caches[0];
    send(&lines.process, lines.http).await;
    for line in lines.process.log().lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_ne!(parsed["level"], "forged");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let mut settings = fleet.cache_settings();
    settings.flags.push("--log-format=text".to_owned());
    let text = Cache::start(settings);
    text.ready().await;
    send(&text.process, text.http).await;
    for line in text.process.log().lines() {
        // It begins with the time, in this century.
        assert!(line.starts_with("20"), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
