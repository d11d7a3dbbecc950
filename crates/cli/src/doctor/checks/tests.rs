//! A cluster in which all is well, and one change of it for each finding.

use std::collections::BTreeMap;

use coraza_api::{Engine, RuleSet, schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use x509_parser::time::ASN1Time;

use super::*;
use crate::caches::{Document, Leader, Replica};
use crate::doctor::certificate::Files;
use crate::doctor::facts::{CertificateSecret, ControlPlane, Plugin, Use};
use crate::doctor::finding::{Severity, Unknown};

const NOW: &str = "2026-06-01T12:00:00Z";

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn crd(name: &str, version: &str) -> CustomResourceDefinition {
    let (plural, group) = name.split_once('.').unwrap();
    object(json!({
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": plural},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": true, "storage": true}],
        },
    }))
}

fn crds() -> Vec<CustomResourceDefinition> {
    let ours = schema::crds().into_iter().map(|mut crd| {
        let condition = json!({"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": {"plural": "", "kind": ""}});
        crd.metadata.name = Some(format!("{}.{}", crd.spec.names.plural, crd.spec.group));
        crd.status = Some(object(condition));
        crd
    });
    let others = [
        ("gateways.gateway.networking.k8s.io", "v1"),
        ("gatewayclasses.gateway.networking.k8s.io", "v1"),
        ("wasmplugins.extensions.istio.io", "v1alpha1"),
        ("serviceentries.networking.istio.io", "v1"),
        ("destinationrules.networking.istio.io", "v1"),
        ("telemetries.telemetry.istio.io", "v1"),
    ];
    ours.chain(others.map(|(name, version)| crd(name, version))).collect()
}

/// The files of a certificate for a name, good for some seconds from now on.
fn files(name: &str, seconds: i64) -> Files {
    let at = |seconds: i64| {
        ASN1Time::from_timestamp(after(seconds).as_second())
            .unwrap()
            .to_datetime()
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = at(seconds.min(0) - 86_400);
    params.not_after = at(seconds);
    let certificate = params.signed_by(&key, &authority).unwrap();
    [
        ("tls.crt", certificate.pem()),
        ("tls.key", key.serialize_pem()),
        ("ca.crt", authority.pem()),
    ]
    .into_iter()
    .map(|(file, text)| (file.to_owned(), text.into_bytes()))
    .collect()
}

fn deployment(component: &str) -> Value {
    let labels = json!({"app.kubernetes.io/component": component, "app.kubernetes.io/version": "1.0.0"});
    json!({
        "metadata": {"name": format!("coraza-{component}"), "namespace": "coraza-system", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": component, "image": "coraza:1.0.0"}]}},
        },
        "status": {"readyReplicas": 2},
    })
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": format!("why it is {reason}"), "lastTransitionTime": NOW, "observedGeneration": 1})
}

fn engine(conditions: &[Value]) -> Engine {
    object(json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "Engine",
        "metadata": {"name": "waf", "namespace": "shop", "uid": "e-1", "generation": 1},
        "spec": {"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "public"}},
        "status": {"conditions": conditions},
    }))
}

fn rule_set(conditions: &[Value]) -> RuleSet {
    object(json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "RuleSet",
        "metadata": {"name": "crs", "namespace": "shop", "generation": 1},
        "spec": {"sources": [{"name": "base"}]},
        "status": {"conditions": conditions},
    }))
}

fn good_engine() -> Vec<Value> {
    vec![
        condition("Accepted", "True", "Accepted"),
        condition("Ready", "True", "Configured"),
        condition("Enforced", "True", "RevisionEnforced"),
    ]
}

fn lease(renewed: Timestamp) -> Value {
    json!({
        "metadata": {"name": "waf.k8s.coraza.io", "namespace": "coraza-system"},
        "spec": {"holderIdentity": "coraza-controller-0_0b6c", "leaseDurationSeconds": 15, "renewTime": format!("{renewed:.6}")},
    })
}

fn replica(name: &str) -> Replica {
    Replica {
        replica: name.to_owned(),
        complete: true,
        held: BTreeMap::new(),
        refused: BTreeMap::new(),
        awaited: Vec::new(),
        grants: 1,
    }
}

/// A cluster in which all is well.
pub(crate) fn healthy() -> Facts {
    let leader = Leader {
        namespace: "coraza-system".to_owned(),
        pod: "coraza-controller-0".to_owned(),
    };
    let document = Document {
        leading: true,
        caches: vec![replica("cache-0"), replica("cache-1")],
    };
    let secret = |component: &'static str, name: &str| CertificateSecret {
        component,
        for_use: Use::Peers,
        name: format!("{component}-tls"),
        files: Ok(Some(files(name, 90 * 86_400))),
    };
    let endpoint = json!({"addresses": ["10.1.0.1"], "conditions": {"ready": true}});
    let operator = Operator {
        namespace: "coraza-system".to_owned(),
        controller: Ok(Some(object(deployment("controller")))),
        cache: Ok(Some(object(deployment("cache")))),
        pods: Ok(Vec::new()),
        lease: Ok(Some(object(lease(after(-1))))),
        service: Ok(Some(object(
            json!({"metadata": {"name": "coraza-cache", "namespace": "coraza-system"}}),
        ))),
        endpoints: Ok(vec![object(
            json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint]}),
        )]),
        answer: Ok(401),
        caches: Ok((leader, document)),
        certificates: vec![
            secret("controller", "coraza-controller"),
            secret("cache", "coraza-cache"),
        ],
        lacking_rights: Ok(Vec::new()),
    };
    let plane = ControlPlane {
        namespace: "istio-system".to_owned(),
        name: "istiod".to_owned(),
        revision: "default".to_owned(),
        version: "1.31.0".to_owned(),
        ready: 1,
        mesh: Some(json!({"defaultConfig": {}})),
        ..ControlPlane::default()
    };
    let plugin = Plugin {
        owners: ["e-1".to_owned()].into(),
        token_issued: Some(after(-3600).as_second()),
        token_expires: Some(after(82_800).as_second()),
        ..Plugin::default()
    };
    Facts {
        now: now(),
        version: "1.0.0".to_owned(),
        kubernetes: Ok("v1.37.2".to_owned()),
        crds: Ok(crds()),
        operator: Ok(Some(operator)),
        istio: Ok(vec![plane]),
        namespaces: Ok(["coraza-system", "shop"]
            .map(|name| (name.to_owned(), [("team".to_owned(), name.to_owned())].into()))
            .into()),
        engines: Ok(vec![engine(&good_engine())]),
        rule_sets: Ok(vec![rule_set(&[condition("Ready", "True", "RulesCached")])]),
        gateways: Ok([(("shop".to_owned(), "public".to_owned()), "istio".to_owned())].into()),
        classes: Ok([("istio".to_owned(), "istio.io/gateway-controller".to_owned())].into()),
        plugins: Ok([(("shop".to_owned(), "coraza-engine-waf".to_owned()), plugin)].into()),
        pull_secrets: BTreeMap::new(),
        go_accounts: Ok(Vec::new()),
        go_deployments: Ok(Vec::new()),
    }
}

fn operator(facts: &mut Facts) -> &mut Operator {
    facts.operator.as_mut().unwrap().as_mut().unwrap()
}

fn page(facts: &mut Facts) -> &mut Document {
    &mut operator(facts).caches.as_mut().unwrap().1
}

fn plane(facts: &mut Facts) -> &mut ControlPlane {
    &mut facts.istio.as_mut().unwrap()[0]
}

fn plugin(facts: &mut Facts) -> &mut Plugin {
    facts.plugins.as_mut().unwrap().values_mut().next().unwrap()
}

fn forbidden<T>() -> Known<T> {
    Err(Unknown {
        why: "forbidden: you may not".to_owned(),
        forbidden: true,
    })
}

fn findings(facts: &Facts) -> Vec<(&'static str, Severity, String)> {
    let checks = all(facts);
    let each = checks.iter().flat_map(|checked| {
        let finding = |finding: &Finding| {
            assert!(
                !finding.what.is_empty() && !finding.evidence.is_empty() && !finding.fix.is_empty(),
                "{finding:?}"
            );
            (
                checked.check,
                finding.severity,
                format!("{} | {} | {}", finding.what, finding.evidence, finding.fix),
            )
        };
        checked.findings.iter().map(finding)
    });
    each.collect()
}

#[test]
fn where_all_is_well_nothing_is_found() {
    assert_eq!(findings(&healthy()), []);
}

/// The check, how bad it is, and what is said of it.
type Row = (&'static str, Severity, &'static str, fn(&mut Facts));

const PROBLEM: Severity = Severity::Problem;
const WARNING: Severity = Severity::Warning;
const UNCHECKED: Severity = Severity::Unchecked;

#[test]
fn each_fault_is_found_and_nothing_else_is() {
    let table: &[Row] = &[
        (
            "Kubernetes",
            PROBLEM,
            "older than 1.33 | the API server is v1.32.9-gke.1",
            |facts| facts.kubernetes = Ok("v1.32.9-gke.1".to_owned()),
        ),
        ("Kubernetes", WARNING, "can't be read", |facts| {
            facts.kubernetes = Ok("unknown".to_owned());
        }),
        (
            "CRDs",
            PROBLEM,
            "the kind RuleData is not installed | there is no CRD ruledata.waf.k8s.coraza.io",
            |facts| {
                facts
                    .crds
                    .as_mut()
                    .unwrap()
                    .retain(|crd| crd.spec.names.kind != "RuleData");
            },
        ),
        (
            "CRDs",
            PROBLEM,
            "the kind Engine is not served | NamesAccepted=False: taken",
            |facts| {
                let bad = json!({"conditions": [{"type": "NamesAccepted", "status": "False", "message": "taken"}], "acceptedNames": {"plural": "", "kind": ""}});
                facts
                    .crds
                    .as_mut()
                    .unwrap()
                    .iter_mut()
                    .find(|crd| crd.spec.names.kind == "Engine")
                    .unwrap()
                    .status = Some(object(bad));
            },
        ),
        (
            "CRDs",
            PROBLEM,
            "not served as v1alpha1 | CRD rulesets.waf.k8s.coraza.io has v1",
            |facts| {
                let crds = facts.crds.as_mut().unwrap();
                crds.iter_mut()
                    .find(|crd| crd.spec.names.kind == "RuleSet")
                    .unwrap()
                    .spec
                    .versions[0]
                    .name = "v1".to_owned();
            },
        ),
        (
            "CRDs",
            PROBLEM,
            "the schema of RuleSource is older than this tool: the API server drops what it does not know | CRD rulesources.waf.k8s.coraza.io lacks the subresource status, status",
            |facts| {
                let crds = facts.crds.as_mut().unwrap();
                let version = &mut crds
                    .iter_mut()
                    .find(|crd| crd.spec.names.kind == "RuleSource")
                    .unwrap()
                    .spec
                    .versions[0];
                version.subresources = None;
                version
                    .schema
                    .as_mut()
                    .unwrap()
                    .open_api_v3_schema
                    .as_mut()
                    .unwrap()
                    .properties
                    .as_mut()
                    .unwrap()
                    .remove("status");
            },
        ),
        (
            "CRDs of others",
            PROBLEM,
            "wasmplugins.extensions.istio.io is not installed: no gateway gets a firewall",
            |facts| {
                facts
                    .crds
                    .as_mut()
                    .unwrap()
                    .retain(|crd| crd.spec.names.plural != "wasmplugins");
            },
        ),
        (
            "CRDs of others",
            PROBLEM,
            "gateways.gateway.networking.k8s.io is not served as v1: no Engine finds its target | it has v1beta1",
            |facts| {
                let crds = facts.crds.as_mut().unwrap();
                crds.iter_mut()
                    .find(|crd| crd.spec.names.plural == "gateways")
                    .unwrap()
                    .spec
                    .versions[0]
                    .name = "v1beta1".to_owned();
            },
        ),
        ("Istio", PROBLEM, "there is no Istio", |facts| {
            facts.istio = Ok(Vec::new());
        }),
        ("Istio", PROBLEM, "istiod of revision default is not ready", |facts| {
            plane(facts).ready = 0;
        }),
        (
            "Istio",
            PROBLEM,
            "older than 1.22 | Deployment istio-system/istiod is 1.20.3",
            |facts| plane(facts).version = "1.20.3".to_owned(),
        ),
        (
            "Istio's view of the caches",
            PROBLEM,
            "has PILOT_FILTER_GATEWAY_CLUSTER_CONFIG=true | kubectl -n istio-system set env deployment/istiod PILOT_FILTER_GATEWAY_CLUSTER_CONFIG-",
            |facts| {
                plane(facts).environment =
                    [("PILOT_FILTER_GATEWAY_CLUSTER_CONFIG".to_owned(), "true".to_owned())].into();
            },
        ),
        (
            "Istio's view of the caches",
            PROBLEM,
            "Istio does not look at coraza-system: gateways there, or the caches, are not known to it",
            |facts| {
                plane(facts).mesh = Some(json!({"discoverySelectors": [{"matchLabels": {"team": "shop"}}]}));
            },
        ),
        (
            "Istio's view of the caches",
            PROBLEM,
            "Istio does not look at coraza-system, shop",
            |facts| {
                plane(facts).mesh = Some(
                    json!({"discoverySelectors": [{"matchExpressions": [{"key": "team", "operator": "In", "values": ["bank"]}]}]}),
                );
            },
        ),
        (
            "Istio's view of the caches",
            PROBLEM,
            "defaultServiceExportTo: [.]",
            |facts| plane(facts).mesh = Some(json!({"defaultServiceExportTo": ["."]})),
        ),
        (
            "Istio's view of the caches",
            WARNING,
            "Service coraza-system/coraza-cache has the annotation networking.istio.io/exportTo=.",
            |facts| {
                let annotated =
                    json!({"metadata": {"name": "coraza-cache", "annotations": {"networking.istio.io/exportTo": "."}}});
                operator(facts).service = Ok(Some(object(annotated)));
            },
        ),
        (
            "Istio's view of the caches",
            UNCHECKED,
            "the mesh's configuration of revision default can't be read | forbidden",
            |facts| {
                plane(facts).mesh = None;
                plane(facts).mesh_unknown = Some("forbidden".to_owned());
            },
        ),
        ("Deployments", PROBLEM, "the operator is not installed", |facts| {
            facts.operator = Ok(None);
        }),
        ("Deployments", PROBLEM, "there is no Deployment of the cache", |facts| {
            operator(facts).cache = Ok(None);
        }),
        (
            "Deployments",
            PROBLEM,
            "no controller is ready | Deployment coraza-controller has 0 of 2",
            |facts| {
                let mut none = deployment("controller");
                none["status"] = json!({});
                operator(facts).controller = Ok(Some(object(none)));
            },
        ),
        ("Deployments", PROBLEM, "the controller is scaled to none", |facts| {
            let mut none = deployment("controller");
            none["spec"]["replicas"] = 0.into();
            operator(facts).controller = Ok(Some(object(none)));
        }),
        (
            "Deployments",
            WARNING,
            "some caches are not ready | Deployment coraza-cache has 2 of 3",
            |facts| {
                let mut more = deployment("cache");
                more["spec"]["replicas"] = 3.into();
                operator(facts).cache = Ok(Some(object(more)));
            },
        ),
        (
            "Deployments",
            PROBLEM,
            "Pod cache-9 does not run: ImagePullBackOff | no such image",
            |facts| {
                let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
                operator(facts).pods = Ok(vec![pod(&json!({"state": waiting}))]);
            },
        ),
        (
            "Deployments",
            WARNING,
            "Pod cache-9 restarts again and again | 7 restarts, the last for OOMKilled",
            |facts| {
                let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
                operator(facts).pods = Ok(vec![pod(&json!({"restartCount": 7, "lastState": last}))]);
            },
        ),
        (
            "Versions",
            WARNING,
            "controller and cache are of different versions",
            |facts| {
                let mut other = deployment("cache");
                other["metadata"]["labels"]["app.kubernetes.io/version"] = "0.9.0".into();
                operator(facts).cache = Ok(Some(object(other)));
            },
        ),
        (
            "Versions",
            WARNING,
            "kubectl-coraza is 2.0.0; coraza-controller 1.0.0, coraza-cache 1.0.0",
            |facts| facts.version = "2.0.0".to_owned(),
        ),
        (
            "Leader",
            PROBLEM,
            "no controller leads: statuses stand still, caches get no change | there is no Lease",
            |facts| operator(facts).lease = Ok(None),
        ),
        ("Leader", PROBLEM, "the Lease has no holder", |facts| {
            let mut released = lease(now());
            released["spec"]["holderIdentity"] = "".into();
            operator(facts).lease = Ok(Some(object(released)));
        }),
        (
            "Leader",
            PROBLEM,
            "coraza-controller-0_0b6c renewed the Lease 60 s ago",
            |facts| operator(facts).lease = Ok(Some(object(lease(after(-60))))),
        ),
        (
            "Go operator",
            PROBLEM,
            "the Go operator runs beside this one",
            |facts| {
                facts.go_deployments = Ok(vec![object(
                    json!({"metadata": {"name": "coraza", "namespace": "coraza-system"}}),
                )]);
            },
        ),
        (
            "Go operator",
            WARNING,
            "1 ServiceAccount in shop | kubectl -n shop delete serviceaccount -l",
            |facts| {
                facts.go_accounts = Ok(vec![object(
                    json!({"metadata": {"name": "coraza-engine-x7k2p", "namespace": "shop"}}),
                )]);
            },
        ),
        (
            "Rights of the operator",
            PROBLEM,
            "ServiceAccount coraza-system/coraza-controller lacks rights | it may not watch pods in all namespaces",
            |facts| {
                operator(facts).lacking_rights = Ok(vec![(
                    "coraza-controller".to_owned(),
                    "watch pods in all namespaces".to_owned(),
                )]);
            },
        ),
        (
            "Certificates",
            PROBLEM,
            "the Secret with the certificate of the cache does not exist",
            |facts| operator(facts).certificates[1].files = Ok(None),
        ),
        (
            "Certificates",
            PROBLEM,
            "has no certificate that the cache can use | tls.crt has nothing in it",
            |facts| operator(facts).certificates[1].files = Ok(Some(Files::new())),
        ),
        (
            "Certificates",
            PROBLEM,
            "has expired: connections that are made anew fail | Secret coraza-system/controller-tls was good until 2026-06-01T11:59:50Z",
            |facts| {
                operator(facts).certificates[0].files = Ok(Some(files("coraza-controller", -10)));
            },
        ),
        ("Certificates", PROBLEM, "is not one that its peers accept", |facts| {
            operator(facts).certificates[0].files = Ok(Some(files("example.com", 90 * 86_400)));
        }),
        (
            "Certificates",
            PROBLEM,
            "tls.crt is not good for coraza-cache by ca.crt",
            |facts| {
                let other = files("coraza-cache", 90 * 86_400)["ca.crt"].clone();
                let files = operator(facts).certificates[1]
                    .files
                    .as_mut()
                    .unwrap()
                    .as_mut()
                    .unwrap();
                files.insert("ca.crt".to_owned(), other);
            },
        ),
        ("Certificates", PROBLEM, "tls.key is not the key of tls.crt", |facts| {
            let other = files("coraza-cache", 90 * 86_400)["tls.key"].clone();
            let files = operator(facts).certificates[1]
                .files
                .as_mut()
                .unwrap()
                .as_mut()
                .unwrap();
            files.insert("tls.key".to_owned(), other);
        }),
        ("Certificates", PROBLEM, "tls.crt has nothing in it", |facts| {
            let files = operator(facts).certificates[1]
                .files
                .as_mut()
                .unwrap()
                .as_mut()
                .unwrap();
            files.insert("tls.crt".to_owned(), b"no PEM".to_vec());
        }),
        ("Certificates", WARNING, "expires soon", |facts| {
            operator(facts).certificates[0].files = Ok(Some(files("coraza-controller", 3600)));
        }),
        (
            "Certificates",
            UNCHECKED,
            "Secret coraza-system/cache-tls can't be read",
            |facts| operator(facts).certificates[1].files = forbidden(),
        ),
        ("Caches' Service", PROBLEM, "the caches have no Service", |facts| {
            operator(facts).service = Ok(None);
        }),
        (
            "Caches' Service",
            PROBLEM,
            "Service coraza-system/coraza-cache has no endpoint that is ready",
            |facts| operator(facts).endpoints = Ok(Vec::new()),
        ),
        ("Caches' Service", PROBLEM, "answered with 503, not 401", |facts| {
            operator(facts).answer = Ok(503);
        }),
        ("Caches and controller", PROBLEM, "no cache is subscribed", |facts| {
            page(facts).caches.clear();
        }),
        (
            "Caches and controller",
            PROBLEM,
            "2 caches are ready, 1 subscribed",
            |facts| drop(page(facts).caches.pop()),
        ),
        (
            "Caches and controller",
            WARNING,
            "no complete snapshot yet | cache-0",
            |facts| page(facts).caches[0].complete = false,
        ),
        ("Caches and controller", WARNING, "does not lead any more", |facts| {
            page(facts).leading = false;
        }),
        (
            "Caches and controller",
            PROBLEM,
            "cache cache-0 refused the revision of RuleSet shop/crs, and serves the one before | too large",
            |facts| {
                page(facts).caches[0].refused = [("shop/crs".to_owned(), "too large".to_owned())].into();
            },
        ),
        (
            "RuleSets",
            PROBLEM,
            "RuleSet shop/crs is degraded: InvalidRuleSet | why it is InvalidRuleSet",
            |facts| {
                facts.rule_sets = Ok(vec![rule_set(&[
                    condition("Ready", "False", "InvalidRuleSet"),
                    condition("Degraded", "True", "InvalidRuleSet"),
                ])]);
            },
        ),
        ("RuleSets", PROBLEM, "nobody looks at RuleSet shop/crs", |facts| {
            facts.rule_sets = Ok(vec![rule_set(&[])]);
        }),
        (
            "RuleSets",
            WARNING,
            "the last change of RuleSet shop/crs was not looked at yet",
            |facts| {
                facts.rule_sets.as_mut().unwrap()[0].metadata.generation = Some(2);
            },
        ),
        (
            "Engines",
            PROBLEM,
            "the Gateway of Engine shop/waf does not exist: nothing is protected by it | the Gateways of namespace shop are inner",
            |facts| {
                facts.gateways = Ok([(("shop".to_owned(), "inner".to_owned()), "istio".to_owned())].into());
                facts.engines = Ok(vec![engine(&[
                    condition("Accepted", "False", "TargetNotFound"),
                    condition("Ready", "False", "TargetNotFound"),
                ])]);
            },
        ),
        (
            "Engines",
            PROBLEM,
            "is not Istio's: it runs no firewall | GatewayClass istio of Gateway public is implemented by example.com/gateway",
            |facts| {
                facts.classes = Ok([("istio".to_owned(), "example.com/gateway".to_owned())].into());
            },
        ),
        (
            "Engines",
            PROBLEM,
            "Engine shop/waf is degraded: TokenFailed",
            |facts| {
                facts.engines = Ok(vec![engine(&[
                    condition("Ready", "False", "TokenFailed"),
                    condition("Degraded", "True", "TokenFailed"),
                ])]);
            },
        ),
        (
            "Engines",
            PROBLEM,
            "not enforced by all of its gateway's pods: PodsSilent",
            |facts| {
                facts.engines = Ok(vec![engine(&[
                    condition("Ready", "True", "Configured"),
                    condition("Enforced", "False", "PodsSilent"),
                ])]);
            },
        ),
        (
            "Engines",
            WARNING,
            "nobody knows whether Engine shop/waf is enforced: NoGatewayPods",
            |facts| {
                facts.engines = Ok(vec![engine(&[
                    condition("Ready", "True", "Configured"),
                    condition("Enforced", "Unknown", "NoGatewayPods"),
                ])]);
            },
        ),
        (
            "Engines",
            PROBLEM,
            "names a Secret that does not exist: gateways can't pull the plugin | there is no Secret shop/pull",
            |facts| {
                let mut engine = engine(&good_engine());
                engine.spec.driver = Some(object(json!({"type": "wasm", "wasm": {"imagePullSecret": "pull"}})));
                facts.engines = Ok(vec![engine]);
                facts.pull_secrets = [(("shop".to_owned(), "pull".to_owned()), Ok(false))].into();
            },
        ),
        ("Engines", UNCHECKED, "Engines can't be read", |facts| {
            facts.engines = forbidden();
        }),
        (
            "WasmPlugins",
            PROBLEM,
            "Engine shop/waf has no WasmPlugin: its gateway runs no firewall",
            |facts| facts.plugins = Ok(BTreeMap::new()),
        ),
        (
            "WasmPlugins",
            PROBLEM,
            "the WasmPlugin of Engine shop/waf is somebody else's",
            |facts| plugin(facts).owners.clear(),
        ),
        ("WasmPlugins", PROBLEM, "carries no token", |facts| {
            plugin(facts).token_expires = None;
        }),
        (
            "WasmPlugins",
            PROBLEM,
            "the token of Engine shop/waf has expired: gateway pods that start get no rules | it expired 60 s ago",
            |facts| {
                plugin(facts).token_expires = Some(after(-60).as_second());
            },
        ),
        (
            "WasmPlugins",
            WARNING,
            "should have been renewed | it expires in 100 s",
            |facts| plugin(facts).token_expires = Some(after(100).as_second()),
        ),
        (
            "WasmPlugins",
            UNCHECKED,
            "WasmPlugins can't be read | forbidden",
            |facts| facts.plugins = forbidden(),
        ),
    ];
    for (check, severity, said, fault) in table {
        let mut facts = healthy();
        fault(&mut facts);
        let found = findings(&facts);
        assert!(found.len() == 1, "{said}: {found:#?}");
        assert_eq!((found[0].0, found[0].1), (*check, *severity), "{}", found[0].2);
        assert!(found[0].2.contains(said), "{said}\n{}", found[0].2);
    }
}

fn pod(container: &Value) -> k8s_openapi::api::core::v1::Pod {
    let mut status = json!({"name": "cache", "image": "", "imageID": "", "ready": false, "restartCount": 0});
    status
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    object(json!({"metadata": {"name": "cache-9"}, "status": {"containerStatuses": [status]}}))
}

#[test]
fn who_may_see_nothing_is_told_so_and_no_more() {
    let facts = Facts {
        kubernetes: forbidden(),
        crds: forbidden(),
        operator: forbidden(),
        istio: forbidden(),
        namespaces: forbidden(),
        engines: forbidden(),
        rule_sets: forbidden(),
        gateways: forbidden(),
        classes: forbidden(),
        plugins: forbidden(),
        go_accounts: forbidden(),
        go_deployments: forbidden(),
        ..healthy()
    };
    let found = findings(&facts);
    assert!(
        found
            .iter()
            .all(|(_, severity, said)| *severity == UNCHECKED && said.contains("--as")),
        "{found:#?}"
    );
}

#[test]
fn settings_of_istio_that_hide_nothing_are_left_alone() {
    const FLAG: &str = "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG";
    let settings: [fn(&mut ControlPlane); 4] = [
        |plane| plane.environment = [(FLAG.to_owned(), "false".to_owned())].into(),
        |plane| {
            plane.environment = [(FLAG.to_owned(), "true".to_owned())].into();
            let service = "coraza-cache.coraza-system.svc.cluster.local";
            plane.mesh = Some(
                json!({"extensionProviders": [{"name": "caches", "envoyExtAuthzHttp": {"service": service, "port": 80}}]}),
            );
        },
        |plane| {
            let exists = json!({"key": "team", "operator": "Exists"});
            plane.mesh =
                Some(json!({"discoverySelectors": [{"matchLabels": {"team": "x"}}, {"matchExpressions": [exists]}]}));
        },
        |plane| plane.mesh = Some(json!({"defaultServiceExportTo": ["*"], "discoverySelectors": []})),
    ];
    for setting in settings {
        let mut facts = healthy();
        setting(plane(&mut facts));
        assert_eq!(findings(&facts), []);
    }
}
