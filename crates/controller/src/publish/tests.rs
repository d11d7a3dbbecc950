//! Both ends' state machines back to back, without sockets, under every fault that a cluster can have: connections cut at any
//! message, messages that come twice, restarts of either end, two leaders, slow caches and refusing ones, clocks that go back,
//! RuleSets that don't compile any more, tokens that are renewed and Engines that are made again.
//!
//! While it goes wrong, no cache may go back in time or lose a key or a grant that nobody took away. When it stops going wrong, every cache must
//! come to hold exactly what the leader publishes, and neither a last good content nor the grant of a token in use may be lost that a
//! live cache had.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use coraza_cache::auth::Grants;
use coraza_cache::subscribe::Held;
use coraza_cache::subscribe::fence::Fence;
use coraza_cache::subscribe::session::{Progress, Session};
use coraza_cache::{Applied, Store, StoreUpdate};
use coraza_proto::{Body, Hello, Request, Response};
use coraza_ruleset::{Content, Digest, EngineKey, Grant, Revision, RuleSetKey, RulesText, Timestamp, TokenDigest};
use proptest::prelude::*;
use uuid::Uuid;

use super::exchange::{Exchange, Now, SessionId};
use super::session::{RECALL_WAIT, Step};

const LEASE: Duration = Duration::from_secs(15);
const CONTROLLERS: usize = 2;
const CACHES: usize = 3;
const KEYS: usize = 3;
const ENGINES: usize = 2;
/// This content is longer than the refusing cache takes, which doesn't say so in its Hello.
const REFUSED: usize = 4;
const CONTENTS: usize = 5;
const REFUSING: usize = 2;

fn key(number: usize) -> RuleSetKey {
    RuleSetKey::new("default", &format!("ruleset-{number}")).expect("a key")
}

fn content(number: usize) -> (Content, Digest) {
    let rules = if number == REFUSED {
        "x".repeat(100)
    } else {
        number.to_string()
    };
    let content = Content {
        rules: RulesText::new([Arc::from(rules)]),
        ..Content::default()
    };
    let digest = content.digest();
    (content, digest)
}

fn engine(number: usize, uid: u32) -> EngineKey {
    EngineKey::new("default", &format!("engine-{number}"), &uid.to_string()).expect("an engine")
}

/// What a user wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Desired {
    Absent,
    Content(usize),
    Broken,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A user changes a RuleSet.
    Edit(usize, Desired),
    /// A controller sees the API as it is now.
    Sync(usize),
    /// The leader writes the revision of a key to its status.
    WriteStatus(usize, usize),
    /// A controller gains the Lease. The one before doesn't know yet.
    Elect(usize),
    /// A controller sees that it lost the Lease.
    Depose(usize),
    /// The leader renews an Engine's token: grants it, and writes it into the WasmPlugin.
    Renew(usize, usize),
    /// A user deletes an Engine and makes it again.
    Recreate(usize),
    DeleteEngine(usize),
    RestartController(usize),
    Connect {
        cache: usize,
        controller: usize,
    },
    Cut(usize),
    RestartCache(usize),
    /// So many messages move on a cache's link, in either direction.
    Exchange(usize, usize),
    /// The message that is about to arrive at a cache comes once more.
    Duplicate(usize),
    /// The wall clock of everybody jumps, the other one goes on.
    Clock(u64),
    Pass(Duration),
}

struct Controller {
    exchange: Exchange,
    /// Until all is known, nothing may be published.
    synced: bool,
    /// What it granted, for the Engines that it knows.
    granted: Vec<Grant>,
}

struct Link {
    controller: usize,
    id: SessionId,
    session: Session,
    down: VecDeque<Response>,
    up: VecDeque<Request>,
}

struct Cache {
    held: Held,
    fence: Fence,
    process_id: u128,
    link: Option<Link>,
    ready: bool,
}

struct World {
    desired: [Desired; KEYS],
    statuses: [Option<Revision>; KEYS],
    /// The UID of each Engine that there is.
    engines: [Option<u32>; ENGINES],
    /// What the token in each WasmPlugin opens.
    wasm_plugins: [Option<Grant>; ENGINES],
    last_uid: u32,
    last_token: u32,
    epoch: u64,
    controllers: Vec<Controller>,
    caches: Vec<Cache>,
    processes: u128,
    now: Now,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            desired: [Desired::Absent; KEYS],
            statuses: [None; KEYS],
            engines: [None; ENGINES],
            wasm_plugins: [None, None],
            last_uid: 0,
            last_token: 0,
            epoch: 0,
            controllers: Vec::new(),
            caches: Vec::new(),
            processes: 0,
            now: Now {
                wall: Timestamp::from_unix_nanos(100),
                monotonic: Instant::now(),
            },
        };
        world.controllers = (0..CONTROLLERS).map(|_| world.new_controller()).collect();
        world.caches = (0..CACHES).map(|_| world.new_cache()).collect();
        world
    }

    fn new_controller(&self) -> Controller {
        Controller {
            exchange: Exchange::new(LEASE),
            synced: false,
            granted: Vec::new(),
        }
    }

    fn new_cache(&mut self) -> Cache {
        self.processes += 1;
        Cache {
            held: Held {
                store: Store::new().0,
                grants: Grants::default(),
            },
            fence: Fence::default(),
            process_id: self.processes,
            link: None,
            ready: false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Edit(key, desired) => {
                self.desired[key] = desired;
                if desired == Desired::Absent {
                    self.statuses[key] = None;
                }
            }
            Event::Sync(controller) => self.sync(controller),
            Event::WriteStatus(controller, number) => self.write_status(controller, number),
            Event::Elect(controller) => {
                self.epoch += 1;
                self.controllers[controller].exchange.lead(Some(self.epoch));
            }
            Event::Depose(controller) => self.controllers[controller].exchange.lead(None),
            Event::Renew(controller, engine) => self.renew(controller, engine),
            Event::Recreate(engine) => {
                self.last_uid += 1;
                self.engines[engine] = Some(self.last_uid);
                self.wasm_plugins[engine] = None;
            }
            Event::DeleteEngine(engine) => {
                self.engines[engine] = None;
                self.wasm_plugins[engine] = None;
            }
            Event::RestartController(controller) => self.controllers[controller] = self.new_controller(),
            Event::Connect { cache, controller } => self.connect(cache, controller),
            Event::Cut(cache) => self.cut(cache),
            Event::RestartCache(cache) => {
                self.cut(cache);
                self.caches[cache] = self.new_cache();
            }
            Event::Exchange(cache, messages) => (0..messages).for_each(|_| {
                self.exchange(cache);
            }),
            Event::Duplicate(cache) => {
                if let Some(link) = &mut self.caches[cache].link
                    && let Some(next) = link.down.front().cloned()
                {
                    link.down.push_front(next);
                }
            }
            Event::Clock(nanos) => self.now.wall = Timestamp::from_unix_nanos(nanos),
            Event::Pass(duration) => {
                self.now.monotonic += duration;
                let nanos = self.now.wall.unix_nanos() + u64::try_from(duration.as_nanos()).expect("short");
                self.now.wall = Timestamp::from_unix_nanos(nanos);
            }
        }
    }

    fn sync(&mut self, number: usize) {
        let engines: Vec<_> = self.engines().collect();
        let (now, controller) = (self.now, &mut self.controllers[number]);
        for number in 0..KEYS {
            let (exchange, key, status) = (&mut controller.exchange, key(number), self.statuses[number]);
            match self.desired[number] {
                Desired::Absent => exchange.forget(&key),
                Desired::Broken => exchange.retain(&key, status, now),
                Desired::Content(content_number) => {
                    exchange.serve(&key, content(content_number), status, now);
                }
            }
        }
        let (known, gone) = std::mem::take(&mut controller.granted)
            .into_iter()
            .partition::<Vec<_>, _>(|grant| engines.contains(&grant.engine));
        controller.granted = known;
        gone.iter()
            .for_each(|grant| controller.exchange.revoke(&grant.token, now));
        for grant in self.wasm_plugins.iter().flatten() {
            controller.exchange.grant(grant.clone(), now);
            if !controller.granted.contains(grant) {
                controller.granted.push(grant.clone());
            }
        }
        controller.synced = true;
        controller.exchange.open();
        controller.exchange.open_grants(now);
    }

    fn engines(&self) -> impl Iterator<Item = EngineKey> {
        let numbered = self.engines.iter().enumerate();
        numbered.filter_map(|(number, uid)| Some(engine(number, (*uid)?)))
    }

    fn renew(&mut self, controller: usize, number: usize) {
        let Controller {
            exchange,
            synced,
            granted,
        } = &mut self.controllers[controller];
        let Some(uid) = self.engines[number] else { return };
        if !*synced || exchange.available().is_err() {
            return;
        }
        self.last_token += 1;
        let grant = Grant {
            token: TokenDigest::of(self.last_token.to_be_bytes()),
            expires: Timestamp::from_unix_nanos(u64::MAX),
            key: key(number),
            engine: engine(number, uid),
        };
        exchange.grant(grant.clone(), self.now);
        granted.push(grant.clone());
        self.wasm_plugins[number] = Some(grant);
    }

    /// As the leader does after it compiled what it saw.
    fn write_status(&mut self, controller: usize, number: usize) {
        let delivery = self.controllers[controller].exchange.delivery(&key(number));
        if let Desired::Content(current) = self.desired[number]
            && let Some(delivery) = delivery
            && delivery.revision.digest == content(current).1
        {
            self.statuses[number] = Some(delivery.revision);
        }
    }

    fn connect(&mut self, cache: usize, controller: usize) {
        self.cut(cache);
        let Cache {
            held,
            fence,
            process_id,
            link,
            ..
        } = &mut self.caches[cache];
        let hello = Hello {
            replica: format!("cache-{cache}"),
            process_id: Uuid::from_u128(*process_id),
            holdings: held.store.holdings().into_iter().collect(),
            max_ruleset_bytes: 1 << 20,
            plugin_digest: None,
            grants: held
                .grants
                .held()
                .into_iter()
                .map(|grant| (grant.token, grant))
                .collect(),
        };
        if let Ok(id) = self.controllers[controller].exchange.subscribe(hello, self.now) {
            let session = Session::new(*fence, if cache == REFUSING { 50 } else { 1 << 20 });
            let (down, up) = (VecDeque::new(), VecDeque::new());
            *link = Some(Link {
                controller,
                id,
                session,
                down,
                up,
            });
        }
    }

    /// The connection is gone, and all that was on its way. The controller may notice it much later: a new one replaces it.
    fn cut(&mut self, cache: usize) {
        let Some(link) = self.caches[cache].link.take() else {
            return;
        };
        self.caches[cache].fence = link.session.fence();
        self.caches[cache].fence.heard(self.now.monotonic);
        if !link.up.is_empty() {
            self.controllers[link.controller]
                .exchange
                .unsubscribe(link.id, self.now);
        }
    }

    /// Moves one message on a cache's link. Returns whether there was one.
    fn exchange(&mut self, number: usize) -> bool {
        let now = self.now;
        let Some(link) = &mut self.caches[number].link else {
            return false;
        };
        let exchange = &mut self.controllers[link.controller].exchange;
        if let Some(request) = link.up.pop_front() {
            let heard = match request {
                Request::Hello(_) => panic!("never sent on the link"),
                Request::Ack { nonce } => exchange.acknowledged(link.id, nonce),
                Request::Nack { nonce, detail } => exchange.refused(link.id, nonce, detail, now),
                Request::Recalled { key, ruleset } => exchange.recalled(link.id, &key, ruleset, now),
                Request::Report(pollers) => exchange.reported(link.id, pollers, now),
            };
            if heard.is_err() {
                self.cut(number);
            }
            return true;
        }
        match exchange.next(link.id, now) {
            Ok(Step::Send(response)) => {
                assert!(
                    self.controllers[link.controller].synced,
                    "nothing is sent before all is known"
                );
                link.down.push_back(response);
            }
            Ok(Step::Wait(_)) => {}
            Err(_) => {
                self.cut(number);
                return true;
            }
        }
        let Some(response) = link.down.pop_front() else {
            return false;
        };
        self.deliver(number, response);
        true
    }

    fn deliver(&mut self, number: usize, response: Response) {
        let now = self.now.monotonic;
        let wall = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.now.wall.unix_nanos());
        let Cache { held, link, ready, .. } = &mut self.caches[number];
        let Some(link) = link else { return };
        let before: BTreeMap<_, _> = held.store.holdings().into_iter().collect();
        let granted_before = held.grants.held();
        let revoked = if let Body::Revoke(tokens) = &response.body {
            tokens.clone()
        } else {
            Vec::new()
        };
        let removed = if let Body::Remove(key) = &response.body {
            Some(key.clone())
        } else {
            None
        };
        let replies = link.session.hear(Ok(response), held, now, wall);
        let after: BTreeMap<_, _> = held.store.holdings().into_iter().collect();
        for (key, before) in &before {
            match after.get(key) {
                None => assert_eq!(removed.as_ref(), Some(key), "only Remove removes"),
                Some(after) => assert!(
                    after.timestamp >= before.timestamp,
                    "{key} went back from {before:?} to {after:?}"
                ),
            }
        }
        let granted = held.grants.held();
        for grant in granted_before {
            assert!(
                granted.contains(&grant) || revoked.contains(&grant.token),
                "only Revoke takes a grant away"
            );
        }
        *ready |= matches!(link.session.progress(), Progress::Complete { .. });
        for reply in replies.iter().flatten() {
            if let Request::Nack { detail, .. } = reply {
                assert!(
                    detail.contains("--max-ruleset-bytes"),
                    "only size is a reason to refuse: {detail}"
                );
            }
        }
        match replies {
            Ok(replies) => link.up.extend(replies),
            Err(_) => self.cut(number),
        }
    }

    /// Faults stop: one controller leads and knows all, every cache is connected to it, and time passes.
    fn heal(&mut self, leader: usize) {
        (0..CACHES).for_each(|cache| self.cut(cache));
        (0..CONTROLLERS).for_each(|controller| self.happen(Event::Depose(controller)));
        self.sync(leader);
        self.happen(Event::Elect(leader));
        (0..CACHES).for_each(|cache| self.connect(cache, leader));
        for _ in 0..3 {
            self.settle();
            self.happen(Event::Pass(RECALL_WAIT));
        }
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let moved = (0..CACHES).filter(|cache| self.exchange(*cache)).count();
            if moved == 0 {
                return;
            }
        }
        panic!("the two ends never come to rest");
    }

    /// What each cache holds of a key.
    fn held(&self, number: usize) -> Vec<Option<Revision>> {
        let held = |cache: &Cache| {
            cache
                .held
                .store
                .holdings()
                .into_iter()
                .find(|(held, _)| *held == key(number))
        };
        self.caches
            .iter()
            .map(|cache| held(cache).map(|(_, revision)| revision))
            .collect()
    }

    /// The grants of each cache.
    fn granted(&self) -> Vec<BTreeMap<TokenDigest, Grant>> {
        let granted = |cache: &Cache| {
            cache
                .held
                .grants
                .held()
                .into_iter()
                .map(|grant| (grant.token, grant))
                .collect()
        };
        self.caches.iter().map(granted).collect()
    }

    fn grants_must_be_healed(&self, leader: usize, granted_before: &[BTreeMap<TokenDigest, Grant>]) {
        let after = self.granted();
        for (cache, granted) in after.iter().enumerate() {
            assert_eq!(granted, &after[0], "cache {cache} holds what the others hold");
        }
        for grant in after[0].values() {
            assert!(
                self.engines().any(|engine| engine == grant.engine),
                "{grant:?} is of an Engine that is gone"
            );
            assert!(
                self.controllers[leader].exchange.is_granted(&grant.token),
                "{grant:?} is acknowledged"
            );
        }
        let in_use = self.wasm_plugins.iter().flatten();
        // Of before the last renewal: the Engine reads the same RuleSet still, and data planes may bear them for a while.
        let earlier = granted_before.iter().flat_map(BTreeMap::values);
        let earlier = earlier.filter(|grant| in_use.clone().any(|used| used.engine == grant.engine));
        for grant in in_use.clone().chain(earlier) {
            assert_eq!(after[0].get(&grant.token), Some(grant), "a token in use is let in");
        }
    }

    fn must_be_healed(&self, leader: usize, held_before: &[Vec<Option<Revision>>]) {
        let exchange = &self.controllers[leader].exchange;
        assert!(
            self.caches.iter().all(|cache| cache.ready && cache.link.is_some()),
            "every cache is ready and connected"
        );
        for (number, desired) in self.desired.iter().enumerate() {
            let published = exchange.delivery(&key(number)).map(|delivery| delivery.revision);
            let digest = published.map(|revision| revision.digest);
            match desired {
                Desired::Absent => assert_eq!(published, None),
                Desired::Content(content_number) => assert_eq!(digest, Some(content(*content_number).1)),
                Desired::Broken => {
                    let before: BTreeSet<_> = held_before[number].iter().flatten().map(|held| held.digest).collect();
                    assert!(before.is_empty() || published.is_some(), "a last good content is lost");
                }
            }
            for (cache, held) in self.held(number).into_iter().enumerate() {
                if cache == REFUSING && digest == Some(content(REFUSED).1) && held != published {
                    let nacked = exchange.delivery(&key(number)).expect("published").nacked;
                    assert_eq!(nacked[0].replica, format!("cache-{REFUSING}"));
                } else {
                    assert_eq!(held, published, "cache {cache} holds what is published of key {number}");
                }
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let (controller, cache, ruleset) = (0..CONTROLLERS, 0..CACHES, 0..KEYS);
    let desired = prop_oneof![
        1 => Just(Desired::Absent),
        4 => (0..CONTENTS).prop_map(Desired::Content),
        2 => Just(Desired::Broken),
    ];
    prop_oneof![
        6 => (ruleset.clone(), desired).prop_map(|(key, desired)| Event::Edit(key, desired)),
        8 => controller.clone().prop_map(Event::Sync),
        6 => (controller.clone(), 0..ENGINES).prop_map(|(controller, engine)| Event::Renew(controller, engine)),
        2 => (0..ENGINES).prop_map(Event::Recreate),
        1 => (0..ENGINES).prop_map(Event::DeleteEngine),
        4 => (controller.clone(), ruleset).prop_map(|(controller, key)| Event::WriteStatus(controller, key)),
        3 => controller.clone().prop_map(Event::Elect),
        1 => controller.clone().prop_map(Event::Depose),
        2 => controller.clone().prop_map(Event::RestartController),
        8 => (cache.clone(), controller).prop_map(|(cache, controller)| Event::Connect { cache, controller }),
        3 => cache.clone().prop_map(Event::Cut),
        1 => cache.clone().prop_map(Event::RestartCache),
        16 => (cache.clone(), 1_usize..20).prop_map(|(cache, messages)| Event::Exchange(cache, messages)),
        3 => cache.prop_map(Event::Duplicate),
        2 => (0_u64..300).prop_map(Event::Clock),
        2 => prop_oneof![Just(Duration::from_nanos(1)), Just(Duration::from_secs(5)), Just(LEASE)].prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn caches_converge_on_the_leader_after_any_faults(events in prop::collection::vec(event(), 0..120), leader in 0..CONTROLLERS) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        let held_before: Vec<_> = (0..KEYS).map(|key| world.held(key)).collect();
        let granted_before = world.granted();
        world.heal(leader);
        world.must_be_healed(leader, &held_before);
        world.grants_must_be_healed(leader, &granted_before);
    }
}

/// The new leader knows of the newer token only, and of the Engine's end only after it adopted the older one.
#[test]
fn an_engine_that_goes_after_a_fail_over_takes_the_token_of_before_its_renewal_along() {
    let mut world = World::new();
    let connect = |controller| Event::Connect { cache: 1, controller };
    let before = [
        Event::Elect(0),
        Event::Recreate(1),
        Event::Sync(0),
        connect(0),
        Event::Renew(0, 1),
        Event::Renew(0, 1),
        Event::Sync(1),
        Event::Elect(1),
        Event::Recreate(1),
        Event::Exchange(1, 3),
    ];
    before.into_iter().for_each(|event| world.happen(event));
    assert_eq!(world.granted()[1].len(), 2, "the cache holds both tokens");
    world.happen(connect(1));
    world.heal(1);
    assert_eq!(world.granted(), vec![BTreeMap::new(); CACHES]);
}

/// Revisions must not move where nothing changed: a moved one makes every data plane reload.
#[test]
fn a_restart_and_a_fail_over_change_no_revision() {
    let mut world = World::new();
    let edit = |key, content| Event::Edit(key, Desired::Content(content));
    [edit(0, 0), edit(1, 1), edit(2, 2)]
        .into_iter()
        .for_each(|event| world.happen(event));
    world.heal(0);
    (0..KEYS).for_each(|key| world.happen(Event::WriteStatus(0, key)));
    world.happen(Event::Edit(1, Desired::Broken));
    let before: Vec<_> = (0..KEYS).map(|key| world.held(key)).collect();
    for leader in [1, 0] {
        world.happen(Event::Clock(50));
        world.happen(Event::RestartController(leader));
        world.heal(leader);
        assert_eq!((0..KEYS).map(|key| world.held(key)).collect::<Vec<_>>(), before);
        let exchange = &world.controllers[leader].exchange;
        assert_eq!(exchange.counters().recalls, 1);
    }
}

/// The store's own promise that the properties above stand on.
#[test]
fn a_store_takes_no_older_revision() {
    let store = Store::new().0;
    let (content, digest) = content(0);
    let ruleset = |nanos| coraza_ruleset::CompiledRuleSet {
        key: key(0),
        revision: Revision {
            digest,
            timestamp: Timestamp::from_unix_nanos(nanos),
        },
        content: content.clone(),
    };
    assert_eq!(store.apply(StoreUpdate::Upsert(ruleset(2))), Applied::Served);
    assert!(matches!(
        store.apply(StoreUpdate::Upsert(ruleset(1))),
        Applied::Stale { .. }
    ));
}
