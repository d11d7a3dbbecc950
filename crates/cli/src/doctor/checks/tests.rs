//! A cluster in which all is well, and one change of it for each finding.

use std::collections::BTreeMap;

use coraza_api::{Engine, RuleSet, schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use x509_parser::time::ASN1Time;

mod caches;
mod certificates;
mod crds;
mod engines;
mod istio;
mod kubernetes;
mod operator;
mod plugins;
mod rights;

use super::*;
use crate::caches::{Document, Leader, Replica};
use crate::doctor::certificate::Files;
use crate::doctor::facts::{AuthoritySecret, CertificateSecret, ControlPlane, PLUGIN_PORT, Plugin, RULES_PORT, Use};
use crate::doctor::finding::{Severity, Unknown};

const NOW: &str = "2026-06-01T12:00:00Z";
const DAY: i64 = 86_400;
const MODULE: &str = "5f2a";

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

/// A CA, and the Secrets by it.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    /// Good for some seconds from now on.
    fn good_for(seconds: i64) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        live(&mut params, seconds);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// The files of a certificate for a name, good for some seconds from now on.
    fn files(&self, name: &str, seconds: i64) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        live(&mut params, seconds);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        secret(&certificate.pem(), &key, &self.issuer.pem())
    }

    /// Its own.
    fn own_files(&self) -> Files {
        secret(&self.issuer.pem(), self.issuer.key(), &self.issuer.pem())
    }
}

fn live(params: &mut CertificateParams, seconds: i64) {
    let at = |seconds: i64| {
        ASN1Time::from_timestamp(after(seconds).as_second())
            .unwrap()
            .to_datetime()
    };
    params.not_before = at(seconds.min(0) - DAY);
    params.not_after = at(seconds);
}

fn secret(certificate: &str, key: &KeyPair, authority: &str) -> Files {
    let files = [
        ("tls.crt", certificate),
        ("tls.key", &key.serialize_pem()),
        ("ca.crt", authority),
    ];
    files
        .into_iter()
        .map(|(file, text)| (file.to_owned(), text.as_bytes().to_vec()))
        .collect()
}

/// The files of a certificate for a name, good for some seconds from now on, by a CA that signed no other.
fn files(name: &str, seconds: i64) -> Files {
    Ca::good_for(90 * DAY).files(name, seconds)
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

fn service() -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "port": port});
    json!({
        "metadata": {"name": "coraza-cache", "namespace": "coraza-system"},
        "spec": {"ports": [port(RULES_PORT, 80), port(PLUGIN_PORT, 18_081)]},
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
    let ca = Ca::good_for(1000 * DAY);
    let secret = |component: &'static str, name: &str| CertificateSecret {
        component,
        for_use: Use::Peers,
        name: format!("{component}-tls"),
        files: Ok(Some(ca.files(name, 90 * DAY))),
    };
    let authority = AuthoritySecret {
        name: "self-signed-ca".to_owned(),
        files: Ok(Some(ca.own_files())),
    };
    let endpoint = json!({"addresses": ["10.1.0.1"], "conditions": {"ready": true}});
    let operator = Operator {
        namespace: "coraza-system".to_owned(),
        controller: Ok(Some(object(deployment("controller")))),
        cache: Ok(Some(object(deployment("cache")))),
        pods: Ok(Vec::new()),
        lease: Ok(Some(object(lease(after(-1))))),
        service: Ok(Some(object(service()))),
        endpoints: Ok(vec![object(
            json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint]}),
        )]),
        answer: Ok(401),
        caches: Ok((leader, document)),
        certificates: vec![
            secret("controller", "coraza-controller"),
            secret("cache", "coraza-cache"),
        ],
        authority: Some(authority),
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
        url: format!("http://coraza-cache.coraza-system.svc.cluster.local:18081/plugins/coraza-{MODULE}.wasm"),
        sha256: MODULE.to_owned(),
        cluster: "outbound|80||coraza-cache.coraza-system.svc.cluster.local".to_owned(),
        token_issued: Some(after(-3600).as_second()),
        token_expires: Some(after(82_800).as_second()),
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

/// That each fault is found, and nothing else is.
fn each_is_found(table: &[Row]) {
    for (check, severity, said, fault) in table {
        let mut facts = healthy();
        fault(&mut facts);
        let found = findings(&facts);
        assert!(found.len() == 1, "{said}: {found:#?}");
        assert_eq!((found[0].0, found[0].1), (*check, *severity), "{}", found[0].2);
        assert!(found[0].2.contains(said), "{said}\n{}", found[0].2);
    }
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
