//! Istio and its settings.

use super::*;

#[test]
fn an_istio_that_is_absent_old_or_hides_the_caches_is_found() {
    each_is_found(&[
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
                let mut annotated = service();
                annotated["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "."});
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
    ]);
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
