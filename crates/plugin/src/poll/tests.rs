//! Scripts and properties of the poller.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000 * MILLISECOND;

fn revision(uuid: &str, timestamp: u64) -> Revision {
    Revision {
        uuid: uuid.into(),
        timestamp,
    }
}

fn poller() -> Poller {
    Poller::new(Some(Duration::from_secs(15)))
}

/// Sends what is due, which must be `want`, and answers it after `elapsed`.
fn exchange(poller: &mut Poller, now: &mut u64, want: Want, elapsed: u64, answer: &Answer) -> Verdict {
    *now = (*now).max(poller.due());
    let request = poller.next(*now).expect("due");
    assert_eq!(request.want, want);
    poller.sent(*now, 7, request);
    assert_eq!(poller.next(*now + SECOND), None, "one call at a time");
    *now += elapsed;
    poller.answered(*now, 7, answer, 0)
}

fn status(status: u16) -> Answer {
    Answer::Failed(Failure::Status { status, reason: None })
}

/// A poller that holds `a` of time 10.
fn holding(now: &mut u64) -> Poller {
    let mut poller = poller();
    let verdict = exchange(
        &mut poller,
        now,
        Want::Rules,
        MILLISECOND,
        &Answer::Rules(revision("a", 10)),
    );
    assert_eq!(verdict, Verdict::Load(revision("a", 10)));
    poller.hold(revision("a", 10), *now);
    poller
}

#[test]
fn the_first_rules_are_asked_for_at_once_and_then_for_news() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    now += MIN_GAP;
    let request = poller.next(now).expect("due");
    let expected = Request {
        want: Want::Latest,
        if_none_match: Some("W/\"10-a\"".to_owned()),
        wait: Some(15),
        timeout: 17_000,
    };
    assert_eq!(request, expected);
    let verdict = exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        5 * SECOND,
        &Answer::Latest(revision("b", 20)),
    );
    assert_eq!(
        (verdict, poller.due()),
        (Verdict::Changed, now),
        "news are fetched at once"
    );
    let verdict = exchange(&mut poller, &mut now, Want::Rules, 0, &Answer::Rules(revision("c", 30)));
    assert_eq!(
        verdict,
        Verdict::Load(revision("c", 30)),
        "the body's own revision counts"
    );
}

#[test]
fn a_cache_that_waits_is_asked_again_and_one_that_does_not_at_the_interval() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        15 * SECOND,
        &Answer::NotModified { waited: true },
    );
    assert_eq!(poller.due(), now + MIN_GAP);
    exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        SECOND / 2,
        &Answer::NotModified { waited: false },
    );
    assert_eq!(poller.due(), now + 14 * SECOND + SECOND / 2);
    // The Go cache.
    let verdict = exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        0,
        &Answer::Latest(revision("a", 10)),
    );
    assert_eq!((verdict, poller.due()), (Verdict::Unchanged, now + 15 * SECOND));
}

#[test]
fn a_cache_that_lies_about_waiting_is_not_asked_in_a_circle() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    let began = now;
    for _ in 0..12 {
        exchange(
            &mut poller,
            &mut now,
            Want::Latest,
            0,
            &Answer::NotModified { waited: true },
        );
    }
    assert!(now - began > 40 * SECOND, "{}", now - began);
}

#[test]
fn failures_back_off_from_100_milliseconds_to_5_seconds() {
    let mut now = 1_000 * SECOND;
    let mut poller = poller();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let verdict = exchange(&mut poller, &mut now, Want::Rules, 0, &status(403));
        assert!(matches!(verdict, Verdict::Failed(_)));
        pauses.push((poller.due() - now) / MILLISECOND);
    }
    assert_eq!(pauses, [100, 150, 300, 600, 1_200, 2_400, 3_750, 3_750, 3_750]);
    exchange(&mut poller, &mut now, Want::Rules, 0, &Answer::Rules(revision("a", 10)));
    poller.hold(revision("a", 10), now);
    exchange(&mut poller, &mut now, Want::Latest, 0, &status(503));
    assert_eq!(poller.due() - now, MIN_GAP, "success begins anew");
}

#[test]
fn cut_waits_are_no_failures_but_end_waiting_when_they_repeat() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    for _ in 0..MAX_CUTS {
        assert!(poller.next(poller.due()).expect("due").wait.is_some());
        assert_eq!(
            exchange(&mut poller, &mut now, Want::Latest, 5 * SECOND, &status(504)),
            Verdict::Cut
        );
    }
    let request = poller.next(poller.due()).expect("due");
    assert_eq!((request.wait, request.timeout), (None, 2_000));
    now += WITHOUT_WAITS;
    assert!(poller.next(now).expect("due").wait.is_some(), "it is tried again later");
    assert!(matches!(
        exchange(&mut poller, &mut now, Want::Latest, 0, &status(503)),
        Verdict::Failed(_)
    ));
}

#[test]
fn a_bad_revision_is_remembered_and_waited_away() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        SECOND,
        &Answer::Latest(revision("bad", 20)),
    );
    exchange(
        &mut poller,
        &mut now,
        Want::Rules,
        0,
        &Answer::Rules(revision("bad", 20)),
    );
    poller.refuse(revision("bad", 20));
    now = poller.due();
    assert_eq!(
        poller.next(now).expect("due").if_none_match.as_deref(),
        Some("W/\"20-bad\"")
    );
    let verdict = exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        0,
        &Answer::Latest(revision("bad", 20)),
    );
    assert_eq!((verdict, poller.due()), (Verdict::Unchanged, now + 15 * SECOND));
    let verdict = exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        0,
        &Answer::Latest(revision("a", 30)),
    );
    assert_eq!(verdict, Verdict::Renewed(revision("a", 30)), "the good one is back");
    assert!(
        poller.wants(&revision("bad", 40)),
        "and what was bad may be tried once more"
    );
}

#[test]
fn nothing_older_is_taken() {
    let mut now = 1_000 * SECOND;
    let mut poller = holding(&mut now);
    let stale = Verdict::Failed(Failure::Stale);
    assert_eq!(
        exchange(
            &mut poller,
            &mut now,
            Want::Latest,
            SECOND,
            &Answer::Latest(revision("z", 9))
        ),
        stale
    );
    exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        SECOND,
        &Answer::Latest(revision("b", 20)),
    );
    assert_eq!(
        exchange(&mut poller, &mut now, Want::Rules, 0, &Answer::Rules(revision("z", 9))),
        stale
    );
    exchange(
        &mut poller,
        &mut now,
        Want::Latest,
        SECOND,
        &Answer::Latest(revision("b", 20)),
    );
    let verdict = exchange(&mut poller, &mut now, Want::Rules, 0, &Answer::Rules(revision("a", 10)));
    assert_eq!(verdict, Verdict::Unchanged, "a replica that lags");
    assert!(poller.due() >= now + MIN_GAP);
}

#[test]
fn polling_that_is_off_still_fetches_the_first_rules() {
    let mut now = 1_000 * SECOND;
    let mut poller = Poller::new(None);
    exchange(&mut poller, &mut now, Want::Rules, 0, &status(503));
    assert!(poller.due() < NEVER);
    exchange(&mut poller, &mut now, Want::Rules, 0, &Answer::Rules(revision("a", 10)));
    poller.hold(revision("a", 10), now);
    assert_eq!(poller.due(), NEVER);
    poller.reconfigure(Some(Duration::from_secs(5)));
    assert_eq!(poller.next(now).expect("due").wait, Some(5));
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let now = 1_000 * SECOND;
    let mut poller = poller();
    poller.sent(now, 1, poller.next(now).expect("due"));
    assert!(!poller.give_up(now + 13 * SECOND, 0));
    assert!(poller.give_up(now + 13 * SECOND + 1, 0));
    assert_eq!(
        poller.answered(now, 1, &status(200), 0),
        Verdict::Unexpected,
        "too late"
    );
    assert!(!poller.give_up(NEVER, 0));
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Answer(Answer),
    Loaded(bool),
    NotSent,
    Reconfigured,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let revision = ("[a-d]", 0_u64..50).prop_map(|(uuid, timestamp)| revision(&uuid, timestamp));
    let answer = prop_oneof![
        any::<bool>().prop_map(|waited| Answer::NotModified { waited }),
        revision.clone().prop_map(Answer::Latest),
        revision.prop_map(Answer::Rules),
        (100_u16..600).prop_map(status),
        Just(Answer::Failed(Failure::Lost)),
    ];
    let event = prop_oneof![
        3 => (0_u64..20_000).prop_map(|milliseconds| Event::Pass(milliseconds * MILLISECOND)),
        4 => answer.prop_map(Event::Answer),
        2 => any::<bool>().prop_map(Event::Loaded),
        1 => Just(Event::NotSent),
        1 => Just(Event::Reconfigured),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    /// Whatever the cache says: polls keep their distance, nothing older is loaded, and polling never ends.
    #[test]
    fn no_cache_can_break_it(events in events(), random in any::<u64>()) {
        let mut poller = poller();
        let mut now = 1_000 * SECOND;
        let mut token = 0;
        let mut sent: Option<u64> = None;
        let mut loading: Option<Revision> = None;
        let mut held: Option<Revision> = None;
        for event in events {
            poller.give_up(now, random);
            if let Some(request) = poller.next(now) {
                if let Some(sent) = sent {
                    prop_assert!(now >= sent + MIN_GAP, "{now} follows {sent}");
                }
                sent = Some(now);
                token += 1;
                match event {
                    Event::NotSent => poller.refused_to_send(now, random),
                    _ => poller.sent(now, token, request),
                }
            }
            match event {
                Event::Pass(nanos) => now += nanos,
                Event::Answer(answer) => {
                    if let Verdict::Load(revision) = poller.answered(now, token, &answer, random) {
                        for known in [&held, &loading].into_iter().flatten() {
                            prop_assert!(!revision.is_older_than(known));
                            prop_assert!(revision.uuid != known.uuid);
                        }
                        loading = Some(revision);
                    }
                }
                Event::Loaded(good) => if let Some(revision) = loading.take() {
                    if good {
                        held = Some(revision.clone());
                        poller.hold(revision, now);
                    } else {
                        poller.refuse(revision);
                    }
                },
                // A new configuration asks at once.
                Event::Reconfigured => { poller.reconfigure(Some(Duration::from_secs(15))); sent = None; }
                Event::NotSent => {}
            }
            prop_assert!(poller.call.is_some() || poller.due() <= now + 24 * SECOND, "{} {now}", poller.due());
        }
    }
}
