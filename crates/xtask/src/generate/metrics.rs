//! The table of all metrics, from what each process exposes in its tests: golden files that those tests keep current. No IO.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::document::row;

/// Who exposes what.
pub(super) const SOURCES: [(&str, &str); 4] = [
    (
        "controller",
        "crates/controller/src/metrics/snapshots/coraza_controller__metrics__exposition__every_metric.snap",
    ),
    (
        "cache",
        "crates/cache/src/snapshots/coraza_cache__metrics__tests__exposition.snap",
    ),
    (
        "cache",
        "crates/cache/src/http/snapshots/coraza_cache__http__metrics__tests__exposition_has_the_names_of_the_go_operator.snap",
    ),
    ("plugin", "crates/plugin/src/metrics/catalogue.txt"),
];

/// The names that the Go operator's users know, from its documentation.
const GO_OPERATOR: &str = include_str!("metrics/go_operator.txt");

/// A metric as its table has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    help: String,
    labels: Vec<String>,
    by: Vec<&'static str>,
}

/// The table of these expositions.
///
/// # Errors
/// If one isn't an exposition, two differ about a metric, or one of the Go operator's is missing.
pub(super) fn table(expositions: &[(&'static str, String)]) -> Result<String> {
    let mut metrics = BTreeMap::new();
    for (by, exposition) in expositions {
        add(&mut metrics, by, exposition)?;
    }
    let known: Vec<&str> = GO_OPERATOR.lines().filter(|line| !line.starts_with('#')).collect();
    if let Some(missing) = known.iter().find(|name| !metrics.contains_key(**name)) {
        bail!("nothing exposes {missing}, which the Go operator has");
    }
    let mut table = String::from("| metric | type | labels | by | Go operator | what |\n|---|---|---|---|---|---|\n");
    for (name, metric) in &metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        table += &row([
            format!("`{name}`"),
            metric.kind.clone(),
            labels.join(", "),
            metric.by.join(", "),
            if known.contains(&&**name) { "yes" } else { "" }.to_owned(),
            metric.help.clone(),
        ]);
    }
    Ok(table)
}

/// Reads what one process exposes, in Prometheus' text format or OpenMetrics', which ends counters' samples, but not their families, in `_total`.
fn add(metrics: &mut BTreeMap<String, Metric>, by: &'static str, exposition: &str) -> Result<()> {
    let mut help = "";
    let mut family: Option<(&str, String)> = None;
    for line in exposition.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text
                .split_once(' ')
                .with_context(|| format!("`{line}` has no text"))?
                .1
                .trim_end_matches('.');
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            let (raw, kind) = text.split_once(' ').with_context(|| format!("`{line}` has no type"))?;
            let name = match kind {
                "counter" if !raw.ends_with("_total") && by != "plugin" => format!("{raw}_total"),
                _ => raw.to_owned(),
            };
            let metric = metrics.entry(name.clone()).or_insert_with(|| Metric {
                kind: kind.to_owned(),
                help: help.to_owned(),
                ..Metric::default()
            });
            if metric.kind != kind || metric.help != help {
                bail!("{name} is described in two ways");
            }
            if !metric.by.contains(&by) {
                metric.by.push(by);
            }
            family = Some((raw, name));
        } else if let Some((raw, name)) = &family
            && line.starts_with(raw)
            && let Some((_, labels)) = line.split_once('{')
        {
            let known = &mut metrics.get_mut(name).context("a sample without a type")?.labels;
            for label in labels.split(',').filter_map(|label| Some(label.split_once("=\"")?.0)) {
                // Of a histogram's buckets.
                if label != "le" && !known.iter().any(|known| known == label) {
                    known.push(label.to_owned());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str = "---\nsource: x\n---\n\
# HELP polls Polls that came\n# TYPE polls counter\npolls_total{code=\"200\"} 1\npolls_total{code=\"404\",why=\"a, b\"} 1\n\
# HELP took Time\n# TYPE took histogram\ntook_bucket{le=\"1\",of=\"poll\"} 1\n# HELP up Up\n# TYPE up gauge\nup 1\n# EOF\n";

    #[test]
    fn names_types_and_labels_are_read() {
        let mut metrics = BTreeMap::new();
        add(&mut metrics, "cache", EXPOSITION).unwrap();
        add(&mut metrics, "controller", "# HELP up Up\n# TYPE up gauge\n").unwrap();
        let read: Vec<_> = metrics
            .iter()
            .map(|(name, metric)| (&**name, &*metric.kind, metric.labels.join(" "), metric.by.join(" ")))
            .collect();
        let row = |name, kind, labels: &str, by: &str| (name, kind, labels.to_owned(), by.to_owned());
        assert_eq!(
            read,
            [
                row("polls_total", "counter", "code why", "cache"),
                row("took", "histogram", "of", "cache"),
                row("up", "gauge", "", "cache controller"),
            ]
        );
        let error = add(&mut metrics, "controller", "# HELP up Not up\n# TYPE up gauge\n").unwrap_err();
        assert_eq!(error.to_string(), "up is described in two ways");
    }

    #[test]
    fn a_metric_of_the_go_operator_may_not_go() {
        let error = table(&[("cache", EXPOSITION.to_owned())]).unwrap_err().to_string();
        assert!(error.contains("which the Go operator has"), "{error}");
    }
}
