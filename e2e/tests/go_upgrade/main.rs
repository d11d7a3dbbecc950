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

mod crds;
mod left;
mod sights;

use std::time::Duration;

use coraza_api::{Engine, RuleData, RuleSource};
use coraza_e2e::certificates::{self, Authority};
use coraza_e2e::manifests::values;
use coraza_e2e::namespace::Namespaced;
use coraza_e2e::object::{DESTINATION_RULE, Kind, SERVICE_ENTRY, WASM_PLUGIN};
use coraza_e2e::{Namespace, Release, cluster, until, until_within, wasm};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use self::left::Left;
use self::sights::Sights;

/// The garbage collector looks for new kinds every 30 s.
const COLLECTION: Duration = Duration::from_secs(90);
/// Of the Engine `waf`, from both operators.
const PLUGIN: &str = "coraza-engine-waf";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_the_go_operator_leaves_is_taken_over() {
    cluster::install_mesh().await;
    let namespace = Namespace::create().await;
    crds::older(&namespace.client).await;
    let release = Release::new().await;
    release.install_the_go_operator();
    let left = Left::by_the_go_operator(&release, namespace).await;
    let sights = Sights::of_the_plugin(&left.namespace);

    // 1. Helm. The CRDs are nobody's release's, since the Go chart has them in crds/.
    let upgrade = [
        "--values",
        &values()["go"].display().to_string(),
        "--set=logging.level=debug",
    ];
    let refused = release.helm_refuses("upgrade", &upgrade);
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    let notes = release.helm(
        "upgrade",
        &[&upgrade[..], &["--take-ownership", "--force-conflicts"]].concat(),
    );
    assert!(
        notes.contains("have no effect: cache.gcInterval, logging.development"),
        "{notes}"
    );
    what_the_go_chart_made_is_replaced(&release, &left.service).await;

    // 2. Our processes, once Kubernetes has started them.
    let authority = Authority::new();
    let controller = release
        .controller(Some(authority.issue(certificates::CONTROLLER)))
        .await;
    let module = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(module.path(), wasm::echo()).unwrap();
    let cache = release.cache(&authority, &controller, module.path()).await;
    controller.ready().await;
    cache.ready().await;

    // 3. The Lease, when the Go operator's last renewal is old enough: nothing works at the same time as it.
    let leases: Api<Lease> = release.api();
    until("the Lease to be ours", async || {
        let spec = leases.get("waf.k8s.coraza.io").await.unwrap().spec.unwrap();
        let holder = spec.holder_identity.unwrap();
        if holder.starts_with(&format!("{}-controller", release.name)) {
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
    let host = format!("{}.{}.svc.cluster.local", release.full_name(), release.namespace);
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
        let names: Vec<_> = policies.iter().map(ResourceExt::name_any).collect();
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

async fn gone<K: Namespaced>(api: &Api<K>, name: &str) {
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
                &release.namespace,
                &format!("{full_name}-controller-ruleset-cache"),
            )
            .await;
        let theirs = kind
            .get(
                &release.client,
                &release.namespace,
                &format!("{full_name}-ruleset-cache"),
            )
            .await;
        match (ours, theirs) {
            (Some(_), None) => Ok(()),
            (ours, theirs) => Err(format!("ours: {}, theirs: {}", ours.is_some(), theirs.is_some())),
        }
    })
    .await;
}

/// Selectors can't be changed, so Deployments have new names; what WasmPlugins point at keeps its own and reaches our caches.
async fn what_the_go_chart_made_is_replaced(release: &Release, before: &Service) {
    let full_name = release.full_name();
    let service = release.api::<Service>().get(&full_name).await.unwrap();
    assert_eq!(service.metadata.uid, before.metadata.uid);
    let (service, before) = (service.spec.unwrap(), before.spec.clone().unwrap());
    assert_eq!(service.cluster_ip, before.cluster_ip);
    let ports = service.ports.unwrap();
    let rules = ports.iter().find(|port| port.port == 80).expect("port 80");
    assert_eq!(rules.name.as_deref(), Some("http-ruleset-cache-server"));

    assert_eq!(
        (release.replicas("controller").await, release.replicas("cache").await),
        (2, 3)
    );
    let pod = release.deployment("cache").await.spec.unwrap().template;
    let labels = pod.metadata.unwrap().labels.unwrap();
    let selector = service.selector.unwrap();
    assert_eq!(selector.get("control-plane"), None);
    assert_eq!(selector["app.kubernetes.io/component"], "cache");
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

    gone_already::<Deployment>(release, &full_name).await;
    gone_already::<ServiceAccount>(release, &full_name).await;
    gone_already::<NetworkPolicy>(release, &format!("{full_name}-default-deny")).await;
    let roles: Api<ClusterRole> = Api::all(release.client.clone());
    assert!(
        roles.get_opt(&full_name).await.unwrap().is_none(),
        "nobody keeps the right to any token"
    );
}

async fn gone_already<K: Namespaced>(release: &Release, name: &str) {
    let found = release.api::<K>().get_opt(name).await.unwrap();
    assert!(found.is_none(), "{} {name} is there", K::kind(&()));
}
