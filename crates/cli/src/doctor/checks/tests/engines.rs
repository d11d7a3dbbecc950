//! RuleSets and Engines.

use super::*;

#[test]
fn what_conditions_and_references_say_is_found() {
    each_is_found(&[
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
    ]);
}
