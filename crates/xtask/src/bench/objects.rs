//! The Core Rule Set as the objects that a person applies, made by `kubectl coraza generate coreruleset`, and putting objects into an API server.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::http::{Answer, send};
use crate::program::Program;
use crate::{tools, workspace};

/// The RuleSet that the generator writes.
pub(super) const RULESET: &str = "default-ruleset";

/// Requests under way at once.
const WRITERS: usize = 16;

/// The generator's objects in order: sources, data, the RuleSet.
pub(super) async fn core_rule_set(kubectl: impl Fn() -> Program) -> Result<Vec<Value>> {
    let rules = tools::core_rule_set().await?.join("rules/@owasp_crs");
    let build = workspace::build(workspace::Tests::None).await?;
    let generate = Program::new(build.program("kubectl-coraza")?);
    let generate = generate.args(["generate", "coreruleset", "--version", "4.25.0", "--rules-dir"]);
    let yaml = generate.arg(rules).stdout().await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), yaml)?;
    let create = ["create", "--dry-run=client", "--output=json", "--filename"];
    let json = kubectl().args(create).arg(file.path()).stdout().await?;
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&json).into_iter().collect();
    let mut objects = Vec::new();
    for mut document in documents.context("kubectl's JSON")? {
        match document.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => objects.append(items),
            None => objects.push(document),
        }
    }
    ensure!(objects.len() > 2, "the generator wrote no rules");
    Ok(objects)
}

/// A copy of an object in another namespace.
pub(super) fn in_namespace(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    object
}

/// A RuleSource.
pub(super) fn source(namespace: &str, name: &str, rules: &str) -> Value {
    json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "RuleSource",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "rules": rules },
    })
}

/// A copy of a RuleSet under another name, with one more source.
pub(super) fn with_source(ruleset: &Value, name: &str, source: &str) -> Result<Value> {
    let mut copy = ruleset.clone();
    let metadata = copy.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.context("no metadata")?.insert("name".to_owned(), name.into());
    let sources = copy.pointer_mut("/spec/sources").and_then(Value::as_array_mut);
    sources.context("no sources")?.push(json!({ "name": source }));
    Ok(copy)
}

/// A Gateway of Istio's class.
pub(super) fn gateway(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "gatewayClassName": "istio", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] },
    })
}

/// An Engine that puts a RuleSet in front of a Gateway of its own name.
pub(super) fn engine(namespace: &str, name: &str, ruleset: &str) -> Value {
    json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "Engine",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "ruleSet": { "name": ruleset }, "target": { "type": "Gateway", "name": name, "provider": "Istio" } },
    })
}

/// A proxy's Pod of a Gateway.
pub(super) fn gateway_pod(namespace: &str, name: &str, gateway: &str) -> Value {
    let labels = json!({ "gateway.networking.k8s.io/gateway-name": gateway });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": labels },
        "spec": { "containers": [{ "name": "istio-proxy", "image": "local" }] },
    })
}

/// An API server behind `kubectl proxy`: plain HTTP on loopback, with the rights of the kubeconfig.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    pub(super) port: u16,
}

impl Api {
    /// Creates all of them, in no particular order.
    pub(super) async fn create(self, objects: Vec<Value>) -> Result<()> {
        let share = objects.len().div_ceil(WRITERS).max(1);
        let mut writers = JoinSet::new();
        let mut objects = objects.into_iter().peekable();
        while objects.peek().is_some() {
            let part: Vec<Value> = objects.by_ref().take(share).collect();
            writers.spawn(async move {
                for object in part {
                    self.write("POST", &collection(&object)?, "application/json", &object)
                        .await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(writer) = writers.join_next().await {
            writer??;
        }
        Ok(())
    }

    /// Changes a RuleSource's rules.
    pub(super) async fn edit(self, namespace: &str, source: &str, rules: &str) -> Result<()> {
        let path = format!("/apis/waf.k8s.coraza.io/v1alpha1/namespaces/{namespace}/rulesources/{source}");
        let patch = json!({ "spec": { "rules": rules } });
        self.write("PATCH", &path, "application/merge-patch+json", &patch).await
    }

    /// Changes a Pod's status.
    pub(super) async fn report(self, namespace: &str, pod: &str, status: &Value) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/status");
        let patch = json!({ "status": status });
        self.write("PATCH", &path, "application/merge-patch+json", &patch).await
    }

    /// Deletes a Pod at once.
    pub(super) async fn delete_pod(self, namespace: &str, pod: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}?gracePeriodSeconds=0");
        self.write("DELETE", &path, "application/json", &json!({})).await
    }

    async fn write(self, method: &str, path: &str, kind: &str, body: &Value) -> Result<()> {
        let headers = format!("Content-Type: {kind}\r\nAccept: application/json\r\n");
        let answer: Answer = send(self.port, method, path, &headers, &serde_json::to_vec(body)?).await?;
        let status = answer.status()?;
        ensure!(
            (200..300).contains(&status),
            "{method} {path}: {status} {}",
            String::from_utf8_lossy(&answer.body)
        );
        Ok(())
    }
}

/// Where objects of this kind are created.
fn collection(object: &Value) -> Result<String> {
    let field = |path| object.pointer(path).and_then(Value::as_str);
    let version = field("/apiVersion").context("an object without an apiVersion")?;
    let root = if version == "v1" { "/api" } else { "/apis" };
    let resource = match field("/kind").context("an object without a kind")? {
        "Namespace" => return Ok("/api/v1/namespaces".to_owned()),
        "RuleData" => "ruledata".to_owned(),
        // All others here have the plural that English has.
        kind => format!("{}s", kind.to_lowercase()),
    };
    let namespace = field("/metadata/namespace").context("an object without a namespace")?;
    Ok(format!("{root}/{version}/namespaces/{namespace}/{resource}"))
}
