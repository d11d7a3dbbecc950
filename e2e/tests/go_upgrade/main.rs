//! The Go operator's release becomes ours by `helm upgrade`, on all that it leaves: what its chart made, and what it made itself. *Faults*: the test
//! has processes of its own, with the flags of the chart and exactly the rights of the chart's ServiceAccounts.
//!
//! No Pod runs: there is no node. What a Service selects is seen in what its Deployment would run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coraza_api::{Engine, RuleData, RuleSet, RuleSource};
use coraza_e2e::certificates::{self, Authority};
use coraza_e2e::cluster::{self, kubectl};
use coraza_e2e::manifests::{chart, helm, objects, try_helm, values};
use coraza_e2e::object::{DESTINATION_RULE, GATEWAY, Kind, SERVICE_ENTRY, WASM_PLUGIN};
use coraza_e2e::{Cache, Controller, Namespace, cache, controller, environment, token, until, until_within, wasm};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::{Value, json};

/// What the Go operator's chart makes, as far as names, selectors, ports and rights matter.
const GO_RELEASE: &str = r#"
{{- $name := printf "%s-%s" .Release.Name .Chart.Name }}
{{- $labels := dict "app.kubernetes.io/name" .Chart.Name "app.kubernetes.io/instance" .Release.Name "control-plane" "coraza-controller-manager" | toJson }}
{{- $subject := dict "kind" "ServiceAccount" "name" $name "namespace" .Release.Namespace | toJson }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec:
  replicas: 1
  selector: {matchLabels: {{ $labels }}}
  template:
    metadata: {labels: {{ $labels }}}
    spec:
      serviceAccountName: {{ $name }}
      containers: [{name: manager, image: example.com/go}]
---
apiVersion: v1
kind: Service
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec:
  selector: {{ $labels }}
  ports:
    - {name: http-ruleset-cache-server, port: 80, targetPort: 18080}
    - {name: metrics, port: 8443, targetPort: 8443}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ $name }}, labels: {{ $labels }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: {{ $name }}, labels: {{ $labels }}}
rules: [{apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: {{ $name }}, labels: {{ $labels }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}}
subjects: [{{ $subject }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: {{ $name }}, labels: {{ $labels }}}
rules: [{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [create, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: {{ $name }}, labels: {{ $labels }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects: [{{ $subject }}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: {{ $name }}-default-deny, labels: {{ $labels }}}
spec: {podSelector: {matchLabels: {{ $labels }}}, policyTypes: [Ingress]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ $name }}, labels: {{ $labels }}}
spec: {minAvailable: 1, selector: {matchLabels: {{ $labels }}}}
"#;

/// What the API server is to grant tokens for that are used with it.
const API_AUDIENCE: &str = "https://kubernetes.default.svc";
/// The garbage collector looks for new kinds every 30 s.
const COLLECTION: Duration = Duration::from_secs(90);
const FINALIZER: &str = "waf.k8s.coraza.io/network-policy-cleanup";
const PLUGIN: &str = "coraza-engine-waf";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_the_go_operator_leaves_is_taken_over() {
    cluster::install_mesh().await;
    let namespace = Namespace::create().await;
    older_crds(&namespace.client).await;
    let release = Release::of_the_go_chart().await;
    let left = Left::by_the_go_operator(&release, namespace).await;
    let sights = Sights::of_the_plugin(&left.namespace);

    // 1. Helm. The CRDs are nobody's release's, since the Go chart has them in crds/.
    let upgrade = [
        "--values",
        &values()["go"].display().to_string(),
        "--set=logging.level=debug",
    ];
    let refused = release.try_upgrade(&upgrade);
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    release.upgrade(&[&upgrade[..], &["--take-ownership", "--force-conflicts"]].concat());
    release.replaced_what_the_go_chart_made(&left.service).await;

    // 2. Our processes, once Kubernetes has started them.
    let authority = Authority::new();
    let controller = release.controller(&authority).await;
    let module = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(module.path(), wasm::echo()).unwrap();
    let cache = release.cache(&authority, &controller, module.path().display()).await;
    controller.ready().await;
    cache.ready().await;

    // 3. The Lease, when the Go operator's last renewal is old enough: nothing works at the same time as it.
    let leases: Api<Lease> = release.api();
    until("the Lease to be ours", async || {
        let spec = leases.get("waf.k8s.coraza.io").await.unwrap().spec.unwrap();
        let holder = spec.holder_identity.unwrap();
        if holder.starts_with("controller-of-the-chart") {
            Ok(())
        } else {
            Err(holder)
        }
    })
    .await;

    // 4. Rules and Engine, with conditions of ours only.
    let namespace = &left.namespace;
    let revision = namespace.ready("crs").await;
    namespace
        .condition::<RuleSource>("rules", ("Ready", "True", "Validated"))
        .await;
    namespace
        .condition::<RuleData>("lists", ("Ready", "True", "Loaded"))
        .await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "Unknown", "NoGatewayPods"))
        .await;
    let ruleset = namespace.get_ruleset("crs").await;
    assert_eq!(types(&ruleset.status.unwrap().conditions), ["Ready"]);
    let engine: Engine = namespace.api().get("waf").await.unwrap();
    assert_eq!(
        engine.finalizers(),
        ["example.com/other"],
        "the Go operator's is gone, others' stay"
    );
    assert_eq!(
        types(&engine.status.unwrap().conditions),
        ["Accepted", "Enforced", "Ready"]
    );

    // 5. The WasmPlugin is the one that was, and says what ours has to say. The token of before is let in until Istio has brought the next one.
    let plugin = WASM_PLUGIN.get(&release.client, &namespace.name, PLUGIN).await.unwrap();
    assert_eq!(plugin["metadata"]["uid"], left.plugin["metadata"]["uid"]);
    let spec = &plugin["spec"];
    let host = format!("{}.{}.svc.cluster.local", release.full_name(), release.name);
    assert!(
        spec["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("http://{host}:18081/plugins/coraza-")),
        "{spec}"
    );
    assert_eq!(
        (&spec["phase"], &spec["failStrategy"]),
        (&json!("AUTHN"), &json!("FAIL_RELOAD"))
    );
    let config = &spec["pluginConfig"];
    assert_eq!(
        config["cache_server_cluster"],
        format!("outbound|80||{host}"),
        "as it was"
    );
    assert_eq!(
        config["cache_server_cluster"],
        left.plugin["spec"]["pluginConfig"]["cache_server_cluster"]
    );
    for token in [&left.token, config["cache_token"].as_str().unwrap()] {
        let latest = cache.latest(&namespace.name, "crs", token).await.unwrap();
        assert_eq!(latest.uuid, revision.uuid);
    }
    sights.never_without(left.plugin["metadata"]["uid"].as_str().unwrap());

    // 6. What was in the way is gone: an Engine that waited for the Go operator, its policies, what it told the mesh.
    gone::<Engine>(&namespace.api(), "leaving").await;
    until("the policies to be ours", async || {
        let policies = release.api::<NetworkPolicy>().list(&Default::default()).await.unwrap();
        let names: Vec<_> = policies.iter().map(kube::ResourceExt::name_any).collect();
        let wanted = [format!("coraza-cache-{}", left.engine_uid), "somebody-s".to_owned()];
        let others = names.iter().filter(|name| !name.starts_with(&release.full_name()));
        if others.clone().eq(&wanted) {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await;
    for kind in [SERVICE_ENTRY, DESTINATION_RULE] {
        told_by_ours_only(&release, kind).await;
    }

    // 7. The ServiceAccount of its Engine is nobody's now, and goes with the Engine.
    let accounts: Api<ServiceAccount> = namespace.api();
    accounts
        .get(&left.account)
        .await
        .expect("nobody needs the right to delete it");
    let engines: Api<Engine> = namespace.api();
    let without = json!({"metadata": {"finalizers": null}});
    engines
        .patch("waf", &PatchParams::default(), &Patch::Merge(without))
        .await
        .unwrap();
    namespace.delete::<Engine>("waf").await;
    gone::<ServiceAccount>(&accounts, &left.account).await;
}

fn types(conditions: &[Condition]) -> Vec<&str> {
    let mut types: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.sort_unstable();
    types
}

async fn gone<K: coraza_e2e::namespace::Namespaced>(api: &Api<K>, name: &str) {
    until_within(
        COLLECTION,
        &format!("{} {name} to be gone", K::kind(&())),
        async || match api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(_) => Err("it is there"),
        },
    )
    .await;
}

/// The Go operator's object belonged to its Deployment, and ours to the controller's.
async fn told_by_ours_only(release: &Release, kind: Kind) {
    let full_name = release.full_name();
    until_within(COLLECTION, "the mesh to be told by ours only", async || {
        let ours = kind
            .get(
                &release.client,
                &release.name,
                &format!("{full_name}-controller-ruleset-cache"),
            )
            .await;
        let theirs = kind
            .get(&release.client, &release.name, &format!("{full_name}-ruleset-cache"))
            .await;
        match (ours, theirs) {
            (Some(_), None) => Ok(()),
            (ours, theirs) => Err(format!("ours: {}, theirs: {}", ours.is_some(), theirs.is_some())),
        }
    })
    .await;
}

/// A release in a namespace of its own. Dropping it takes both away.
struct Release {
    name: String,
    client: Client,
}

impl Release {
    async fn of_the_go_chart() -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let release = Self {
            name: format!("go-{}", unique.get(..8).unwrap()),
            client: coraza_e2e::client().await,
        };
        let chart = tempfile::tempdir().unwrap();
        std::fs::create_dir(chart.path().join("templates")).unwrap();
        std::fs::write(chart.path().join("templates/all.yaml"), GO_RELEASE).unwrap();
        let about = "{apiVersion: v2, name: coraza-kubernetes-operator, version: 0.5.0}";
        std::fs::write(chart.path().join("Chart.yaml"), about).unwrap();
        let chart = chart.path().display().to_string();
        let _ = helm(&[
            "install",
            &release.name,
            &chart,
            "--namespace",
            &release.name,
            "--create-namespace",
        ]);
        release
    }

    /// What its objects' names begin with.
    fn full_name(&self) -> String {
        format!("{}-coraza-kubernetes-operator", self.name)
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    fn upgrade_args<'a>(&'a self, chart: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["upgrade", &self.name, chart, "--namespace", &self.name], more].concat()
    }

    fn upgrade(&self, more: &[&str]) {
        let _ = helm(&self.upgrade_args(&chart().display().to_string(), more));
    }

    /// What Helm says when it refuses.
    fn try_upgrade(&self, more: &[&str]) -> String {
        let output = try_helm(&self.upgrade_args(&chart().display().to_string(), more));
        assert!(!output.status.success(), "it was taken");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Selectors can't be changed, so Deployments have new names; what WasmPlugins point at keeps its own and reaches our caches.
    async fn replaced_what_the_go_chart_made(&self, before: &Service) {
        let full_name = self.full_name();
        let service = self.api::<Service>().get(&full_name).await.unwrap();
        assert_eq!(service.metadata.uid, before.metadata.uid);
        let (service, before) = (service.spec.unwrap(), before.spec.clone().unwrap());
        assert_eq!(service.cluster_ip, before.cluster_ip);
        let ports = service.ports.unwrap();
        let rules = ports.iter().find(|port| port.port == 80).expect("port 80");
        assert_eq!(rules.name.as_deref(), Some("http-ruleset-cache-server"));

        let deployments = self.api::<Deployment>();
        let caches = deployments
            .get(&format!("{full_name}-cache"))
            .await
            .unwrap()
            .spec
            .unwrap();
        let pod = caches.template;
        let labels = pod.metadata.unwrap().labels.unwrap();
        let selector = service.selector.unwrap();
        assert!(
            selector.iter().all(|(name, value)| labels.get(name) == Some(value)),
            "{selector:?} selects {labels:?}"
        );
        let container = pod.spec.unwrap().containers.remove(0);
        let port = container
            .ports
            .unwrap()
            .into_iter()
            .find(|port| port.name.as_deref() == Some("rules"));
        assert_eq!(port.unwrap().container_port, 18080);

        assert!(deployments.get_opt(&full_name).await.unwrap().is_none());
        assert!(
            self.api::<ServiceAccount>()
                .get_opt(&full_name)
                .await
                .unwrap()
                .is_none()
        );
        let default_deny = format!("{full_name}-default-deny");
        assert!(
            self.api::<NetworkPolicy>()
                .get_opt(&default_deny)
                .await
                .unwrap()
                .is_none()
        );
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        assert!(
            roles.get_opt(&full_name).await.unwrap().is_none(),
            "nobody keeps the right to any token"
        );
    }

    async fn controller(&self, authority: &Authority) -> Controller {
        let own = [
            "--grpc-bind-address",
            "--health-probe-bind-address",
            "--metrics-bind-address",
            "--tls-dir",
        ];
        Controller::start(controller::Settings {
            name: "controller-of-the-chart".to_owned(),
            namespace: self.name.clone(),
            identity: Some(authority.issue(certificates::CONTROLLER)),
            kubeconfig: self.kubeconfig("controller").await,
            flags: self.flags("controller", &own).await,
        })
    }

    async fn cache(&self, authority: &Authority, controller: &Controller, module: impl std::fmt::Display) -> Cache {
        let own = [
            "--controller-address",
            "--cache-server-port",
            "--health-probe-bind-address",
            "--metrics-bind-address",
            "--tls-dir",
            "--plugin-file",
            "--plugin-port",
        ];
        let mut flags = self.flags("cache", &own).await;
        flags.push(format!("--plugin-file={module}"));
        Cache::start(cache::Settings {
            name: "cache-of-the-chart".to_owned(),
            namespace: self.name.clone(),
            identity: Some(authority.issue(certificates::CACHE)),
            http_tls: false,
            controllers: vec![controller.grpc],
            kubeconfig: self.kubeconfig("cache").await,
            flags,
        })
    }

    /// The flags of a component's container, but for those that say where it listens and what it reads.
    async fn flags(&self, component: &str, own: &[&str]) -> Vec<String> {
        let name = format!("{}-{component}", self.full_name());
        let deployment = self.api::<Deployment>().get(&name).await.unwrap();
        let container = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
        let flags = container.args.unwrap().into_iter();
        flags
            .filter(|flag| !own.contains(&flag.split('=').next().unwrap()))
            .collect()
    }

    /// A kubeconfig of a component's ServiceAccount.
    async fn kubeconfig(&self, component: &str) -> PathBuf {
        let account = format!("{}-{component}", self.full_name());
        let token = token::request(&self.client, &self.name, &account, API_AUDIENCE).await;
        let cluster = &environment().cluster;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": cluster.server, "certificate-authority": cluster.ca}}],
            "users": [{"name": account, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": account}}],
            "current-context": "test",
        });
        let path = environment().logs.join(format!("{account}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = try_helm(&["uninstall", &self.name, "--namespace", &self.name, "--ignore-not-found"]);
        kubectl(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}

/// Puts CRDs of the Go operator's shape in the place of ours: without what was added since, and without a status for sources and data.
async fn older_crds(client: &Client) {
    let folder = environment::checkout("deploy/crds");
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let crds: Vec<Value> = files
        .iter()
        .flat_map(|file| objects(&std::fs::read_to_string(file).unwrap()))
        .collect();
    assert_eq!(crds.len(), 4);
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in &crds {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let _ = api.delete(name, &DeleteParams::default()).await;
        until(&format!("{name} to be gone"), async || {
            match api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(_) => Err("it is there"),
            }
        })
        .await;
        let older = serde_json::from_value(older(crd.clone())).unwrap();
        api.create(&PostParams::default(), &older).await.unwrap();
    }
    kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]);
}

fn older(mut crd: Value) -> Value {
    let without_status = ["rulesources.waf.k8s.coraza.io", "ruledata.waf.k8s.coraza.io"];
    let without_status = without_status.contains(&crd["metadata"]["name"].as_str().unwrap());
    let names = crd["spec"]["names"].as_object_mut().unwrap();
    names.remove("shortNames");
    names.remove("categories");
    let version = crd["spec"]["versions"][0].as_object_mut().unwrap();
    if without_status {
        version.remove("subresources");
        version.remove("additionalPrinterColumns");
    } else {
        let columns = version["additionalPrinterColumns"].as_array_mut().unwrap();
        columns.retain(|column| !["Revision", "Enforced"].contains(&column["name"].as_str().unwrap()));
    }
    let schema = version["schema"]["openAPIV3Schema"]["properties"]
        .as_object_mut()
        .unwrap();
    if without_status {
        schema.remove("status");
    } else {
        let status = schema["status"]["properties"].as_object_mut().unwrap();
        status.retain(|name, _| name == "conditions");
    }
    schema["spec"]["properties"]
        .as_object_mut()
        .unwrap()
        .remove("observability");
    crd
}

/// What the Go operator had made, and left when it ended.
struct Left {
    namespace: Namespace,
    service: Service,
    engine_uid: String,
    account: String,
    token: String,
    plugin: Value,
}

impl Left {
    async fn by_the_go_operator(release: &Release, namespace: Namespace) -> Self {
        let service = release.api::<Service>().get(&release.full_name()).await.unwrap();
        lease(release).await;
        rules(&namespace).await;
        let listener = json!({"name": "http", "port": 8080, "protocol": "HTTP"});
        let gateway = json!({"gatewayClassName": "istio", "listeners": [listener]});
        GATEWAY.apply(&release.client, &namespace.name, "public", gateway).await;

        let engine = engine(&namespace, "waf", "public", &[FINALIZER, "example.com/other"]).await;
        let leaving = self::engine(&namespace, "leaving", "closed", &[FINALIZER]).await;
        namespace.delete::<Engine>("leaving").await;
        for (engine, number) in [
            (engine.name_any(), 1),
            (leaving.name_any(), 2),
            ("vanished".to_owned(), 3),
        ] {
            policy(release, &namespace, &engine, number).await;
        }
        let somebody_s: NetworkPolicy = serde_json::from_value(json!({
            "metadata": {"name": "somebody-s"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }))
        .unwrap();
        release.api().create(&PostParams::default(), &somebody_s).await.unwrap();
        let deployment = release.api::<Deployment>().get(&release.full_name()).await.unwrap();
        told_the_mesh(release, &deployment).await;

        let account = account(&namespace, &engine).await;
        let token = token::request(
            &release.client,
            &namespace.name,
            &account,
            &token::audience(&namespace.name, "crs"),
        )
        .await;
        let plugin = plugin(release, &namespace, &engine, &token).await;
        Self {
            service,
            engine_uid: engine.uid().unwrap(),
            account,
            token,
            plugin,
            namespace,
        }
    }
}

/// Renewed just now, and not released.
async fn lease(release: &Release) {
    let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "waf.k8s.coraza.io"},
        "spec": {
            "holderIdentity": format!("{}-6f7d8-abcde_0b6c7a4e-0000-4000-8000-000000000000", release.full_name()),
            "leaseDurationSeconds": 15,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 3,
        },
    }))
    .unwrap();
    release.api().create(&PostParams::default(), &lease).await.unwrap();
}

/// A RuleSet that it was about to compile when it ended.
async fn rules(namespace: &Namespace) {
    namespace
        .source(
            "rules",
            "SecRuleEngine On\nSecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny\"",
        )
        .await;
    namespace.data("lists", &[("words.data", "evil\n")]).await;
    namespace.ruleset("crs", &["rules"], &["lists"]).await;
    let said = [
        condition("Ready", "False", "Reconciling", "Starting reconciliation"),
        condition("Progressing", "True", "Reconciling", "Starting reconciliation"),
        condition("Degraded", "True", "InvalidRuleSet", "Ruleset is invalid"),
    ];
    says::<RuleSet>(namespace, "crs", &said).await;
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-01T10:00:00Z",
    })
}

async fn says<K: coraza_e2e::namespace::Namespaced>(namespace: &Namespace, name: &str, conditions: &[Value]) {
    let status = json!({"status": {"conditions": conditions}});
    let written = namespace
        .api::<K>()
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await;
    written.unwrap();
}

async fn engine(namespace: &Namespace, name: &str, gateway: &str, finalizers: &[&str]) -> Engine {
    let spec =
        json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": gateway}, "failurePolicy": "fail"});
    namespace.apply::<Engine>(name, spec).await;
    let finalizers = json!({"metadata": {"finalizers": finalizers}});
    let engines: Api<Engine> = namespace.api();
    let engine = engines
        .patch(name, &PatchParams::default(), &Patch::Merge(finalizers))
        .await
        .unwrap();
    let said = [
        condition(
            "Accepted",
            "True",
            "Accepted",
            "Target is available and not conflicting",
        ),
        condition("Ready", "False", "RuleSetDegraded", "RuleSet crs is degraded"),
        condition("Degraded", "True", "RuleSetDegraded", "RuleSet crs is degraded"),
        condition("Progressing", "True", "Reconciling", "Starting reconciliation"),
    ];
    says::<Engine>(namespace, name, &said).await;
    engine
}

/// Its name is the API server's: this one is as good as any.
async fn policy(release: &Release, namespace: &Namespace, engine: &str, number: u8) {
    let policy: NetworkPolicy = serde_json::from_value(json!({
        "metadata": {
            "name": format!("coraza-cache-x7k2{number}"),
            "generateName": "coraza-cache-",
            "labels": {
                "app.kubernetes.io/managed-by": "coraza-kubernetes-operator",
                "waf.k8s.coraza.io/engine-name": engine,
                "waf.k8s.coraza.io/engine-namespace": namespace.name,
            },
        },
        "spec": {
            "podSelector": {"matchLabels": {"control-plane": "coraza-controller-manager"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                    "podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": "public"}},
                }],
                "ports": [{"protocol": "TCP", "port": 18080}],
            }],
        },
    }))
    .unwrap();
    release.api().create(&PostParams::default(), &policy).await.unwrap();
}

async fn told_the_mesh(release: &Release, deployment: &Deployment) {
    let full_name = release.full_name();
    let host = format!("{full_name}.{}.svc.cluster.local", release.name);
    let port = json!({"number": 80, "name": "http-ruleset-cache-server", "protocol": "HTTP"});
    let entry = json!({
        "hosts": [host],
        "ports": [port],
        "location": "MESH_INTERNAL",
        "resolution": "DNS",
        "endpoints": [{"address": host}],
    });
    let rule = json!({"host": host, "trafficPolicy": {"tls": {"mode": "DISABLE"}}});
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": full_name, "uid": deployment.uid()});
    for (kind, spec) in [(SERVICE_ENTRY, entry), (DESTINATION_RULE, rule)] {
        let name = format!("{full_name}-ruleset-cache");
        kind.apply(&release.client, &release.name, &name, spec).await;
        owned(&kind.within(&release.client, &release.name), &name, &owner).await;
    }
}

/// Gives an object an owner and what the Go operator's writes have besides.
async fn owned(api: &Api<DynamicObject>, name: &str, owner: &Value) {
    let metadata = json!({"metadata": {"ownerReferences": [owner]}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(metadata))
        .await
        .unwrap();
}

fn owner(engine: &Engine) -> Value {
    json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "Engine",
        "name": engine.name_any(),
        "uid": engine.uid(),
        "controller": true,
    })
}

async fn account(namespace: &Namespace, engine: &Engine) -> String {
    let account: ServiceAccount = serde_json::from_value(json!({
        "metadata": {
            "generateName": "coraza-engine-",
            "labels": {
                "app.kubernetes.io/managed-by": "coraza-kubernetes-operator",
                "app.kubernetes.io/component": "cache-client",
                "app.kubernetes.io/instance": engine.name_any(),
            },
            "ownerReferences": [owner(engine)],
        },
    }))
    .unwrap();
    namespace
        .api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await
        .unwrap()
        .name_any()
}

/// Applied by the field manager that the two operators have in common.
async fn plugin(release: &Release, namespace: &Namespace, engine: &Engine, token: &str) -> Value {
    let full_name = release.full_name();
    let mut owner = owner(engine);
    owner["blockOwnerDeletion"] = true.into();
    let object = json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": PLUGIN, "ownerReferences": [owner]},
        "spec": {
            "selector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": "public"}},
            "url": "oci://ghcr.io/networking-incubator/coraza-proxy-wasm:9ca29e4f4cf3a8c1710a7ed7a8ec399b56cb7296",
            "pluginConfig": {
                "cache_server_instance": format!("{}/crs", namespace.name),
                "cache_server_cluster": format!("outbound|80||{full_name}.{}.svc.cluster.local", release.name),
                "failure_policy": "fail",
                "cache_token": token,
            },
        },
    });
    let parameters = PatchParams::apply("coraza-kubernetes-operator").force();
    let plugins = WASM_PLUGIN.within(&release.client, &namespace.name);
    let applied = plugins.patch(PLUGIN, &parameters, &Patch::Apply(object)).await.unwrap();
    serde_json::to_value(applied).unwrap()
}

/// All that a watch tells of the WasmPlugin.
struct Sights {
    seen: Arc<Mutex<Vec<(String, bool)>>>,
    watch: tokio::task::JoinHandle<()>,
}

impl Sights {
    fn of_the_plugin(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let api = WASM_PLUGIN.within(&namespace.client, &namespace.name);
        let said = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            let only = WatchParams::default()
                .fields(&format!("metadata.name={PLUGIN}"))
                .timeout(290);
            let events = api.watch(&only, "0").await.unwrap();
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let (object, there) = match event.unwrap() {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                    WatchEvent::Deleted(object) => (object, false),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => panic!("{status:?}"),
                };
                said.lock().unwrap().push((object.uid().unwrap(), there));
            }
        });
        Self { seen, watch }
    }

    /// The gateway had a firewall all the time, and it was changed in place.
    fn never_without(self, uid: &str) {
        assert!(!self.watch.is_finished(), "the watch saw all of it");
        self.watch.abort();
        let seen = self.seen.lock().unwrap().clone();
        assert!(seen.len() > 1, "the change was seen: {seen:?}");
        assert!(seen.iter().all(|sight| *sight == (uid.to_owned(), true)), "{seen:?}");
    }
}
