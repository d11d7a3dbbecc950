//! A Pod that a test looks around from: it asks for what others would, from where they would.

use serde_json::{Value, json};

use crate::nodes::POD_IMAGE;
use crate::{Namespace, cluster};

/// A running Pod of a namespace. It goes with that.
pub struct ClientPod<'a> {
    namespace: &'a Namespace,
    name: &'static str,
}

impl<'a> ClientPod<'a> {
    /// Makes it and waits until it runs.
    ///
    /// # Panics
    /// If the API server refuses it.
    pub async fn start(namespace: &'a Namespace, name: &'static str, labels: Value) -> Self {
        use k8s_openapi::api::core::v1::Pod;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{ "name": "pod", "image": POD_IMAGE, "imagePullPolicy": "Never" }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a Pod");
        crate::until("the ServiceAccount that a Pod needs", async || {
            let created = namespace
                .api::<Pod>()
                .create(&kube::api::PostParams::default(), &pod)
                .await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let wait = ["wait", "--for=condition=Ready", "--timeout=60s", "pod", name];
        let of = format!("--namespace={}", namespace.name);
        tokio::task::block_in_place(|| cluster::kubectl(&[&wait[..], &[&of]].concat()));
        Self { namespace, name }
    }

    /// The status and the body of what a URL's host and path give it, or why there is none.
    ///
    /// # Errors
    /// What went wrong.
    pub fn get(&self, host: &str, path: &str, header: Option<&str>) -> Result<(u16, String), String> {
        let namespace = format!("--namespace={}", self.namespace.name);
        let mut args = vec!["exec", &namespace, self.name, "--", "/pod", "get", host, path];
        args.extend(header);
        let said = tokio::task::block_in_place(|| cluster::try_kubectl(&args))?;
        let (status, body) = said.split_once('\n').ok_or("no answer")?;
        let status = status.parse().map_err(|_| format!("no status: {status}"))?;
        Ok((status, body.to_owned()))
    }
}
