//! The operator's own processes: their Deployments and Pods, their versions, who leads, and what is left of the Go operator.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::caches::Leader;
use crate::doctor::checks::{USUAL_NAMESPACE, about_the_operator, known, plural};
use crate::doctor::deployment;
use crate::doctor::facts::{Facts, Operator};
use crate::doctor::finding::{Checked, Finding};

/// How many Lease durations may pass until nobody is believed to lead: a renewal may be under way.
const LEASES: i32 = 2;
/// Containers that start so often don't run.
const MANY_RESTARTS: i32 = 5;

/// That the two Deployments are there and have the Pods that they want.
pub(super) fn deployments(facts: &Facts) -> Checked {
    if let Ok(None) = facts.operator {
        let finding = Finding::problem(
            "the operator is not installed",
            format!(
                "no Lease waf.k8s.coraza.io and no Deployment of coraza-controller was found in any namespace, nor in {USUAL_NAMESPACE}"
            ),
            "helm install coraza charts/coraza-kubernetes-operator -n coraza-system --create-namespace; if it runs elsewhere, name its namespace with --operator-namespace",
        );
        return Checked {
            check: "Deployments",
            looked_at: "none".to_owned(),
            findings: vec![finding],
        };
    }
    about_the_operator("Deployments", facts, |operator| {
        let mut findings = Vec::new();
        let mut seen = Vec::new();
        for (component, deployment) in [("controller", &operator.controller), ("cache", &operator.cache)] {
            let what = format!("the Deployment of the {component} can't be read");
            match known(deployment, &what, &mut findings) {
                None => {}
                Some(None) => findings.push(Finding::problem(
                    format!("there is no Deployment of the {component}"),
                    format!(
                        "none in namespace {} has the label app.kubernetes.io/component={component}",
                        operator.namespace
                    ),
                    "helm upgrade, or kubectl apply -k deploy",
                )),
                Some(Some(deployment)) => {
                    let (finding, summary) = judge(component, deployment, operator);
                    findings.extend(finding);
                    seen.push(summary);
                }
            }
        }
        if let Some(pods) = known(&operator.pods, "the operator's Pods can't be read", &mut findings) {
            findings.extend(pods.iter().filter_map(|pod| ailing(pod, &operator.namespace)));
        }
        (format!("{} in {}", seen.join(", "), operator.namespace), findings)
    })
}

fn judge(component: &str, deployment: &Deployment, operator: &Operator) -> (Option<Finding>, String) {
    let (namespace, name) = (&operator.namespace, deployment.name_any());
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or_default();
    let summary = format!("{component} {ready}/{wanted}");
    let fix =
        format!("kubectl -n {namespace} describe deployment {name}; kubectl -n {namespace} logs deployment/{name}");
    let finding = if wanted == 0 {
        let scale = format!("kubectl -n {namespace} scale deployment {name} --replicas=2");
        Some(Finding::problem(
            format!("the {component} is scaled to none"),
            format!("Deployment {name} wants 0 replicas"),
            scale,
        ))
    } else if ready == 0 {
        Some(Finding::problem(
            format!("no {component} is ready"),
            format!("Deployment {name} has 0 of {wanted} replicas ready"),
            fix,
        ))
    } else if ready < wanted {
        let what = format!("some {component}s are not ready");
        Some(Finding::warning(
            what,
            format!("Deployment {name} has {ready} of {wanted} replicas ready"),
            fix,
        ))
    } else {
        None
    };
    (finding, summary)
}

/// Why a Pod's container doesn't run.
fn ailing(pod: &Pod, namespace: &str) -> Option<Finding> {
    let name = pod.name_any();
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting
            .and_then(|waiting| waiting.reason.as_deref())
            .filter(|reason| *reason != "ContainerCreating");
        let fix = format!("kubectl -n {namespace} describe pod {name}; kubectl -n {namespace} logs {name} --previous");
        if let Some(reason) = reason {
            let message = waiting
                .and_then(|waiting| waiting.message.as_deref())
                .unwrap_or_default();
            return Some(Finding::problem(
                format!("Pod {name} does not run: {reason}"),
                message,
                fix,
            ));
        }
        let last = container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        (container.restart_count >= MANY_RESTARTS).then(|| {
            let why = last
                .and_then(|last| last.reason.as_deref())
                .unwrap_or("an unknown reason");
            Finding::warning(
                format!("Pod {name} restarts again and again"),
                format!("{} restarts, the last for {why}", container.restart_count),
                fix,
            )
        })
    })
}

/// That controller, cache and this tool are of one version.
pub(super) fn versions(facts: &Facts) -> Checked {
    about_the_operator("Versions", facts, |operator| {
        let tag = |deployment: &Deployment| Some((deployment.name_any(), deployment::version(deployment)?));
        let deployments = [&operator.controller, &operator.cache];
        let found: Vec<_> = deployments
            .into_iter()
            .filter_map(|deployment| tag(deployment.as_ref().ok()?.as_ref()?))
            .collect();
        let mut findings = Vec::new();
        let versions: BTreeSet<&str> = found.iter().map(|(_, version)| version.as_str()).collect();
        let seen = found
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect::<Vec<_>>()
            .join(", ");
        if versions.len() > 1 {
            findings.push(Finding::warning(
                "controller and cache are of different versions, which is meant for a roll-out only",
                seen.clone(),
                "helm upgrade with one image.tag for both",
            ));
        }
        if !versions.is_empty() && !versions.contains(facts.version.as_str()) {
            findings.push(Finding::warning(
                "this tool is of another version than the operator: it may not know what that one does",
                format!("kubectl-coraza is {}; {seen}", facts.version),
                "use the kubectl-coraza of the operator's release",
            ));
        }
        (format!("kubectl-coraza {}", facts.version), findings)
    })
}

/// That somebody leads.
pub(super) fn leader(facts: &Facts) -> Checked {
    about_the_operator("Leader", facts, |operator| {
        let mut findings = Vec::new();
        let lease = known(&operator.lease, "the Lease can't be read", &mut findings);
        let looked_at = match lease {
            None => "unknown".to_owned(),
            Some(None) => {
                findings.push(no_leader(
                    operator,
                    format!("there is no Lease waf.k8s.coraza.io in {}", operator.namespace),
                ));
                "none".to_owned()
            }
            Some(Some(lease)) => {
                findings.extend(stale(lease, operator, facts.now));
                Leader::of(lease).map_or_else(|| "none".to_owned(), |leader| leader.pod)
            }
        };
        (looked_at, findings)
    })
}

fn no_leader(operator: &Operator, evidence: String) -> Finding {
    let what = "no controller leads: statuses stand still, caches get no change";
    let fix = format!(
        "kubectl -n {} logs -l app.kubernetes.io/component=controller --prefix",
        operator.namespace
    );
    Finding::problem(what, evidence, fix)
}

fn stale(lease: &Lease, operator: &Operator, now: Timestamp) -> Option<Finding> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
    let Some(holder) = holder else {
        return Some(no_leader(operator, "the Lease has no holder".to_owned()));
    };
    let renewed = spec.renew_time.as_ref()?.0;
    let patience = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(15).saturating_mul(LEASES).into());
    let since = now.duration_since(renewed);
    (since > patience).then(|| {
        no_leader(
            operator,
            format!("{holder} renewed the Lease {} s ago", since.as_secs()),
        )
    })
}

/// What the Go operator left that nobody takes away by himself.
pub(super) fn go_operator(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    if let Some(deployments) = known(
        &facts.go_deployments,
        "the Go operator can't be looked for",
        &mut findings,
    ) {
        for deployment in deployments {
            let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
            findings.push(Finding::problem(
                "the Go operator runs beside this one: each undoes what the other does",
                format!("Deployment {namespace}/{name} has the label control-plane=coraza-controller-manager"),
                format!("kubectl -n {namespace} delete deployment {name}, or helm uninstall its release"),
            ));
        }
    }
    let accounts = known(
        &facts.go_accounts,
        "ServiceAccounts of the Go operator can't be looked for",
        &mut findings,
    );
    let accounts: &[_] = accounts.map(Vec::as_slice).unwrap_or_default();
    if !accounts.is_empty() {
        let namespaces: BTreeSet<String> = accounts.iter().filter_map(kube::ResourceExt::namespace).collect();
        let selector =
            "app.kubernetes.io/managed-by=coraza-kubernetes-operator,app.kubernetes.io/component=cache-client";
        let commands: Vec<_> = namespaces
            .iter()
            .map(|namespace| format!("kubectl -n {namespace} delete serviceaccount -l {selector}"))
            .collect();
        findings.push(Finding::warning(
            "ServiceAccounts of the Go operator are left, which nobody uses; each goes with its Engine",
            format!(
                "{} in {}",
                plural(accounts.len(), "ServiceAccount"),
                namespaces.into_iter().collect::<Vec<_>>().join(", ")
            ),
            commands.join("; "),
        ));
    }
    Checked {
        check: "Go operator",
        looked_at: "what it leaves".to_owned(),
        findings,
    }
}
