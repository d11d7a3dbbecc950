//! What is read and written of Secrets, on an API server that a test plays.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;

use super::*;

const NAMES: [&str; 3] = ["ca", "controller", "cache"];

/// The Secrets, and how the API server behaves.
#[derive(Default)]
struct Server {
    secrets: BTreeMap<String, Value>,
    patches: usize,
    /// The answer to every patch, if it isn't what it should be.
    refuses: Option<u16>,
    /// Somebody else writes each Secret before we do.
    busy: bool,
}

type Shared = Arc<Mutex<Server>>;

fn empty(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "resourceVersion": "1"}})
}

fn server() -> Shared {
    let secrets = NAMES.map(|name| (name.to_owned(), empty(name)));
    Arc::new(Mutex::new(Server {
        secrets: secrets.into(),
        ..Server::default()
    }))
}

impl Server {
    fn answer(&mut self, method: &Method, name: &str, body: &[u8]) -> (u16, Value) {
        let status = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Other" };
            (
                code,
                json!({"kind": "Status", "status": "Failure", "message": "no", "reason": reason, "code": code}),
            )
        };
        let Some(secret) = self.secrets.get_mut(name) else {
            return status(404);
        };
        if method == Method::GET {
            return (200, secret.clone());
        }
        self.patches += 1;
        let patch: Value = serde_json::from_slice(body).expect("JSON");
        let version = |secret: &Value| secret["metadata"]["resourceVersion"].as_str().expect("one").to_owned();
        if self.busy {
            secret["metadata"]["resourceVersion"] = json!("busy");
        }
        if let Some(code) = self.refuses {
            return status(code);
        }
        if patch["metadata"]["resourceVersion"] != version(secret).as_str() {
            return status(409);
        }
        merge(secret, &patch);
        secret["metadata"]["resourceVersion"] = json!(format!("{}", self.patches + 1));
        (200, secret.clone())
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let object = target.as_object_mut().expect("just made one");
    for (name, value) in fields {
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn keeper(server: &Shared, leadership: Leadership) -> Keeper {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let (path, _) = parts.uri.path().split_at(parts.uri.path().rfind('/').expect("a path"));
            assert_eq!(path, "/api/v1/namespaces/coraza-system/secrets");
            let name = parts.uri.path().rsplit('/').next().expect("a name");
            let (code, answer) = server.lock().expect("fine").answer(&parts.method, name, &body);
            let answer = Response::builder()
                .status(code)
                .body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, kube::Error>(answer.expect("an answer"))
        }
    });
    let secrets = Secrets {
        authority: "ca".to_owned(),
        peers: Peer::ALL.map(|peer| (peer, peer.name().to_owned())).into(),
    };
    let policy = Policy {
        authority_life: Duration::from_secs(90 * 3600),
        leaf_life: Duration::from_secs(30 * 3600),
        delay: Duration::from_secs(120),
        names: Peer::ALL
            .map(|peer| (peer, vec![format!("coraza-{}", peer.name())]))
            .into(),
    };
    let client = Client::new(service, "default");
    Keeper::new(client, "coraza-system", secrets, policy, leadership)
}

/// What a round came to, in words.
async fn round(keeper: &Keeper) -> Result<(), String> {
    keeper.round().await.map(drop).map_err(|error| error.to_string())
}

/// Which Secrets have a key.
fn filled(server: &Shared) -> Vec<String> {
    let server = server.lock().expect("fine");
    let filled = server
        .secrets
        .iter()
        .filter(|(_, secret)| secret["data"]["tls.key"].is_string());
    filled.map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn a_leader_fills_the_secrets_once() {
    let server = server();
    let keeper = keeper(&server, Leadership::unopposed());
    let wait = keeper.round().await.expect("kept");
    assert!(wait > LOOK_INTERVAL, "{wait:?}");
    assert_eq!(filled(&server), ["ca", "cache", "controller"]);
    assert_eq!(round(&keeper).await, Ok(()));
    let server = server.lock().expect("fine");
    assert_eq!(server.patches, 3);
    for name in NAMES {
        assert_eq!(
            server.secrets[name]["metadata"]["annotations"][CERTIFICATES], OURS,
            "{name}"
        );
    }
}

#[tokio::test]
async fn who_does_not_lead_asks_for_nothing() {
    let server = server();
    server.lock().expect("fine").refuses = Some(500);
    let keeper = keeper(&server, Leadership::none());
    assert_eq!(round(&keeper).await, Err("this process leads no longer".to_owned()));
    assert_eq!(server.lock().expect("fine").patches, 0);
}

#[tokio::test]
async fn a_secret_that_is_missing_or_somebody_else_s_is_said_and_the_others_are_kept() {
    for (name, said, kept) in [
        ("cache", "it is part of the installation", &["ca", "controller"][..]),
        ("ca", "it is part of the installation", &[]),
    ] {
        let server = server();
        server.lock().expect("fine").secrets.remove(name);
        let error = round(&keeper(&server, Leadership::unopposed())).await.expect_err(said);
        assert!(error.contains(said) && error.contains(name), "{error}");
        assert_eq!(filled(&server), kept, "{name}");
    }
    let server = server();
    let theirs = json!({"metadata": {"name": "cache", "resourceVersion": "1"}, "data": {"tls.crt": "bWluZQ=="}});
    server
        .lock()
        .expect("fine")
        .secrets
        .insert("cache".to_owned(), theirs.clone());
    let error = round(&keeper(&server, Leadership::unopposed()))
        .await
        .expect_err("foreign");
    assert!(error.contains("somebody else's"), "{error}");
    assert_eq!(server.lock().expect("fine").secrets["cache"], theirs);
    assert_eq!(filled(&server), ["ca", "controller"]);
}

#[tokio::test]
async fn a_write_that_fails_is_tried_again_by_what_is_there_then() {
    let server = server();
    let keeper = keeper(&server, Leadership::unopposed());
    server.lock().expect("fine").refuses = Some(403);
    assert_eq!(round(&keeper).await, Err("failed to write the secret ca".to_owned()));
    server.lock().expect("fine").refuses = None;
    // Nothing is written over what somebody else wrote meanwhile.
    server.lock().expect("fine").busy = true;
    assert_eq!(round(&keeper).await, Err("failed to write the secret ca".to_owned()));
    assert_eq!(filled(&server), [""; 0]);
    server.lock().expect("fine").busy = false;
    assert_eq!(round(&keeper).await, Ok(()));
    assert_eq!(filled(&server), ["ca", "cache", "controller"]);
}

fn secret(annotations: &[(&str, &str)], data: &[(&str, &str)]) -> Secret {
    let annotations = annotations
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString((*value).into())));
    let mut secret = Secret {
        data: Some(data.collect()),
        ..Secret::default()
    };
    secret.metadata.annotations = Some(annotations.collect());
    secret.metadata.resource_version = Some("7".to_owned());
    secret
}

#[test]
fn what_is_somebody_else_s_is_never_written() {
    let filled = [("tls.crt", "mine")];
    for (annotations, data, ours) in [
        (&[][..], &[][..], true),
        (&[], &[("tls.crt", "")], true),
        (&[], &filled, false),
        (&[(CERTIFICATES, "other")], &filled, false),
        (&[(CERTIFICATES, OURS)], &filled, true),
    ] {
        assert_eq!(
            found(secret(annotations, data)).is_some(),
            ours,
            "{annotations:?} {data:?}"
        );
    }
}

#[test]
fn a_write_replaces_all_data_of_the_version_that_was_read() {
    let before = found(secret(
        &[(CERTIFICATES, OURS)],
        &[("tls.crt", "old"), ("next.crt", "old")],
    ))
    .expect("ours");
    let data = Data::from([("tls.crt".to_owned(), b"new".to_vec())]);
    let patch = patch(&before, data, &[("a", Some("1".to_owned())), ("b", None)]);
    assert_eq!(
        patch,
        json!({
            "metadata": {"resourceVersion": "7", "annotations": {"a": "1", "b": null, CERTIFICATES: OURS}},
            "data": {"tls.crt": "bmV3", "next.crt": null},
        })
    );
}
