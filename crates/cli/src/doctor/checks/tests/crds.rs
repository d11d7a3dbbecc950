//! Custom resource definitions.

use super::*;

#[test]
fn kinds_that_are_absent_old_or_refused_are_found() {
    each_is_found(&[
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
    ]);
}
