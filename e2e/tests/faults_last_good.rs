//! The last good rules outlive controllers, caches and the RuleSet itself, as long as one cache has them. *Faults*: each test with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::{Engine, RuleSet};
use coraza_e2e::cache::Rules;
use coraza_e2e::fleet::QUICK_LEASE;
use coraza_e2e::{Fleet, Namespace, Size, until_within};
use kube::api::{Patch, PatchParams};
use serde_json::json;

const GOOD: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";
const BROKEN: &str = "SecNonsense On";

/// How long a controller that comes back may take to lead, to be found, and to have the rules sent back.
const RECOVERY: Duration = Duration::from_secs(60);

/// RuleSet `waf`, served by all caches.
struct Served {
    namespace: Namespace,
    token: String,
    rules: Rules,
}

impl Served {
    async fn by(fleet: &Fleet) -> Self {
        let namespace = Namespace::create().await;
        namespace.source("rules", GOOD).await;
        namespace.ruleset("waf", &["rules"], &[]).await;
        let revision = namespace.ready("waf").await;
        namespace.served(&fleet.caches, "waf", &revision.uuid).await;
        let token = namespace.token("waf").await;
        let rules = fleet.caches[0].rules(&namespace.name, "waf", &token).await.unwrap();
        assert_eq!(rules.rules, GOOD);
        Self {
            namespace,
            token,
            rules,
        }
    }

    /// Every cache is ready and serves what was served at first, to the byte and under the same revision.
    async fn still(&self, fleet: &Fleet) {
        for cache in &fleet.caches {
            let what = format!("the last good rules at {}", cache.process.name());
            until_within(RECOVERY, &what, async || {
                let rules = cache.rules(&self.namespace.name, "waf", &self.token).await?;
                if rules == self.rules {
                    Ok(())
                } else {
                    Err(format!("{rules:?}"))
                }
            })
            .await;
            cache.ready().await;
        }
    }

    async fn degraded(&self) {
        let wanted = ("Degraded", "True", "ReferencedRuleSourceInvalid");
        self.namespace.condition::<RuleSet>("waf", wanted).await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_controller_that_restarts_while_rules_are_broken_has_the_last_good_ones_sent_back() {
    let mut fleet = Fleet::start(Size::of(1, 2).controller_flags(&QUICK_LEASE)).await;
    let served = Served::by(&fleet).await;
    served.namespace.source("rules", BROKEN).await;
    served.degraded().await;
    // All that knows the good rules from now on is one cache: the source is broken, the controller new, the other cache empty.
    fleet.controllers[0].process.kill();
    fleet.caches[1].restart();
    fleet.controllers[0].restart();
    served.still(&fleet).await;
    served.degraded().await;
    // The cache that had them may go now.
    fleet.caches[0].restart();
    served.still(&fleet).await;
    let metrics = fleet.controllers[0].page("/metrics").await.unwrap().text();
    assert!(metrics.contains("coraza_distribution_recalls_total 1\n"), "{metrics}");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engines_status_tells_which_rules_of_a_deleted_ruleset_to_have_sent_back() {
    let mut fleet = Fleet::start(Size::of(1, 2).controller_flags(&QUICK_LEASE)).await;
    let served = Served::by(&fleet).await;
    let engine = json!({"ruleSet": {"name": "waf"}, "target": {"type": "Gateway", "name": "gateway"}});
    served.namespace.apply::<Engine>("engine", engine).await;
    let revision = served.namespace.ready("waf").await;
    let status = json!({"status": {"revision": revision}});
    served
        .namespace
        .api::<Engine>()
        .patch_status("engine", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    served.namespace.delete::<RuleSet>("waf").await;
    fleet.controllers[0].process.kill();
    fleet.caches[1].restart();
    fleet.controllers[0].restart();
    served.still(&fleet).await;
}
