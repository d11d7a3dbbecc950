//! Engines and RuleSets: what their conditions say, and what they name that isn't there.

use coraza_api::Engine;
use coraza_api::condition::condition_type::{DEGRADED, ENFORCED, READY};
use coraza_api::condition::reason;
use coraza_api::status::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use crate::doctor::checks::{known, plural};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Checked, Finding};

/// That each RuleSet is served.
pub(super) fn rule_sets(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let rule_sets = known(&facts.rule_sets, "RuleSets can't be read", &mut findings);
    let rule_sets: &[_] = rule_sets.map(Vec::as_slice).unwrap_or_default();
    for rule_set in rule_sets {
        let (namespace, name) = (rule_set.namespace().unwrap_or_default(), rule_set.name_any());
        let conditions = rule_set
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        let what = format!("RuleSet {namespace}/{name}");
        let fix = format!("kubectl coraza status {name} -n {namespace}; kubectl coraza lint -f its sources");
        findings.extend(said(conditions, &what, rule_set.metadata.generation, &fix));
    }
    Checked {
        check: "RuleSets",
        looked_at: plural(rule_sets.len(), "RuleSet"),
        findings,
    }
}

/// What conditions say that a person must act on, or that nobody looks at the object.
fn said(conditions: &[Condition], what: &str, generation: Option<i64>, fix: &str) -> Option<Finding> {
    if let Some(degraded) = condition(conditions, DEGRADED).filter(|degraded| degraded.status == "True") {
        return Some(Finding::problem(
            format!("{what} is degraded: {}", degraded.reason),
            &degraded.message,
            fix,
        ));
    }
    match condition(conditions, READY) {
        None => Some(Finding::problem(
            format!("nobody looks at {what}"),
            "its status has no condition Ready",
            "see that a controller leads, and reads its logs",
        )),
        Some(ready) if ready.status != "True" => Some(Finding::problem(
            format!("{what} is not Ready: {}", ready.reason),
            &ready.message,
            fix,
        )),
        Some(ready) if ready.observed_generation.is_some() && ready.observed_generation < generation => {
            Some(Finding::warning(
                format!("the last change of {what} was not looked at yet"),
                format!(
                    "generation {} is said to be Ready",
                    ready.observed_generation.unwrap_or_default()
                ),
                "wait a moment; if it stays so, see that a controller leads",
            ))
        }
        Some(_) => None,
    }
}

/// That each Engine has its target, and its gateway enforces the rules.
pub(super) fn engines(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let engines = known(&facts.engines, "Engines can't be read", &mut findings);
    let engines: &[_] = engines.map(Vec::as_slice).unwrap_or_default();
    if let Err(why) = &facts.gateways
        && !engines.is_empty()
    {
        findings.push(Finding::unchecked("Gateways can't be read", why));
    }
    for engine in engines {
        findings.extend(target(engine, facts));
        let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
        let conditions = engine
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        let what = format!("Engine {namespace}/{name}");
        let missing_target = condition(conditions, READY).is_some_and(|ready| ready.reason == reason::TARGET_NOT_FOUND);
        // That is said better above.
        if !missing_target || facts.gateways.is_err() {
            let fix = format!("kubectl -n {namespace} describe engine {name}");
            findings.extend(said(conditions, &what, engine.metadata.generation, &fix));
        }
        findings.extend(enforced(conditions, &what, &namespace, &engine.spec.target.name));
        if let Some(Ok(false)) =
            pull_secret(engine).and_then(|secret| facts.pull_secrets.get(&(namespace.clone(), secret)))
        {
            let secret = pull_secret(engine).unwrap_or_default();
            findings.push(Finding::problem(
                format!("{what} names a Secret that does not exist: gateways can't pull the plugin"),
                format!("there is no Secret {namespace}/{secret}"),
                format!("kubectl -n {namespace} create secret docker-registry {secret} --docker-server=… --docker-username=… --docker-password=…"),
            ));
        }
    }
    Checked {
        check: "Engines",
        looked_at: plural(engines.len(), "Engine"),
        findings,
    }
}

/// The Secret that an Engine names to pull its plugin with.
pub(crate) fn pull_secret(engine: &Engine) -> Option<String> {
    engine.spec.driver.as_ref()?.wasm.as_ref()?.image_pull_secret.clone()
}

fn target(engine: &Engine, facts: &Facts) -> Option<Finding> {
    let gateways = facts.gateways.as_ref().ok()?;
    let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
    let gateway = &engine.spec.target.name;
    let what = format!("Engine {namespace}/{name}");
    let Some(class) = gateways.get(&(namespace.clone(), gateway.clone())) else {
        let others: Vec<&str> = gateways
            .keys()
            .filter(|(found, _)| *found == namespace)
            .map(|(_, name)| name.as_str())
            .collect();
        let evidence = if others.is_empty() {
            format!("namespace {namespace} has no Gateway")
        } else {
            format!("the Gateways of namespace {namespace} are {}", others.join(", "))
        };
        return Some(Finding::problem(
            format!("the Gateway of {what} does not exist: nothing is protected by it"),
            evidence,
            format!("create Gateway {gateway}, or kubectl -n {namespace} edit engine {name}"),
        ));
    };
    let controller = facts.classes.as_ref().ok()?.get(class)?;
    let istio = ["istio.io/", "openshift.io/"]
        .iter()
        .any(|prefix| controller.starts_with(prefix));
    (!istio).then(|| {
        Finding::problem(
            format!("the Gateway of {what} is not Istio's: it runs no firewall"),
            format!("GatewayClass {class} of Gateway {gateway} is implemented by {controller}"),
            "give the Gateway a class of Istio's: kubectl get gatewayclass",
        )
    })
}

fn enforced(conditions: &[Condition], what: &str, namespace: &str, gateway: &str) -> Option<Finding> {
    let enforced = condition(conditions, ENFORCED)?;
    let pods = format!("kubectl -n {namespace} get pods -l gateway.networking.k8s.io/gateway-name={gateway}");
    match (enforced.status.as_str(), enforced.reason.as_str()) {
        // Ready says it.
        ("True", _) | (_, reason::NOT_ATTACHED | reason::NO_REVISION) => None,
        ("False", reason) => Some(Finding::problem(
            format!("{what} is not enforced by all of its gateway's pods: {reason}"),
            &enforced.message,
            format!(
                "{pods}; kubectl -n {namespace} logs -l gateway.networking.k8s.io/gateway-name={gateway} -c istio-proxy | grep -i wasm"
            ),
        )),
        (_, reason) => Some(Finding::warning(
            format!("nobody knows whether {what} is enforced: {reason}"),
            &enforced.message,
            pods,
        )),
    }
}
