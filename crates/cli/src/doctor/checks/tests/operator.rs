//! The operator's processes.

use super::*;

#[test]
fn processes_that_do_not_run_differ_or_do_not_lead_are_found() {
    each_is_found(&[
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
    ]);
}

fn pod(container: &Value) -> k8s_openapi::api::core::v1::Pod {
    let mut status = json!({"name": "cache", "image": "", "imageID": "", "ready": false, "restartCount": 0});
    status
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    object(json!({"metadata": {"name": "cache-9"}, "status": {"containerStatuses": [status]}}))
}
