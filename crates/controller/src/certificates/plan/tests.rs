//! Histories of a leader and of peers that read late, each verifying the other as TLS does; and single decisions.

use std::sync::Arc;

use coraza_runtime::tls::is_for;
use proptest::prelude::*;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;

use super::super::content::{Data, roots, unix};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// How late peers read.
const LATE: Duration = Duration::from_secs(120);

fn policy() -> Policy {
    let name = |peer: Peer| vec![format!("coraza-{}", peer.name())];
    Policy {
        authority_life: 120 * HOUR,
        leaf_life: 30 * HOUR,
        delay: LATE,
        names: Peer::ALL.map(|peer| (peer, name(peer))).into(),
    }
}

fn start() -> Timestamp {
    "2026-11-30T00:00:00Z".parse().expect("a time")
}

/// The Secrets as the API server has them, and a clock.
struct Cluster {
    now: Timestamp,
    authority: (Data, BTreeMap<String, String>),
    leaves: BTreeMap<Peer, Data>,
    policy: Policy,
}

impl Cluster {
    fn new() -> Self {
        Self {
            now: start(),
            authority: Default::default(),
            leaves: Peer::ALL.map(|peer| (peer, Data::new())).into(),
            policy: policy(),
        }
    }

    fn authority(&self) -> Authority {
        Authority::read(&self.authority.0, &self.authority.1)
    }

    fn leaf(&self, peer: Peer) -> Leaf {
        Leaf::read(&self.leaves[&peer])
    }

    fn observed(&self) -> Observed {
        Observed {
            authority: Some(self.authority()),
            leaves: Peer::ALL.map(|peer| (peer, self.leaf(peer))).into(),
        }
    }

    fn next(&self) -> Step {
        next(&self.observed(), &self.policy, self.now).expect("issued")
    }

    /// The leader's next step. Gives why something was written.
    fn step(&mut self) -> Option<&'static str> {
        match self.next() {
            Step::Authority(authority, why) => {
                let annotations = authority.annotations().into_iter();
                let annotations = annotations.filter_map(|(name, value)| Some((name.to_owned(), value?)));
                self.authority = (authority.data(), annotations.collect());
                assert_eq!(self.authority(), authority, "what is written is what is read");
                Some(why)
            }
            Step::Leaf(peer, leaf, why) => {
                self.leaves.insert(peer, leaf.data());
                assert_eq!(self.leaf(peer), leaf, "what is written is what is read");
                Some(why)
            }
            Step::Wait(until) => {
                assert!(until > self.now);
                None
            }
        }
    }

    /// The leader at work until nothing is due.
    fn settle(&mut self) -> Vec<&'static str> {
        let steps: Vec<_> = std::iter::from_fn(|| self.step()).take(20).collect();
        assert!(steps.len() < 20, "never at rest: {steps:?}");
        steps
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).expect("a time");
    }

    fn signer(&self) -> Certificate {
        self.authority().signer.expect("a ca").certificate
    }
}

/// Whether a cache and a controller with these files connect.
fn connect(controller: &Leaf, cache: &Leaf, now: Timestamp) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let shown = |leaf: &Leaf| leaf.pair.as_ref().expect("a certificate").certificate.der().clone();
    let trusted = |leaf: &Leaf| Arc::new(roots(&leaf.trusted).expect("certificates"));
    let client = WebPkiServerVerifier::builder_with_provider(trusted(cache), Arc::clone(&provider)).build();
    let name = ServerName::try_from("coraza-controller").expect("a name");
    client
        .expect("roots")
        .verify_server_cert(&shown(controller), &[], &name, &[], unix(now))
        .map_err(|error| format!("the cache refuses: {error}"))?;
    let server = WebPkiClientVerifier::builder_with_provider(trusted(controller), provider).build();
    server
        .expect("roots")
        .verify_client_cert(&shown(cache), &[], unix(now))
        .map_err(|error| format!("the controller refuses: {error}"))?;
    if is_for(&shown(cache), "coraza-cache") {
        Ok(())
    } else {
        Err("the cache is somebody else".to_owned())
    }
}

/// A process that reads its Secret at times of its own, at most [`LATE`] after the last change.
struct Reader {
    peer: Peer,
    /// Secrets as they were, since when, the newest last.
    unread: Vec<(Timestamp, Data)>,
    uses: Option<Leaf>,
}

impl Reader {
    const fn new(peer: Peer) -> Self {
        Self {
            peer,
            unread: Vec::new(),
            uses: None,
        }
    }

    fn changed(&mut self, cluster: &Cluster) {
        let data = &cluster.leaves[&self.peer];
        if self.unread.last().is_none_or(|(_, last)| last != data) {
            self.unread.push((cluster.now, data.clone()));
        }
    }

    /// Reads one of the versions that it may see now; those that are too old it may not. What can't be used changes nothing.
    fn read(&mut self, now: Timestamp, choice: usize) {
        let horizon = now.checked_sub(LATE).expect("a time");
        let oldest = self
            .unread
            .iter()
            .rposition(|(since, _)| *since <= horizon)
            .unwrap_or(0);
        let newest = self.unread.len() - 1;
        let read = oldest + choice % (newest - oldest + 1);
        self.unread.drain(..read);
        let leaf = Leaf::read(&self.unread[0].1);
        if leaf.pair.is_some() && !leaf.trusted.is_empty() {
            self.uses = Some(leaf);
        }
    }
}

/// What happens in a history. A leader is missing for less than the third of a life that is left at a renewal.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes.
    Pass(Duration),
    /// The leader takes so many steps, and is gone.
    Lead(usize),
    /// Processes read, each one of the versions that it may see.
    Read([usize; 4]),
    /// The CA's Secret is emptied.
    LoseAuthority,
    /// A peer's Secret is emptied.
    LoseLeaf(Peer),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_u64..60).prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        6 => (1_u64..180).prop_map(|minutes| Event::Pass(minutes as u32 * MINUTE)),
        4 => (1_usize..4).prop_map(Event::Lead),
        6 => any::<[usize; 4]>().prop_map(Event::Read),
        1 => Just(Event::LoseAuthority),
        1 => prop_oneof![Just(Peer::Controller), Just(Peer::Cache)].prop_map(Event::LoseLeaf),
    ]
}

fn history(events: Vec<Event>, faults: bool) -> Result<usize, TestCaseError> {
    let mut cluster = Cluster::new();
    cluster.settle();
    let peers = [Peer::Controller, Peer::Controller, Peer::Cache, Peer::Cache];
    let mut readers = peers.map(Reader::new);
    let mut signers = vec![cluster.signer()];
    let mut led = cluster.now;
    for (index, event) in events.into_iter().enumerate() {
        match event {
            Event::Pass(time) => {
                cluster.pass(time);
                // While nobody can sign, it is there.
                let absent = SignedDuration::from_hours(if cluster.authority().signer.is_some() { 6 } else { 0 });
                if cluster.now.duration_since(led) > absent {
                    led = cluster.now;
                    for _ in 0..20 {
                        cluster.step();
                        readers.iter_mut().for_each(|reader| reader.changed(&cluster));
                    }
                }
            }
            Event::Lead(steps) => {
                for _ in 0..steps {
                    if cluster.step().is_none() {
                        led = cluster.now;
                        break;
                    }
                    readers.iter_mut().for_each(|reader| reader.changed(&cluster));
                }
            }
            // One loss at a time, of a CA that had renewed what was due: else a certificate ends before anybody may sign again.
            Event::LoseAuthority if faults && cluster.authority().signer.is_some() => {
                cluster.settle();
                readers.iter_mut().for_each(|reader| reader.changed(&cluster));
                cluster.authority = Default::default();
                led = cluster.now;
            }
            // Together with the CA's it could not be made good at once.
            Event::LoseLeaf(peer) if faults && cluster.authority().signer.is_some() => {
                cluster.leaves.insert(peer, Data::new());
                cluster.settle();
            }
            Event::Read(_) | Event::LoseAuthority | Event::LoseLeaf(_) => {}
        }
        let choices = match event {
            Event::Read(choices) => choices,
            // The oldest that they may see.
            _ => [0; 4],
        };
        for (reader, choice) in readers.iter_mut().zip(choices) {
            reader.changed(&cluster);
            reader.read(cluster.now, choice);
        }
        if let Some(signer) = cluster.authority().signer
            && signers.last() != Some(&signer.certificate)
        {
            signers.push(signer.certificate);
        }
        for controller in &readers[..2] {
            for cache in &readers[2..] {
                let (Some(controller), Some(cache)) = (&controller.uses, &cache.uses) else {
                    continue;
                };
                let connected = connect(controller, cache, cluster.now);
                prop_assert!(connected.is_ok(), "event {index}: {connected:?}");
            }
        }
        // Each loss leaves a CA that is trusted until what it signed has ended.
        prop_assert!(faults || cluster.authority().trusted.len() <= 8);
    }
    Ok(signers.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn peers_that_read_late_always_verify_each_other(events in prop::collection::vec(event(), 400..500)) {
        let signers = history(events, false)?;
        // They take longer than a CA lives.
        prop_assert!(signers > 1, "no CA was replaced");
    }

    #[test]
    fn a_secret_that_is_lost_severs_nobody(events in prop::collection::vec(event(), 50..200)) {
        history(events, true)?;
    }
}

#[test]
fn empty_secrets_are_filled_the_ca_s_first() {
    let mut cluster = Cluster::new();
    assert_eq!(
        cluster.settle(),
        [
            "there was no ca",
            "there was no certificate",
            "there was no certificate"
        ]
    );
    let [controller, cache] = Peer::ALL.map(|peer| cluster.leaf(peer));
    connect(&controller, &cache, cluster.now).expect("connected");
    assert_ne!(controller.pair, cache.pair);
    assert_eq!(cluster.authority().predecessors_until, None);
    assert_eq!(cluster.authority().trusted, [cluster.signer()]);
    assert!(!cluster.leaves[&Peer::Cache].contains_key("next.key"));
}

#[test]
fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    let mut cluster = Cluster::new();
    cluster.settle();
    let before = cluster.leaf(Peer::Cache);
    cluster.pass(19 * HOUR);
    assert_eq!(cluster.settle(), [""; 0]);
    cluster.pass(HOUR);
    assert_eq!(cluster.settle(), ["two thirds of the certificate's life are over"; 2]);
    assert_ne!(cluster.leaf(Peer::Cache).pair, before.pair);
    assert_eq!(cluster.leaf(Peer::Cache).trusted, before.trusted);
}

#[test]
fn lives_as_short_as_flags_allow_are_used_for_two_thirds_and_come_to_rest() {
    let second = Duration::from_secs(1);
    let mut cluster = Cluster::new();
    // Shorter than certificates are backdated by.
    cluster.policy = Policy {
        authority_life: 270 * second,
        leaf_life: 90 * second,
        delay: 15 * second,
        ..policy()
    };
    assert_eq!(cluster.settle().len(), 3);
    let ca = cluster.signer();
    let mut written = Vec::new();
    for age in 1..=200 {
        cluster.pass(second);
        written.extend(cluster.settle().into_iter().map(|why| (age, why)));
        let [controller, cache] = Peer::ALL.map(|peer| cluster.leaf(peer));
        connect(&controller, &cache, cluster.now).expect("connected");
    }
    let renewed = "two thirds of the certificate's life are over";
    let by_another = "the certificate is not by this ca, for other names, or has expired";
    let expected = [
        (60, renewed),
        (60, renewed),
        (120, renewed),
        (120, renewed),
        (180, "two thirds of the ca's life are over"),
        (180, renewed),
        (180, renewed),
        (180, "all peers' secrets have the ca's successor"),
        (195, "the ca's successor signs from now on"),
        (195, by_another),
        (195, by_another),
    ];
    assert_eq!(written, expected);
    assert_ne!(cluster.signer(), ca);
}

#[test]
fn a_ca_is_replaced_step_by_step() {
    let mut cluster = Cluster::new();
    cluster.settle();
    let old = cluster.signer();
    cluster.pass(80 * HOUR);
    let steps = cluster.settle();
    assert_eq!(
        steps,
        [
            "two thirds of the ca's life are over",
            "the certificate is not by this ca, for other names, or has expired",
            "the certificate is not by this ca, for other names, or has expired",
            "all peers' secrets have the ca's successor",
        ],
        "a leader that was away for long"
    );
    assert_eq!(cluster.signer(), old, "not before everybody knows the successor");
    cluster.pass(LATE - Duration::from_secs(1));
    assert_eq!(cluster.settle(), [""; 0]);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.settle()[0], "the ca's successor signs from now on");
    let new = cluster.signer();
    assert!(new != old && cluster.authority().trusted == [old.clone(), new.clone()]);
    assert!(cluster.leaf(Peer::Cache).is_by([&new], cluster.now));

    // Each hour, since certificates are renewed meanwhile.
    let until = cluster.authority().predecessors_until.expect("a time");
    assert!(until >= cluster.now + policy().leaf_life);
    assert!(until < old.not_after);
    while cluster.now <= until {
        assert!(cluster.authority().trusted.contains(&old));
        cluster.pass(HOUR);
        cluster.settle();
    }
    assert_eq!(cluster.authority().trusted, std::slice::from_ref(&new));
    assert_eq!(cluster.leaf(Peer::Controller).trusted, [new]);
    assert_eq!(cluster.authority().predecessors_until, None);
}

#[test]
fn a_lost_ca_is_replaced_when_its_successor_is_known() {
    let mut cluster = Cluster::new();
    cluster.settle();
    let old = cluster.signer();
    let before = cluster.leaf(Peer::Cache);
    cluster.authority = Default::default();
    assert_eq!(
        cluster.settle()[0],
        "the ca is lost, and its successor is made known first"
    );
    assert!(cluster.authority().signer.is_none() && cluster.authority().trusted.contains(&old));
    assert_eq!(cluster.leaf(Peer::Cache).pair, before.pair);
    cluster.pass(LATE);
    assert_eq!(cluster.settle()[0], "the ca's successor signs from now on");
    assert_ne!(cluster.leaf(Peer::Cache).pair, before.pair);
}

#[test]
fn what_is_broken_or_for_other_names_is_made_anew() {
    let mut settled = Cluster::new();
    settled.settle();
    type Damage = fn(&mut Cluster);
    let broken: [(&str, Damage); 5] = [
        ("no pem", |cluster| {
            cluster
                .leaves
                .get_mut(&Peer::Cache)
                .expect("it")
                .insert("tls.crt".into(), b"garbage".to_vec());
        }),
        ("another's key", |cluster| {
            let key = cluster.leaves[&Peer::Controller]["tls.key"].clone();
            cluster
                .leaves
                .get_mut(&Peer::Cache)
                .expect("it")
                .insert("tls.key".into(), key);
        }),
        ("another's certificate", |cluster| {
            let other = cluster.leaves[&Peer::Controller].clone();
            cluster.leaves.insert(Peer::Cache, other);
        }),
        ("nobody trusted", |cluster| {
            cluster.leaves.get_mut(&Peer::Cache).expect("it").remove("ca.crt");
        }),
        ("a new name", |cluster| {
            let names = cluster.policy.names.get_mut(&Peer::Cache).expect("it");
            names.push("waf.coraza-system.svc".to_owned());
        }),
    ];
    for (what, damage) in broken {
        let mut cluster = Cluster {
            authority: settled.authority.clone(),
            leaves: settled.leaves.clone(),
            ..Cluster::new()
        };
        damage(&mut cluster);
        assert_eq!(cluster.settle().len(), 1, "{what}");
        let [controller, cache] = Peer::ALL.map(|peer| cluster.leaf(peer));
        connect(&controller, &cache, cluster.now).expect(what);
        assert!(
            cache.is_good([&cluster.signer()], &cluster.policy.names[&Peer::Cache], cluster.now),
            "{what}"
        );
        assert_eq!(cluster.signer(), settled.signer(), "{what}");
    }
}

#[test]
fn a_secret_that_can_not_be_written_keeps_its_ca_from_being_replaced() {
    let mut cluster = Cluster::new();
    cluster.settle();
    cluster.pass(81 * HOUR);
    let mut observed = cluster.observed();
    observed.leaves.remove(&Peer::Cache);
    let Step::Authority(authority, _) = next(&observed, &cluster.policy, cluster.now).expect("issued") else {
        panic!("a successor is due");
    };
    observed.authority = Some(authority);
    while let Step::Leaf(peer, leaf, _) = next(&observed, &cluster.policy, cluster.now).expect("issued") {
        observed.leaves.insert(peer, leaf);
    }
    let waits = |observed: &Observed, now| matches!(next(observed, &policy(), now), Ok(Step::Wait(_)));
    assert!(waits(&observed, cluster.now), "it is not published");
    observed.authority = None;
    assert!(waits(&observed, cluster.now), "there is nobody to sign");
}

#[test]
fn nobody_sees_a_key_in_a_log() {
    let mut cluster = Cluster::new();
    cluster.settle();
    let shown = format!("{:?}", cluster.observed());
    assert!(!shown.contains("PRIVATE"), "{shown}");
}
