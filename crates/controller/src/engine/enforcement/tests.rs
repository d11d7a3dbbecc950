//! One Engine, scripts and properties.

use super::*;

use coraza_api::condition::reason;
use coraza_api::engine::Enforcement;
use coraza_proto::limits::MAX_POLLERS;
use coraza_ruleset::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(45);
const PATIENCE: Duration = Duration::from_secs(60);

fn tag(number: u64) -> RevisionTag {
    RevisionTag {
        timestamp: Timestamp::from_unix_nanos(number),
        uuid: Uuid::from_u128(number.into()),
    }
}

fn runs(number: u64) -> Running {
    Running::Revision(tag(number))
}

fn pod_name(number: usize) -> Arc<str> {
    format!("gateway-{number}").into()
}

/// An Engine, its gateway pods and a status, and a clock that is moved.
struct Scene {
    tracker: Tracker,
    pods: Vec<Pod>,
    pollers: BTreeMap<PollerId, Poller>,
    desired: Option<u64>,
    caches: usize,
    start: Instant,
    now: Instant,
    said: (Option<Enforcement>, Option<Condition>),
    writes: usize,
    turns: usize,
}

impl Scene {
    fn new(pods: usize) -> Self {
        let start = Instant::now();
        let mut scene = Self {
            tracker: Tracker::new(start),
            pods: Vec::new(),
            pollers: BTreeMap::new(),
            desired: Some(1),
            caches: 1,
            start,
            now: start,
            said: (None, None),
            writes: 0,
            turns: 0,
        };
        (0..pods).for_each(|number| scene.add(number));
        scene
    }

    fn add(&mut self, number: usize) {
        let address = [10, 0, (number / 256) as u8, (number % 256) as u8].into();
        self.pods.push(Pod {
            name: pod_name(number),
            addresses: vec![address],
        });
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn poll(&mut self, number: usize, running: Running) {
        self.poll_as(PollerId::Pod(pod_name(number)), running);
    }

    fn poll_as(&mut self, id: PollerId, running: Running) {
        let seen = self.now;
        self.pollers.insert(id.clone(), Poller { id, running, seen });
    }

    fn look(&mut self) -> Assessment {
        let pollers: Vec<_> = self.pollers.values().cloned().collect();
        let observed = Observed {
            pods: &self.pods,
            pollers: &pollers,
            desired: self.desired.map(tag),
            interval: INTERVAL,
            caches: self.caches,
            now: self.now,
        };
        let assessment = self.tracker.assess(&observed);
        let seconds = self.now.duration_since(self.start).as_secs();
        let wall = Time(jiff::Timestamp::from_second(i64::try_from(seconds).expect("short")).expect("a time"));
        let before = (self.said.0.as_ref(), self.said.1.as_ref());
        let (said, _) = say(
            &mut self.tracker,
            &assessment,
            self.desired.map(tag),
            before,
            (Some(1), &wall, self.now),
        );
        let after = (said.enforcement, Some(said.condition));
        if after != self.said {
            self.writes += 1;
            let what = |said: &(Option<Enforcement>, Option<Condition>)| {
                let condition = said
                    .1
                    .as_ref()
                    .map(|condition| (condition.status.clone(), condition.reason.clone()));
                (condition, said.0.as_ref().map(|counts| counts.desired.clone()))
            };
            self.turns += usize::from(what(&after) != what(&self.said));
            self.said = after;
        }
        assessment
    }

    fn verdict(&mut self) -> Verdict {
        self.look().verdict
    }

    fn status(&self) -> (&str, &str) {
        let condition = self.said.1.as_ref().expect("said");
        (&condition.status, &condition.reason)
    }
}

fn late(number: usize, running: Option<Running>) -> Late {
    Late {
        pod: pod_name(number),
        runs: running,
    }
}

#[test]
fn pods_have_three_intervals_to_run_what_they_should() {
    let mut scene = Scene::new(2);
    assert_eq!(scene.verdict(), Verdict::Pending);
    assert_eq!(scene.status(), ("Unknown", reason::AWAITING_REPORTS));
    scene.poll(0, runs(1));
    scene.pass(44);
    assert_eq!(scene.verdict(), Verdict::Pending);
    scene.poll(1, runs(1));
    let assessment = scene.look();
    assert_eq!((assessment.verdict, assessment.current), (Verdict::Enforced, 2));
    assert_eq!(scene.status(), ("True", reason::REVISION_ENFORCED));

    scene.desired = Some(2);
    scene.poll(0, runs(2));
    scene.poll(1, runs(1));
    let assessment = scene.look();
    assert_eq!(
        (
            assessment.verdict,
            assessment.expected,
            assessment.current,
            assessment.stale
        ),
        (Verdict::Pending, 2, 1, 1)
    );
    assert_eq!(scene.status(), ("True", reason::REVISION_ENFORCED));
    for _ in 0..4 {
        scene.pass(15);
        scene.poll(0, runs(2));
        scene.poll(1, runs(1));
        scene.look();
    }
    assert_eq!(scene.verdict(), Verdict::Late(vec![late(1, Some(runs(1)))]));
    assert_eq!(scene.status(), ("False", reason::PODS_STALE));
    let message = &scene.said.1.as_ref().expect("said").message;
    assert!(
        message.contains("1 of 2") && message.contains("gateway-1 runs"),
        "{message}"
    );
    scene.poll(1, runs(2));
    assert_eq!(scene.verdict(), Verdict::Enforced);
}

#[test]
fn each_way_not_to_enforce_has_its_reason() {
    let mut scene = Scene::new(0);
    assert_eq!(scene.verdict(), Verdict::NoPods);
    assert_eq!(scene.status(), ("Unknown", reason::NO_GATEWAY_PODS));
    scene.add(0);
    scene.desired = None;
    assert_eq!(scene.verdict(), Verdict::NoRevision);
    assert_eq!(scene.said.0, None);
    scene.desired = Some(1);
    scene.pass(1);
    scene.look();
    scene.pass(45);
    assert_eq!(scene.verdict(), Verdict::Late(vec![late(0, None)]));
    assert_eq!(scene.status(), ("False", reason::PODS_SILENT));
    scene.poll(0, Running::Nothing);
    scene.look();
    scene.pass(44);
    scene.poll(0, Running::Nothing);
    assert_eq!(scene.verdict(), Verdict::Pending);
    scene.pass(1);
    assert_eq!(scene.verdict(), Verdict::Late(vec![late(0, Some(Running::Nothing))]));
    scene.caches = 0;
    assert_eq!(scene.verdict(), Verdict::Pending);
    assert_eq!(scene.status(), ("False", reason::PODS_STALE));
    scene.pass(45);
    assert_eq!(scene.verdict(), Verdict::NoReports);
    assert_eq!(scene.status(), ("Unknown", reason::NO_REPORTS));
    scene.caches = 1;
    assert_eq!(scene.verdict(), Verdict::Pending);
}

#[test]
fn a_go_plugin_is_known_by_its_address_and_what_it_was_served() {
    let mut scene = Scene::new(1);
    let address = PollerId::Address([10, 0, 0, 0].into());
    scene.poll_as(address.clone(), runs(1));
    assert_eq!(scene.verdict(), Verdict::Enforced);
    scene.poll_as(address.clone(), Running::Unknown);
    scene.look();
    scene.pass(40);
    scene.poll_as(address, Running::Unknown);
    scene.pass(5);
    assert_eq!(scene.verdict(), Verdict::Unsaid);
    assert_eq!(scene.status(), ("Unknown", reason::RUNNING_UNKNOWN));
}

#[test]
fn a_restart_holds_what_was_said_for_three_intervals() {
    let mut scene = Scene::new(1);
    scene.poll(0, runs(1));
    scene.look();
    let said = scene.said.clone();
    scene.pass(3_600);
    scene.tracker = Tracker::new(scene.now);
    scene.pollers.clear();
    scene.caches = 0;
    scene.look();
    scene.pass(10);
    scene.caches = 1;
    scene.look();
    scene.pass(44);
    scene.look();
    assert_eq!(scene.said, said);
    scene.pass(1);
    scene.look();
    assert_eq!(scene.status(), ("False", reason::PODS_SILENT));
}

#[test]
fn a_gateway_that_does_not_poll_is_driven_once_per_back_off_while_caches_report() {
    let mut scene = Scene::new(2);
    let mut driven = Vec::new();
    for second in 0..2_000_u64 {
        scene.poll(0, runs(1));
        scene.caches = usize::from(!(300..400).contains(&second));
        if scene.look().redrive {
            driven.push(second);
        }
        scene.pass(1);
    }
    // 60 s after the start, then after twice, four, eight times as long; not while no cache could have told of a poll.
    assert_eq!(driven, [60, 180, 460, 940, 1_900]);
    scene.poll(1, runs(1));
    assert!(!scene.look().redrive);
    assert_eq!(scene.tracker.pushes.vain, 0);
}

#[test]
fn ten_thousand_pods_cost_one_write_a_minute_besides_transitions() {
    let mut scene = Scene::new(MAX_POLLERS);
    (0..MAX_POLLERS).for_each(|number| scene.poll(number, runs(1)));
    assert_eq!(scene.verdict(), Verdict::Enforced);
    // A new revision that reaches two hundred pods a second.
    scene.desired = Some(2);
    for second in 0..70 {
        for number in (0..MAX_POLLERS).skip(second * 200).take(200) {
            scene.poll(number, runs(2));
        }
        for number in (0..MAX_POLLERS).skip((second + 1) * 200).step_by(50) {
            scene.poll(number, runs(1));
        }
        scene.look();
        scene.pass(1);
    }
    assert_eq!(
        scene.said.0.as_ref().map(|counts| counts.expected),
        Some(MAX_POLLERS as u32)
    );
    assert!(
        scene.writes <= scene.turns + 2,
        "{} writes, {} transitions",
        scene.writes,
        scene.turns
    );
}

#[derive(Debug, Clone)]
enum Event {
    Poll(usize, Running),
    Ready(usize, bool),
    Edit(u64),
    Caches(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let running = prop_oneof![
        6 => (1_u64..4).prop_map(runs),
        1 => Just(Running::Nothing),
        1 => Just(Running::Unknown),
    ];
    let event = prop_oneof![
        8 => (0_usize..3, running).prop_map(|(pod, running)| Event::Poll(pod, running)),
        1 => (0_usize..3, any::<bool>()).prop_map(|(pod, ready)| Event::Ready(pod, ready)),
        1 => (1_u64..4).prop_map(Event::Edit),
        1 => (0_usize..2).prop_map(Event::Caches),
        6 => (1_u64..30).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..150)
}

proptest! {
    #[test]
    fn nothing_is_said_that_was_not_seen(events in events()) {
        let mut scene = Scene::new(2);
        let (mut ready_since, mut wanted_since, mut heard_since) = (BTreeMap::new(), scene.now, scene.now);
        let (mut last_drive, mut last_false): (Option<Instant>, Option<Instant>) = (None, None);
        for event in events {
            match event {
                Event::Poll(pod, running) => scene.poll(pod, running),
                Event::Ready(number, ready) => {
                    scene.pods.retain(|pod| pod.name != pod_name(number));
                    if ready { scene.add(number) }
                }
                Event::Edit(revision) => {
                    if scene.desired != Some(revision) { wanted_since = scene.now }
                    scene.desired = Some(revision);
                }
                Event::Caches(caches) => scene.caches = caches,
                Event::Pass(seconds) => scene.pass(seconds),
            }
            let now = scene.now;
            if scene.caches == 0 { heard_since = now }
            let names: Vec<_> = scene.pods.iter().map(|pod| Arc::clone(&pod.name)).collect();
            ready_since.retain(|name, _| names.contains(name));
            for name in &names { ready_since.entry(Arc::clone(name)).or_insert(now); }
            let was_true = scene.said.1.as_ref().is_some_and(|condition| condition.status == "True");
            let assessment = scene.look();

            let fresh = |name: &Arc<str>| {
                let poller = scene.pollers.get(&PollerId::Pod(Arc::clone(name)));
                poller.filter(|poller| now < poller.seen + WINDOW).map(|poller| poller.running)
            };
            let desired = scene.desired.map(runs);
            let is_current = |name: &Arc<str>| match (fresh(name), desired) {
                (Some(Running::Revision(own)), Some(Running::Revision(desired))) => own.uuid == desired.uuid,
                _ => false,
            };
            let all = !names.is_empty() && names.iter().all(is_current);
            prop_assert_eq!(assessment.verdict == Verdict::Enforced, all);
            prop_assert!(assessment.current + assessment.stale <= assessment.expected);
            if let Verdict::Late(late) = &assessment.verdict {
                prop_assert!(scene.caches > 0 && !late.is_empty());
                for late in late {
                    prop_assert!(!is_current(&late.pod));
                    let since = ready_since[&late.pod].max(wanted_since).max(heard_since);
                    prop_assert!(now >= since + WINDOW, "{} had no time", late.pod);
                }
            }
            if assessment.redrive {
                prop_assert!(scene.caches > 0 && now >= heard_since + PATIENCE);
                prop_assert!(last_drive.is_none_or(|last| now >= last + PATIENCE));
                last_drive = Some(now);
            }
            if let Some(again) = assessment.again {
                prop_assert!(again >= Duration::from_secs(1));
            }
            if was_true && scene.status().0 == "False" {
                prop_assert!(last_false.is_none_or(|last| now > last), "one turn at a time");
                last_false = Some(now);
            }
        }
        let minutes = scene.now.duration_since(scene.start).as_secs() / 60;
        prop_assert!(scene.writes <= scene.turns + 1 + usize::try_from(minutes).expect("small"));
    }

    /// Whoever has an Engine's token may say anything, as often as he likes.
    #[test]
    fn whoever_says_this_and_that_turns_the_condition_once_a_window(says in prop::collection::vec(0_u64..3, 1..400)) {
        let mut scene = Scene::new(1);
        let mut turns = 0;
        for revision in &says {
            let before = scene.said.1.as_ref().map(|condition| condition.status.clone());
            scene.poll(0, if *revision == 0 { Running::Nothing } else { runs(*revision) });
            scene.look();
            turns += usize::from(before.as_deref() != Some(scene.status().0));
            scene.pass(1);
        }
        prop_assert!(turns <= 2 + 2 * says.len() / WINDOW.as_secs() as usize, "{} turns in {} s", turns, says.len());
    }
}
