//! What an Engine's gateways enforce, looked at and said: the ready pods and the reports of the caches, by
//! [`enforcement`](super::enforcement). No client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coraza_api::condition::{condition_type, reason};
use coraza_api::engine::DEFAULT_POLL_INTERVAL_SECONDS;
use coraza_api::status::condition;
use coraza_api::{EngineSpec, EngineStatus};
use coraza_ruleset::{EngineKey, RevisionTag, RuleSetKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::context::Context;
use crate::engine::enforcement::{Assessment, Observed, Pod, Said, Tracker, say};
use crate::status::conditions::set;
use crate::watch::index::Index;
use crate::watch::object::{EngineView, ObjectKey, parse_revision};
use crate::watch::store::{Object, Presence};

/// The Engines that are looked at, for as long as this process leads: a standby hears of no data plane.
#[derive(Debug, Default)]
pub struct Trackers {
    epoch: Option<u64>,
    engines: BTreeMap<ObjectKey, (String, Tracker)>,
}

impl Trackers {
    /// The tracker of an Engine: a new one in each reign, and if the Engine was made again.
    fn of(&mut self, epoch: Option<u64>, key: &ObjectKey, uid: &str, now: Instant) -> &mut Tracker {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.engines.clear();
        }
        let new = || (uid.to_owned(), Tracker::new(now));
        let (known, tracker) = self.engines.entry(key.clone()).or_insert_with(new);
        if known != uid {
            (*known, *tracker) = new();
        }
        tracker
    }

    /// An Engine is gone.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.engines.remove(key);
    }
}

/// What was seen of an Engine, to be said.
#[derive(Debug)]
pub struct Seen {
    assessment: Assessment,
    desired: Option<RevisionTag>,
}

impl Seen {
    /// Whether Istio is to be made to push once more.
    pub fn redrive(&self) -> bool {
        self.assessment.redrive
    }
}

/// The ready pods of a Gateway; nothing before it is known which there are.
pub fn ready_pods(index: &Index, gateway: &ObjectKey) -> Option<Vec<Pod>> {
    if index.pods.presence() != Presence::Listed {
        return None;
    }
    let pods = index.gateway_pods.to(gateway);
    let ready = pods.filter_map(|key| {
        let pod = index.pods.get(key).and_then(Object::known).filter(|pod| pod.ready)?;
        Some(Pod {
            name: Arc::clone(&key.name),
            addresses: pod.addresses.clone(),
        })
    });
    Some(ready.collect())
}

/// Looks at an Engine that has its Gateway.
pub fn look(context: &Context, key: &ObjectKey, engine: &EngineView, pods: &[Pod]) -> Option<Seen> {
    let uid = engine.meta.uid.as_str();
    let id = EngineKey::new(&key.namespace, &key.name, uid).ok()?;
    let served = RuleSetKey::new(&key.namespace, &engine.ruleset).ok();
    let served = served
        .and_then(|ruleset| context.publisher.delivery(&ruleset))
        .map(|delivery| delivery.revision);
    let known = || engine.status.revision.as_ref().and_then(parse_revision);
    let desired = served.or_else(known).map(RevisionTag::from);
    let seconds = engine
        .spec
        .as_ref()
        .map_or(DEFAULT_POLL_INTERVAL_SECONDS, EngineSpec::poll_interval_seconds);
    let now = Instant::now();
    let observed = Observed {
        pods,
        pollers: &context.publisher.pollers(&id),
        desired,
        interval: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        caches: context.publisher.connected(),
        now,
    };
    let mut trackers = context.trackers();
    let assessment = trackers.of(context.leadership.epoch(), key, uid, now).assess(&observed);
    Some(Seen { assessment, desired })
}

/// Puts what was seen into a status, and tells when to look again.
pub fn report(
    context: &Context,
    key: &ObjectKey,
    engine: &EngineView,
    seen: &Seen,
    status: &mut EngineStatus,
    wall: &Time,
) -> Option<Duration> {
    let Seen { assessment, desired } = seen;
    let now = Instant::now();
    let before = (
        status.enforcement.as_ref(),
        condition(&status.conditions, condition_type::ENFORCED),
    );
    let mut trackers = context.trackers();
    let tracker = trackers.of(context.leadership.epoch(), key, &engine.meta.uid, now);
    let (Said { enforcement, condition }, again) = say(
        tracker,
        assessment,
        *desired,
        before,
        (Some(engine.meta.generation), wall, now),
    );
    status.enforcement = enforcement;
    set(&mut status.conditions, condition);
    [again, assessment.again].into_iter().flatten().min()
}

/// Takes from a status that the Engine isn't applied to its Gateway.
pub fn report_attached(status: &mut EngineStatus) {
    let detached =
        |condition: &Condition| condition.type_ == condition_type::ENFORCED && condition.reason == reason::NOT_ATTACHED;
    status.conditions.retain(|condition| !detached(condition));
}

/// Puts into a status that the Engine isn't applied to its Gateway.
pub fn report_detached(status: &mut EngineStatus, generation: i64, wall: &Time) {
    let detached = Condition {
        last_transition_time: wall.clone(),
        message: "The Engine is not applied to its Gateway: see Accepted".to_owned(),
        observed_generation: Some(generation),
        reason: reason::NOT_ATTACHED.to_owned(),
        status: "False".to_owned(),
        type_: condition_type::ENFORCED.to_owned(),
    };
    status.enforcement = None;
    set(&mut status.conditions, detached);
}
