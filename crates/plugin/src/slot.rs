//! `Slot`: the rules of one RuleSet in this VM, and how they come here. It outlives configurations: a new token keeps the rules.
//!
//! On each tick, in this order: see what other workers announced; lead, or see who does; report what this VM runs; poll if it
//! leads; load what there is to load, a little at a time.

mod call;
mod tell;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::Cache;
use crate::host::{Host, Pairs};
use crate::load::{InvalidRules, Loaded, Loading, Progress};
use crate::metrics::Metrics;
use crate::poll::{Answer, Content, Failure, Poller, Verdict, decode, decode_stored};
use crate::revision::Revision;
use crate::shared::{Announcement, Keys, Lead, Worst};
use crate::site::Site;

const MILLISECOND: u64 = 1_000_000;
/// How often it is looked whether others announced rules: a small read, and the most that a worker lags.
const LOOK: u64 = 200 * MILLISECOND;
/// How often the lease is renewed, a third of its life.
const RENEW: u64 = 1_000 * MILLISECOND;
/// How often a VM says what it runs.
const REPORT: u64 = 10_000 * MILLISECOND;
/// How long steps of loading may take in one tick: requests wait for so long at most, but for one step that can't be cut.
const SLICE: u64 = 4 * MILLISECOND;
/// How long the leader waits for the other workers to have what it has, so that its next poll, which may wait for a minute,
/// reports what the pod really runs.
const CONVERGENCE: u64 = 3_000 * MILLISECOND;

/// How soon the next tick should come, in milliseconds.
const TICK_LOADING: u64 = 5;
const TICK_WITHOUT_RULES: u64 = 50;
const TICK: u64 = 200;

/// The VM, and what it writes to.
#[derive(Debug)]
pub struct Vm<'a, H> {
    /// Envoy.
    pub host: &'a H,
    /// Metrics.
    pub metrics: &'a mut Metrics,
    /// This VM among those of the pod.
    pub id: u64,
    /// Whether it serves requests.
    pub serves: bool,
}

/// The rules of one RuleSet.
#[derive(Debug)]
pub struct Slot {
    cache: Cache,
    keys: Keys,
    site: Arc<Site>,
    current: Option<Rc<Loaded>>,
    poller: Poller,
    loading: Option<Work>,
    leads: bool,
    /// Keys of an earlier token, under which the rules are shared still.
    earlier: Option<Keys>,
    announced: Option<Announcement>,
    looked: u64,
    renewed: u64,
    reported: u64,
    /// When the current rules became it.
    since: u64,
    /// What was logged about polling since it last worked.
    complained: Option<&'static str>,
}

/// Rules that are being loaded.
#[derive(Debug)]
struct Work {
    loading: Loading,
    origin: Origin,
}

/// Where rules that are being loaded come from, and what that cost so far.
#[derive(Debug)]
struct Origin {
    /// The body that they came in, for the other workers; nothing if it came from them.
    gzip: Vec<u8>,
    /// When it was there.
    started: u64,
    /// How long the longest step took, in nanoseconds, and what it was a part of: requests of this worker waited for it.
    longest: (u64, &'static str),
}

impl Slot {
    /// One without rules.
    #[must_use]
    pub fn new(cache: Cache, site: Arc<Site>) -> Self {
        Self {
            keys: Keys::new(&cache),
            poller: Poller::new(cache.interval),
            cache,
            site,
            current: None,
            loading: None,
            leads: false,
            earlier: None,
            announced: None,
            looked: 0,
            renewed: 0,
            reported: 0,
            since: 0,
            complained: None,
        }
    }

    /// The rules, if there are any yet.
    #[must_use]
    pub fn current(&self) -> Option<&Rc<Loaded>> {
        self.current.as_ref()
    }

    /// Takes another configuration for the same RuleSet; its rules stay.
    pub fn reconfigure(&mut self, cache: Cache, site: Arc<Site>) {
        let keys = Keys::new(&cache);
        if keys != self.keys {
            self.earlier = Some(std::mem::replace(&mut self.keys, keys));
            (self.leads, self.announced) = (false, None);
        }
        (self.looked, self.renewed, self.reported) = (0, 0, 0);
        self.poller.reconfigure(cache.interval);
        self.complained = None;
        self.cache = cache;
        self.site = site;
    }

    /// Loads what other workers share, all at once: a VM that replaces one that trapped must have its rules before the request
    /// that it was made for.
    pub fn restore<H: Host>(&mut self, vm: &mut Vm<'_, H>) {
        if self.current.is_some() {
            return;
        }
        self.look(vm, vm.host.now());
        if let Some(work) = self.loading.take() {
            let revision = work.loading.revision().cloned();
            match work.loading.finish(None) {
                Ok(loaded) => self.swap(vm, loaded, &work.origin),
                Err(invalid) => self.refuse(vm, revision, &invalid),
            }
        }
    }

    /// Does what is due, and says in how many milliseconds to come again.
    pub fn tick<H: Host>(&mut self, vm: &mut Vm<'_, H>) -> u32 {
        let now = vm.host.now();
        if now.abs_diff(self.looked) >= LOOK {
            self.look(vm, now);
        }
        if now.abs_diff(self.renewed) >= RENEW {
            self.lead(vm, now);
        }
        if now.abs_diff(self.reported) >= REPORT {
            self.report(vm, now);
        }
        if self.leads {
            self.poll(vm, now);
        }
        self.load(vm, now);
        self.next_tick(vm.host.now())
    }

    fn next_tick(&self, now: u64) -> u32 {
        let until_poll = if self.leads {
            self.poller.due().saturating_sub(now) / MILLISECOND
        } else {
            u64::MAX
        };
        let most = match (&self.loading, &self.current) {
            (Some(_), _) => TICK_LOADING,
            (None, None) => TICK_WITHOUT_RULES,
            (None, Some(_)) => TICK,
        };
        u32::try_from(until_poll.clamp(TICK_LOADING, most)).unwrap_or(u32::MAX)
    }

    /// Sees whether another worker announced rules that this one lacks.
    fn look<H: Host>(&mut self, vm: &mut Vm<'_, H>, now: u64) {
        self.looked = now;
        let announced = self.keys.announced(vm.host);
        if announced.is_none() || announced == self.announced {
            return;
        }
        self.announced = announced;
        let Some(announcement) = &self.announced else { return };
        if !self.poller.wants(&announcement.revision) {
            self.renew(&announcement.revision.clone(), now);
            return;
        }
        let Some(gzip) = self.keys.body(vm.host, announcement) else {
            return;
        };
        match decode_stored(&gzip, self.cache.max_rules_bytes) {
            Ok((revision, content)) if revision.uuid == announcement.revision.uuid => {
                self.begin(announcement.revision.clone(), content, Vec::new(), now);
            }
            Ok(_) => {}
            Err(error) => tell::not_shared(vm.host, &error.to_string()),
        }
    }

    fn lead<H: Host>(&mut self, vm: &Vm<'_, H>, now: u64) {
        let lead = self.keys.lead(vm.host, vm.id, now);
        self.leads = lead == Lead::Mine;
        // The next tick tells whose the claim was.
        self.renewed = if lead == Lead::Claimed { 0 } else { now };
        if self.leads
            && let Some(earlier) = self.earlier.take()
        {
            self.hand_over(vm.host, &earlier);
        }
    }

    /// Shares under the new token's keys what was shared under the earlier one's.
    fn hand_over(&mut self, host: &impl Host, earlier: &Keys) {
        if self.keys.announced(host).is_none()
            && let Some(announcement) = earlier.announced(host)
            && let Some(gzip) = earlier.body(host, &announcement)
        {
            let _ = self.keys.publish(host, &announcement.revision, &gzip);
        }
        earlier.clear(host);
    }

    /// Gives the lease up: this VM has no configuration for the RuleSet any more.
    pub fn resign<H: Host>(&mut self, vm: &Vm<'_, H>) {
        self.leads = false;
        self.keys.resign(vm.host, vm.id);
        self.keys.leave(vm.host, vm.id);
    }

    fn report<H: Host>(&mut self, vm: &mut Vm<'_, H>, now: u64) {
        self.reported = now;
        // Envoy's main thread has a VM too, which is smaller.
        if vm.serves {
            vm.metrics
                .set(vm.host, self.site.names.own("vm.memory_bytes"), vm.host.memory());
        }
        let revision = self.current.as_ref().and_then(|current| current.revision.as_ref());
        self.keys.report(vm.host, vm.id, revision, now);
    }

    fn poll<H: Host>(&mut self, vm: &mut Vm<'_, H>, now: u64) {
        let random = vm.host.random();
        if self.poller.give_up(now, random) {
            self.complain(vm, &Failure::Lost);
        }
        let Some(request) = self.poller.next(now) else { return };
        let worst = self.keys.workers(vm.host).worst(now);
        let current = self.current.as_ref().and_then(|current| current.revision.clone());
        let converged = current.is_none_or(|current| worst == Worst::Revision(current));
        let converging = !converged && now.saturating_sub(self.since) < CONVERGENCE;
        // Nobody would hear for as long as it waits that what is being loaded is in use.
        if request.wait.is_some() && (converging || self.loading.is_some()) {
            return;
        }
        match call::send(vm.host, &self.cache, &self.site, &request, &worst) {
            Ok(token) => self.poller.sent(now, token, request),
            Err(status) => {
                self.poller.refused_to_send(now, random);
                let missing = matches!(status, crate::host::Status::BadArgument);
                self.complain(
                    vm,
                    if missing {
                        &Failure::NoCluster
                    } else {
                        &Failure::NotSent
                    },
                );
            }
        }
    }

    /// What the cache answered to the call with this number.
    pub fn answered<H: Host>(&mut self, vm: &mut Vm<'_, H>, token: u32, headers: &Pairs, body: Vec<u8>) {
        let Some(want) = self.poller.expects(token) else { return };
        let now = vm.host.now();
        let received = decode(want, headers, body, self.cache.max_rules_bytes);
        let verdict = self.poller.answered(now, token, &received.answer, vm.host.random());
        match verdict {
            Verdict::Failed(failure) => {
                self.complain(vm, &failure);
                return;
            }
            Verdict::Unexpected | Verdict::Cut => return,
            Verdict::Unchanged | Verdict::Changed => {}
            Verdict::Renewed(revision) => {
                self.renew(&revision, now);
                self.announce_anew(vm.host, &revision);
            }
            Verdict::Load(revision) => {
                if let (Some(content), Answer::Rules(_)) = (received.content, received.answer) {
                    self.begin(revision, content, received.gzip, now);
                }
            }
        }
        if self.complained.take().is_some() {
            tell::recovered(vm.host, &self.cache.instance);
        }
    }

    /// The rules that are in use became current anew.
    fn renew(&mut self, revision: &Revision, now: u64) {
        let Some(current) = &self.current else { return };
        let held = current.revision.as_ref();
        if held.is_some_and(|held| held.uuid == revision.uuid && held.timestamp < revision.timestamp) {
            self.current = Some(Rc::new(current.renewed(revision.clone())));
            self.poller.hold(revision.clone(), now);
            self.reported = 0;
        }
    }

    /// Tells the other workers that the rules that they have became current anew.
    fn announce_anew(&self, host: &impl Host, revision: &Revision) {
        if let Some(announcement) = self.keys.announced(host)
            && announcement.revision.uuid == revision.uuid
            && let Some(gzip) = self.keys.body(host, &announcement)
        {
            let _ = self.keys.publish(host, revision, &gzip);
        }
    }

    fn begin(&mut self, revision: Revision, content: Content, gzip: Vec<u8>, now: u64) {
        self.poller.load(revision.clone());
        self.loading = Some(Work {
            loading: Loading::new(content, Some(revision)).with_work_limit(self.site.work_limit),
            origin: Origin {
                gzip,
                started: now,
                longest: (0, ""),
            },
        });
    }

    /// Loads for as long as a tick may take.
    fn load<H: Host>(&mut self, vm: &mut Vm<'_, H>, began: u64) {
        let mut before = began;
        while let Some(Work { loading, mut origin }) = self.loading.take() {
            let revision = loading.revision().cloned();
            let previous = self.current.clone();
            let stage = loading.stage();
            let progress = loading.step(previous.as_ref().map(|loaded| &*loaded.program));
            let now = vm.host.now();
            origin.longest = origin.longest.max((now.saturating_sub(before), stage));
            before = now;
            match progress {
                Progress::More(loading) => {
                    self.loading = Some(Work { loading, origin });
                    if now.saturating_sub(began) >= SLICE {
                        return;
                    }
                }
                Progress::Done(loaded) => self.swap(vm, loaded, &origin),
                Progress::Failed(invalid) => self.refuse(vm, revision, &invalid),
            }
        }
    }

    /// New requests get the new rules; those under way keep theirs.
    fn swap<H: Host>(&mut self, vm: &mut Vm<'_, H>, loaded: Loaded, origin: &Origin) {
        let now = vm.host.now();
        let Some(revision) = loaded.revision.clone() else {
            return;
        };
        self.poller.hold(revision.clone(), now);
        if !origin.gzip.is_empty() && self.keys.publish(vm.host, &revision, &origin.gzip).is_err() {
            tell::not_shared(vm.host, "the host did not take them");
        }
        let before = self.current.as_deref();
        tell::loaded(vm, (&self.site, &self.cache.instance), (before, &loaded), origin);
        self.current = Some(Rc::new(loaded));
        self.since = now;
        self.report(vm, now);
    }

    /// The last good rules stay.
    fn refuse<H: Host>(&mut self, vm: &mut Vm<'_, H>, revision: Option<Revision>, invalid: &InvalidRules) {
        let Some(revision) = revision else { return };
        tell::refused(vm, (&self.site, &self.cache.instance), &revision, invalid);
        self.poller.refuse(revision);
    }

    /// Counts a failure of polling, and logs it unless that is what was logged last.
    fn complain<H: Host>(&mut self, vm: &mut Vm<'_, H>, failure: &Failure) {
        let name = failure.name();
        vm.metrics
            .add(vm.host, self.site.names.own(&format!("poll.failures_reason={name}")), 1);
        if self.complained != Some(name) {
            self.complained = Some(name);
            tell::failed(vm.host, &self.cache.instance, &self.cache.cluster, failure);
        }
    }
}
