//! Which module an Engine runs.

use super::*;
use crate::engine::settings::tests::settings;
use proptest::prelude::*;

fn digest(number: u8) -> Digest {
    Digest::new([number; 32])
}

#[test]
fn the_engine_s_own_image_wins_over_the_operator_s() {
    let of_url = Settings {
        default_module: DefaultModule::Url("oci://default".to_owned()),
        ..settings()
    };
    for (image, settings, url) in [
        (Some("oci://own"), &of_url, "oci://own"),
        (Some("oci://own"), &settings(), "oci://own"),
        (None, &of_url, "oci://default"),
    ] {
        let module = Module::of(image, settings, Some(digest(1)), None).expect("a module");
        assert_eq!((module.url.as_str(), module.sha256), (url, None));
    }
}

#[test]
fn the_embedded_module_is_the_one_that_caches_serve_or_the_one_that_runs() {
    let settings = settings();
    let sha = "01".repeat(32);
    let url = format!("http://coraza-cache.coraza-system.svc.cluster.local:18081/plugins/coraza-{sha}.wasm");
    let embedded = Module { url, sha256: Some(sha) };
    assert_eq!(
        Module::of(None, &settings, Some(digest(1)), None),
        Some(embedded.clone())
    );
    assert_eq!(embedded.digest(), Some(digest(1)));
    assert_eq!(
        Module::of(None, &settings, None, Some(embedded.clone())),
        Some(embedded)
    );
    let other = Module {
        url: "oci://other".to_owned(),
        sha256: None,
    };
    assert_eq!(Module::of(None, &settings, None, Some(other)), None);
}

#[test]
fn a_tag_that_people_move_is_pulled_again() {
    for (url, moves) in [
        ("oci://registry.example:5000/plugin", true),
        ("oci://registry.example/plugin:latest", true),
        ("oci://registry.example:5000/plugin:1.0", false),
        ("oci://registry.example/plugin@sha256:00", false),
        ("https://example.com/plugin.wasm", true),
    ] {
        let module = Module {
            url: url.to_owned(),
            sha256: None,
        };
        assert_eq!(module.moves(), moves, "{url}");
    }
}

#[test]
fn a_roll_out_of_the_caches_changes_the_module_once() {
    let mut announced = Announced::default();
    let mut steps = Vec::new();
    for (old, new) in [
        (1, 0),
        (3, 0),
        (3, 1),
        (2, 1),
        (2, 2),
        (1, 2),
        (2, 1),
        (1, 3),
        (0, 3),
        (0, 0),
        (0, 3),
    ] {
        let counts = [(digest(1), old), (digest(2), new)];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        announced.announce(&counts);
        steps.push(announced.current().map_or(0, |digest| digest.as_bytes()[0]));
    }
    assert_eq!(steps, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    // A roll-back changes it once more, when no cache has the new one.
    assert!(!announced.announce(&[(digest(1), 2), (digest(2), 1)].into()));
    assert!(announced.announce(&[(digest(1), 3)].into()));
    assert_eq!(announced.current(), Some(digest(1)));
}

#[test]
fn after_a_restart_the_module_that_runs_stays_as_long_as_a_cache_has_it() {
    let mut announced = Announced::default();
    announced.resume(digest(2));
    announced.resume(digest(1));
    assert!(!announced.announce(&[(digest(1), 1), (digest(2), 1)].into()));
    assert_eq!(announced.current(), Some(digest(2)));
}

proptest! {
    /// Whatever caches come and go, the module isn't one that a cache lacks while another has the one before, twice.
    #[test]
    fn a_module_is_returned_to_only_when_nobody_has_the_one_after_it(
        steps in prop::collection::vec((0_usize..4, 0_usize..4, 0_usize..4), 1..40),
    ) {
        let mut announced = Announced::default();
        let mut left = BTreeSet::new();
        for (one, two, three) in steps {
            let counts: BTreeMap<_, _> = [(digest(1), one), (digest(2), two), (digest(3), three)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect();
            let before = announced.current();
            let changed = announced.announce(&counts);
            let after = announced.current();
            prop_assert_eq!(changed, before != after);
            if let (true, Some(after)) = (changed, after) {
                let held = before.is_some_and(|before| counts.contains_key(&before));
                prop_assert!(counts.contains_key(&after));
                prop_assert!(!held || !left.contains(&after), "flipped back");
                left.extend(before);
            }
        }
    }
}
