//! The caches: that their Service reaches them, and that they follow the controller.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;

use crate::doctor::checks::{about_the_operator, known, plural};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Checked, Finding};

/// What a cache answers who shows no token: it lives, and guards its rules.
const UNAUTHORIZED: u16 = 401;

/// That the Service is there, has endpoints that are ready, and a cache answers through it.
pub(super) fn reachable(facts: &Facts) -> Checked {
    about_the_operator("Caches' Service", facts, |operator| {
        let namespace = &operator.namespace;
        let mut findings = Vec::new();
        let Some(service) = known(&operator.service, "the caches' Service can't be read", &mut findings) else {
            return ("unknown".to_owned(), findings);
        };
        let Some(service) = service else {
            findings.push(Finding::problem(
                "the caches have no Service: gateways get no rules",
                format!("no Service in {namespace} has a port http-ruleset-cache-server"),
                "helm upgrade, or kubectl apply -k deploy",
            ));
            return ("none".to_owned(), findings);
        };
        let name = service.name_any();
        let mut ready = None;
        if let Some(slices) = known(
            &operator.endpoints,
            "the endpoints of the caches' Service can't be read",
            &mut findings,
        ) {
            let count: usize = slices.iter().map(endpoints_ready).sum();
            ready = Some(count);
            if count == 0 {
                findings.push(Finding::problem(
                    "no cache is ready: new gateways get no rules, and those that run keep theirs",
                    format!("Service {namespace}/{name} has no endpoint that is ready"),
                    format!("kubectl -n {namespace} get pods -l app.kubernetes.io/component=cache; kubectl -n {namespace} logs -l app.kubernetes.io/component=cache"),
                ));
            }
        }
        // Without endpoints there is nothing to reach.
        if ready != Some(0)
            && let Some(status) = known(
                &operator.answer,
                "the caches can't be called through the API server",
                &mut findings,
            )
            && *status != UNAUTHORIZED
        {
            findings.push(Finding::problem(
                "what answers at the caches' Service is no cache, or can't be reached",
                format!("a request without a token was answered with {status}, not {UNAUTHORIZED}"),
                format!("kubectl -n {namespace} describe service {name}; see that a NetworkPolicy does not keep the API server out"),
            ));
        }
        let ready = ready.map_or_else(String::new, |ready| format!(", {ready} ready"));
        (format!("{namespace}/{name}{ready}"), findings)
    })
}

fn endpoints_ready(slice: &EndpointSlice) -> usize {
    let is_ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true)
    };
    slice.endpoints.iter().filter(is_ready).count()
}

/// That each cache that is ready is subscribed, complete, and took what it was sent.
pub(super) fn subscribed(facts: &Facts) -> Checked {
    about_the_operator("Caches and controller", facts, |operator| {
        let mut findings = Vec::new();
        let what = "what the controller knows of the caches can't be read";
        let Some((leader, document)) = known(&operator.caches, what, &mut findings) else {
            return ("unknown".to_owned(), findings);
        };
        let caches = &document.caches;
        let logs = |component: &str| {
            format!(
                "kubectl -n {} logs -l app.kubernetes.io/component={component} --prefix",
                operator.namespace
            )
        };
        let wanted = operator.cache.as_ref().ok().and_then(Option::as_ref);
        let ready = wanted
            .and_then(|deployment| deployment.status.as_ref()?.ready_replicas)
            .unwrap_or_default();
        let ready = usize::try_from(ready).unwrap_or_default();
        if !document.leading {
            findings.push(Finding::warning(
                "the controller that the Lease names does not lead any more",
                format!("Pod {} said so", leader.pod),
                "run it again: a change of leader takes seconds",
            ));
        } else if caches.is_empty() {
            findings.push(Finding::problem(
                "no cache is subscribed to the controller: caches serve what they have and get no change",
                format!("Pod {} knows of none", leader.pod),
                format!(
                    "{}; see that certificates are good and a NetworkPolicy lets port 9444 in",
                    logs("cache")
                ),
            ));
        } else if caches.len() < ready {
            findings.push(Finding::problem(
                "a cache that is ready is not subscribed to the controller: it gets no change",
                format!("{ready} caches are ready, {} subscribed", caches.len()),
                logs("cache"),
            ));
        }
        let incomplete: Vec<_> = caches
            .iter()
            .filter(|cache| !cache.complete)
            .map(|cache| cache.replica.as_str())
            .collect();
        if !incomplete.is_empty() {
            findings.push(Finding::warning(
                "caches have no complete snapshot yet",
                incomplete.join(", "),
                logs("controller"),
            ));
        }
        for cache in caches {
            for (key, why) in &cache.refused {
                findings.push(Finding::problem(
                    format!(
                        "cache {} refused the revision of RuleSet {key}, and serves the one before",
                        cache.replica
                    ),
                    why,
                    "give both programs the same --max-ruleset-bytes (limits.maxRuleSetBytes), and the same version",
                ));
            }
        }
        (plural(caches.len(), "cache"), findings)
    })
}
