//! The metrics that the plugin makes, as `docs/metrics.md` has them: tests check each name that is defined against the list. Not part of the
//! module.

use crate::host::Metric;

const CATALOGUE: &str = include_str!("catalogue.txt");

/// Checks that a name which is given to the host is one of the catalogue's, of its kind, with its labels in their order.
///
/// # Panics
/// If it isn't.
pub(crate) fn check(kind: Metric, name: &str) {
    let plain: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '_' })
        .collect();
    if !plain.starts_with("coraza_waf_") && !plain.starts_with("waf_filter_") {
        return;
    }
    let types = CATALOGUE
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let (family, described) = types
        .filter(|(family, _)| plain.starts_with(family))
        .max_by_key(|(family, _)| family.len())
        .unwrap_or_else(|| panic!("{name} is not in metrics/catalogue.txt"));
    // A histogram is a counter for each bucket.
    let expected = match kind {
        Metric::Gauge => "gauge",
        Metric::Counter if described == "histogram" => "histogram",
        Metric::Counter => "counter",
    };
    assert_eq!(described, expected, "{name}");
    let sample = CATALOGUE
        .lines()
        .find(|line| line.starts_with(family))
        .expect("a sample for each type");
    let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
    let mut rest = plain.strip_prefix(family).expect("a prefix");
    for label in labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)) {
        let (_, after) = rest
            .split_once(&format!("_{label}_"))
            .unwrap_or_else(|| panic!("{name} has no {label}, or not in its place"));
        rest = after;
    }
}
