//! An API server that a test plays, and a leading controller before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coraza_api::istio::Telemetry;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::*;
use crate::context::tests::leader;
use crate::watch::foreign::{GatewayClassView, GatewayView};
use crate::watch::index::Indexed;
use crate::watch::store::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;

/// What the API server has, was asked, and is to answer instead.
#[derive(Default)]
pub(super) struct Server {
    pub(super) objects: BTreeMap<String, Value>,
    version: u64,
    /// Each call that changes something: `POST wasmplugins`, `PATCH engines/status`, …
    pub(super) calls: Vec<String>,
    /// The calls that fail, by how they begin, with the status.
    pub(super) failing: Vec<(&'static str, u16)>,
    pub(super) token_life: i64,
    tokens: i64,
    pub(super) events: Vec<Value>,
}

impl Server {
    fn answer(&mut self, method: &str, path: &str, media: &str, body: &Value) -> (u16, Value) {
        if path.starts_with("/openapi") {
            return (404, Value::Null);
        }
        let parts: Vec<&str> = path.split('/').collect();
        let place = parts
            .iter()
            .position(|part| *part == "namespaces")
            .map_or(0, |place| place + 2);
        let kind = parts.get(place).copied().unwrap_or_default();
        let sub = parts.get(place + 2).map(|sub| format!("/{sub}")).unwrap_or_default();
        let call = format!("{method} {kind}{sub}");
        if method != "GET" {
            self.calls.push(call.clone());
        }
        if let Some((_, code)) = self.failing.iter().find(|(failing, _)| call.starts_with(failing)) {
            // Of a path that isn't there, the API server speaks as any web server.
            return if (method, *code, kind) == ("POST", 404, "wasmplugins") {
                (404, "404 page not found".into())
            } else {
                failure(*code)
            };
        }
        match (method, &*sub) {
            ("POST", "/token") => (201, self.token(body)),
            ("POST", _) if kind == "events" => {
                self.events.push(body.clone());
                (201, body.clone())
            }
            ("POST", _) => self.create(
                &format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default()),
                body,
            ),
            ("GET", _) => self
                .objects
                .get(path)
                .map_or_else(|| failure(404), |object| (200, object.clone())),
            ("DELETE", _) => self
                .objects
                .remove(path)
                .map_or_else(|| failure(404), |object| (200, object)),
            ("PATCH", "/status") => self.merge(path.trim_end_matches("/status"), body),
            ("PATCH", _) if media.starts_with("application/apply") => self.apply(path, body),
            ("PATCH", _) => self.merge(path, body),
            _ => failure(405),
        }
    }

    pub(super) fn create(&mut self, path: &str, body: &Value) -> (u16, Value) {
        if self.objects.contains_key(path) {
            return failure(409);
        }
        let mut object = body.clone();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{}", self.version).into();
        }
        self.put(path, object);
        (201, self.objects[path].clone())
    }

    pub(super) fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object);
    }

    fn merge(&mut self, path: &str, patch: &Value) -> (u16, Value) {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return failure(404);
        };
        let expected = &patch["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
            return failure(409);
        }
        merge(&mut object, patch);
        self.put(path, object);
        (200, self.objects[path].clone())
    }

    /// As if all was ours: what was there and isn't wanted stays.
    fn apply(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return failure(404);
        };
        if object["metadata"]["uid"] != body["metadata"]["uid"] {
            return failure(409);
        }
        merge(&mut object, body);
        self.put(path, object);
        (200, self.objects[path].clone())
    }

    fn token(&mut self, body: &Value) -> Value {
        self.tokens += 1;
        let issued = Timestamp::now().as_second();
        let claims = json!({"sub": "system:serviceaccount:coraza-system:coraza-plugin", "aud": body["spec"]["audiences"],
            "iat": issued, "exp": issued + self.token_life, "jti": self.tokens});
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": body["spec"],
            "status": {"token": token, "expirationTimestamp": "2030-01-01T00:00:00Z"}})
    }
}

fn failure(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "AlreadyExists",
        422 => "Invalid",
        _ => "",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": format!("scripted {code}"),
        "reason": reason, "code": code, "details": {}});
    (code, status)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// A controller and the API server that it has to do with.
pub(super) struct World {
    pub(super) context: Context,
    pub(super) server: Arc<Mutex<Server>>,
}

const GROUP: &str = "/apis/waf.k8s.coraza.io/v1alpha1/namespaces/shop";

impl World {
    /// A Gateway, a good RuleSet, all kinds listed, nothing else.
    pub(super) fn new() -> Self {
        let server = Arc::new(Mutex::new(Server {
            token_life: 86_400,
            ..Server::default()
        }));
        let world = Self::before(&server);
        world.put_gateway("public");
        world.put_ruleset("crs", &json!({"conditions": [], "revision": revision("1")}));
        world.watch();
        world
    }

    /// Another controller before the same API server: nothing of the first one's memory is left.
    pub(super) fn before(server: &Arc<Mutex<Server>>) -> Self {
        let shared = Arc::clone(server);
        let service = tower::service_fn(move |request: Request<Body>| {
            let shared = Arc::clone(&shared);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let media = parts
                    .headers
                    .get("content-type")
                    .map_or("", |media| media.to_str().expect("text"));
                let (code, answer) =
                    shared
                        .lock()
                        .expect("unpoisoned")
                        .answer(parts.method.as_str(), parts.uri.path(), media, &body);
                let answer = Body::from(serde_json::to_vec(&answer).expect("JSON"));
                Ok::<_, kube::Error>(Response::builder().status(code).body(answer).expect("an answer"))
            }
        });
        let mut context = leader(Client::new(service, "default"));
        let mut settings = (*context.settings).clone();
        settings.default_module =
            crate::engine::settings::DefaultModule::Url("oci://registry.example/plugin:1".to_owned());
        context.settings = Arc::new(settings);
        let world = Self {
            context,
            server: Arc::clone(server),
        };
        world.watch();
        world
    }

    pub(super) fn server(&self) -> std::sync::MutexGuard<'_, Server> {
        self.server.lock().expect("unpoisoned")
    }

    pub(super) fn put_gateway(&self, name: &str) {
        let path = format!("/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/{name}");
        let body = json!({"kind": "Gateway", "metadata": {"namespace": "shop", "name": name, "uid": name}, "spec": {"gatewayClassName": "istio"}});
        self.server().put(&path, body);
    }

    pub(super) fn put_ruleset(&self, name: &str, status: &Value) {
        let body = json!({"kind": "RuleSet", "metadata": {"namespace": "shop", "name": name, "uid": name},
            "spec": {"sources": [{"name": "a"}]}, "status": status});
        self.server().put(&format!("{GROUP}/rulesets/{name}"), body);
    }

    pub(super) fn put_engine(&self, name: &str, uid: &str, edit: impl FnOnce(&mut Value)) {
        let path = format!("{GROUP}/engines/{name}");
        let mut body = json!({"kind": "Engine", "metadata": {"namespace": "shop", "name": name, "uid": uid, "generation": 1,
                "creationTimestamp": "2026-05-01T10:00:00Z"},
            "spec": {"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "public"}}});
        if let Some(before) = self
            .server()
            .objects
            .get(&path)
            .filter(|before| before["metadata"]["uid"] == uid)
        {
            body["status"] = before["status"].clone();
        }
        edit(&mut body);
        self.server().put(&path, body);
        self.watch();
    }

    /// The watches catch up with all that the API server has.
    pub(super) fn watch(&self) {
        self.list::<EngineView>("Engine");
        self.list::<RuleSetView>("RuleSet");
        self.list::<GatewayView>("Gateway");
        self.list::<GatewayClassView>("GatewayClass");
        self.list::<ChildView<WasmPlugin>>("WasmPlugin");
        self.list::<ChildView<Telemetry>>("Telemetry");
        self.list::<ChildView<NetworkPolicy>>("NetworkPolicy");
    }

    fn list<V: Indexed>(&self, kind: &str) {
        let objects: Vec<_> = {
            let server = self.server();
            let of_kind = server.objects.values().filter(|object| object["kind"] == kind);
            of_kind
                .map(|object| serde_json::from_value(object.clone()).expect("a dynamic object"))
                .collect()
        };
        let mut index = self.context.watched.index();
        index.apply(Event::<V>::Init);
        for object in objects {
            let (key, object) = crate::watch::object::decode::<V>(object, &self.context.compiler).expect("a name");
            index.apply(Event::InitApply(key, object));
        }
        index.apply(Event::<V>::InitDone);
    }

    /// One look at an Engine, with the calls that it made, and the watches after it.
    pub(super) async fn look(&self, name: &str) -> (Result<Outcome, ReportError>, Vec<String>) {
        self.server().calls.clear();
        let outcome = reconcile(&self.context, &ObjectKey::new("shop", name)).await;
        self.watch();
        let calls = std::mem::take(&mut self.server().calls);
        (outcome, calls)
    }

    /// Looks until nothing is called any more; gives all calls.
    pub(super) async fn settle(&self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..6 {
            let (_, calls) = self.look(name).await;
            if calls.is_empty() {
                return all;
            }
            all.extend(calls);
        }
        panic!("it does not settle: {all:?}");
    }

    pub(super) fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let server = self.server();
        let found = server
            .objects
            .values()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.cloned()
    }

    pub(super) fn plugin(&self) -> Option<Value> {
        self.object("WasmPlugin", "coraza-engine-waf")
    }

    pub(super) fn edit_plugin(&self, edit: impl FnOnce(&mut Value)) {
        let path = "/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins/coraza-engine-waf";
        let mut object = self.server().objects[path].clone();
        edit(&mut object);
        self.server().put(path, object);
        self.watch();
    }

    pub(super) fn delete(&self, path: &str) {
        self.server().objects.remove(path).expect("it was there");
        self.watch();
    }

    pub(super) fn delete_engine(&self, name: &str) {
        self.delete(&format!("{GROUP}/engines/{name}"));
    }

    pub(super) fn delete_ruleset(&self, name: &str) {
        self.delete(&format!("{GROUP}/rulesets/{name}"));
    }

    /// The Engine's conditions as `type=status reason`, sorted.
    pub(super) fn said(&self, name: &str) -> Vec<String> {
        let engine = self.object("Engine", name).expect("an Engine");
        let conditions = engine["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let show = |condition: &Value| {
            format!(
                "{}={} {}",
                text(&condition["type"]),
                text(&condition["status"]),
                text(&condition["reason"])
            )
        };
        let mut shown: Vec<_> = conditions.iter().map(show).collect();
        shown.sort();
        shown
    }

    pub(super) fn message(&self, name: &str) -> String {
        let engine = self.object("Engine", name).expect("an Engine");
        let conditions = engine["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .expect("a Ready condition");
        ready["message"].as_str().expect("a message").to_owned()
    }

    pub(super) fn token(&self) -> String {
        self.plugin().expect("a WasmPlugin")["spec"]["pluginConfig"]["cache_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }
}

pub(super) fn revision(uuid: &str) -> Value {
    json!({"uuid": uuid, "digest": "ab".repeat(32), "timestamp": "2026-05-01T10:00:00.123456789Z", "bytes": 9, "rules": 1})
}
