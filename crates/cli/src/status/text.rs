//! `status` for people: tables, and below them what is wrong, in the words of the conditions. Pure but for the writer.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use coraza_api::engine::FailurePolicy;
use coraza_api::ruleset::Severity;
use k8s_openapi::jiff::Timestamp;

use crate::caches::CachesView;
use crate::output::paint;
use crate::status::model::{EngineStatus, RuleSetStatus, State, Status, age};
use crate::table::{Cell, Table};

/// The first group of a UUID: enough to tell revisions apart.
const SHORT: usize = 8;
const NOTHING: &str = "-";

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// With more columns, and whole revisions.
    pub(crate) wide: bool,
    /// With a column for the namespace, since there are several.
    pub(crate) namespaces: bool,
    /// What ages are counted to.
    pub(crate) now: Timestamp,
}

impl Status {
    /// Writes it for people.
    pub(crate) fn write(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", paint::strong("Engines"))?;
        write_engines(&self.engines, style, out)?;
        writeln!(out, "\n{}", paint::strong("RuleSets"))?;
        write_rule_sets(&self.rule_sets, style, out)?;
        write_caches(&self.caches, &self.rule_sets, out)?;
        self.write_problems(out)
    }

    fn write_problems(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut head = Some(paint::strong("Problems"));
        let mut say = |out: &mut dyn Write, what: String, (type_, state): (&str, &State)| {
            if let Some(head) = head.take() {
                writeln!(out, "\n{head}")?;
            }
            writeln!(out, "{what}: {}", sentence(type_, state))
        };
        for engine in &self.engines {
            if let Some(trouble) = engine.trouble() {
                say(out, format!("Engine {}/{}", engine.namespace, engine.name), trouble)?;
            }
        }
        for rule_set in &self.rule_sets {
            if let Some(trouble) = rule_set.trouble() {
                say(
                    out,
                    format!("RuleSet {}/{}", rule_set.namespace, rule_set.name),
                    trouble,
                )?;
            }
            write_diagnostics(rule_set, out)?;
        }
        Ok(())
    }
}

/// Each object on a line, by what it is called.
pub(crate) fn lines(status: &Status) -> BTreeMap<String, String> {
    let engines = status.engines.iter().map(|engine| {
        let pods = engine.pods.as_ref().map_or_else(
            || NOTHING.to_owned(),
            |pods| format!("{}/{}", pods.current, pods.expected),
        );
        let revision = engine.pods.as_ref().map_or(NOTHING, |pods| &pods.desired);
        let (ready, enforced) = (&engine.ready.status, &engine.enforced.status);
        let line = format!(
            "Ready={ready} Enforced={enforced} pods={pods} revision={revision}{}",
            why(engine.trouble())
        );
        (format!("engine/{}/{}", engine.namespace, engine.name), line)
    });
    let rule_sets = status.rule_sets.iter().map(|rule_set| {
        let revision = rule_set.revision.as_ref().map_or(NOTHING, |revision| &revision.uuid);
        let line = format!(
            "Ready={} revision={revision}{}",
            rule_set.ready.status,
            why(rule_set.trouble())
        );
        (format!("ruleset/{}/{}", rule_set.namespace, rule_set.name), line)
    });
    engines.chain(rule_sets).collect()
}

fn why(trouble: Option<(&'static str, &State)>) -> String {
    trouble
        .map(|(type_, state)| format!("  {}", sentence(type_, state)))
        .unwrap_or_default()
}

/// A condition in a sentence. Its message may have lines of its own, which are the diagnostics that follow anyway.
pub(crate) fn sentence(type_: &str, state: &State) -> String {
    let first = state.message.lines().next().unwrap_or_default();
    let stale = if state.current {
        ""
    } else {
        ", said of the object before its last change"
    };
    let reason = if state.reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", state.reason)
    };
    format!("{type_}={}{reason}{stale}: {first}", state.status)
}

fn write_diagnostics(rule_set: &RuleSetStatus, out: &mut dyn Write) -> io::Result<()> {
    for diagnostic in &rule_set.diagnostics {
        let severity = match diagnostic.severity {
            Severity::Error => paint::error("error"),
            Severity::Warning => paint::warning("warning"),
        };
        let (source, line, column) = (&diagnostic.source, diagnostic.line, diagnostic.column);
        let first = diagnostic.message.lines().next().unwrap_or_default();
        writeln!(out, "  {source}:{line}:{column}: {severity}: {first}")?;
    }
    match rule_set.more() {
        0 => Ok(()),
        more => writeln!(
            out,
            "  and {more} more: kubectl get ruleset {} -n {} -o yaml",
            rule_set.name, rule_set.namespace
        ),
    }
}

fn write_engines(engines: &[EngineStatus], style: Style, out: &mut dyn Write) -> io::Result<()> {
    if engines.is_empty() {
        return writeln!(out, "none");
    }
    let mut heads = vec![
        "NAME", "GATEWAY", "RULESET", "READY", "ENFORCED", "PODS", "REVISION", "AGE",
    ];
    if style.namespaces {
        heads.insert(0, "NAMESPACE");
    }
    if style.wide {
        heads.extend(["ACCEPTED", "FAILURE POLICY", "SINCE"]);
    }
    let mut table = Table::new(&heads);
    for engine in engines {
        let pods = engine.pods.as_ref().map_or_else(
            || NOTHING.to_owned(),
            |pods| format!("{}/{}", pods.current, pods.expected),
        );
        let revision = engine.pods.as_ref().map(|pods| pods.desired.as_str());
        let revision = revision.or(engine.revision.as_ref().map(|revision| revision.uuid.as_str()));
        let mut row: Vec<Cell> = vec![
            engine.name.as_str().into(),
            engine.gateway.as_str().into(),
            engine.rule_set.as_str().into(),
            cell(&engine.ready),
            cell(&engine.enforced),
            pods.into(),
            short(revision, style).into(),
            ago(engine.created.as_deref(), style.now).into(),
        ];
        if style.namespaces {
            row.insert(0, engine.namespace.as_str().into());
        }
        if style.wide {
            let policy = match engine.failure_policy {
                FailurePolicy::Fail => "fail",
                FailurePolicy::Allow => "allow",
            };
            let since = engine.pods.as_ref().map(|pods| pods.since.as_str());
            row.extend([cell(&engine.accepted), policy.into(), ago(since, style.now).into()]);
        }
        table.row(row);
    }
    table.write(out)
}

fn write_rule_sets(rule_sets: &[RuleSetStatus], style: Style, out: &mut dyn Write) -> io::Result<()> {
    if rule_sets.is_empty() {
        return writeln!(out, "none");
    }
    let mut heads = vec!["NAME", "READY", "REVISION", "RULES", "SIZE", "CACHES", "USED BY", "AGE"];
    if style.namespaces {
        heads.insert(0, "NAMESPACE");
    }
    if style.wide {
        heads.extend(["ERRORS", "WARNINGS", "CURRENT SINCE"]);
    }
    let mut table = Table::new(&heads);
    for rule_set in rule_sets {
        let revision = rule_set.revision.as_ref();
        let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let users = Some(rule_set.engines.join(",")).filter(|users| !users.is_empty());
        let mut row: Vec<Cell> = vec![
            rule_set.name.as_str().into(),
            cell(&rule_set.ready),
            short(revision.map(|revision| revision.uuid.as_str()), style).into(),
            or_nothing(revision.map(|revision| revision.rules.to_string())).into(),
            or_nothing(revision.map(|revision| size(revision.bytes))).into(),
            or_nothing(rule_set.caches.map(|held| format!("{}/{}", held.current, held.all))).into(),
            or_nothing(users).into(),
            ago(rule_set.created.as_deref(), style.now).into(),
        ];
        if style.namespaces {
            row.insert(0, rule_set.namespace.as_str().into());
        }
        if style.wide {
            let since = revision.map(|revision| revision.timestamp.as_str());
            row.extend([
                rule_set.errors.to_string().into(),
                rule_set.warnings.to_string().into(),
                ago(since, style.now).into(),
            ]);
        }
        table.row(row);
    }
    table.write(out)
}

fn write_caches(caches: &CachesView, rule_sets: &[RuleSetStatus], out: &mut dyn Write) -> io::Result<()> {
    let document = match caches {
        CachesView::Unknown { why } => return writeln!(out, "\n{}\nnot known: {why}", paint::strong("Caches")),
        CachesView::Known { controller, document } => {
            let led = if document.leading {
                "of"
            } else {
                "of a controller that does not lead,"
            };
            writeln!(out, "\n{} {led} {controller}", paint::strong("Caches"))?;
            document
        }
    };
    if document.caches.is_empty() {
        return writeln!(out, "none is subscribed");
    }
    let mut table = Table::new(&["NAME", "COMPLETE", "RULESETS", "BEHIND", "REFUSED", "GRANTS"]);
    for replica in &document.caches {
        let behind = rule_sets.iter().filter(|rule_set| {
            let held = replica.held.get(&format!("{}/{}", rule_set.namespace, rule_set.name));
            let revision = rule_set.revision.as_ref();
            revision.is_some_and(|revision| held.is_none_or(|held| held.uuid != revision.uuid))
        });
        let complete = if replica.complete {
            Cell::painted("yes", paint::good("yes"))
        } else {
            Cell::painted("no", paint::warning("no"))
        };
        table.row(vec![
            replica.replica.as_str().into(),
            complete,
            replica.held.len().to_string().into(),
            behind.count().to_string().into(),
            replica.refused.len().to_string().into(),
            replica.grants.to_string().into(),
        ]);
    }
    table.write(out)?;
    for replica in &document.caches {
        for (key, why) in &replica.refused {
            writeln!(out, "{} refused {key}: {why}", replica.replica)?;
        }
    }
    Ok(())
}

/// A condition in a cell. One that was said of an older generation has a star.
fn cell(state: &State) -> Cell {
    let text = format!("{}{}", state.status, if state.current { "" } else { "*" });
    match (state.status.as_str(), state.current) {
        ("True", true) => Cell::painted(&text, paint::good(&text)),
        ("False", _) => Cell::painted(&text, paint::error(&text)),
        _ => Cell::painted(&text, paint::warning(&text)),
    }
}

fn short(revision: Option<&str>, style: Style) -> String {
    let revision = revision.unwrap_or(NOTHING);
    let short = revision.get(..SHORT).filter(|_| !style.wide);
    short.unwrap_or(revision).to_owned()
}

fn ago(time: Option<&str>, now: Timestamp) -> String {
    age(time, now).map_or_else(|| NOTHING.to_owned(), duration)
}

/// As kubectl prints ages.
fn duration(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => match seconds % 60 {
            0 => format!("{minutes}m"),
            rest => format!("{minutes}m{rest}s"),
        },
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => match minutes % 60 {
            0 => format!("{hours}h"),
            rest => format!("{hours}h{rest}m"),
        },
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => match hours % 24 {
            0 => format!("{days}d"),
            rest => format!("{days}d{rest}h"),
        },
        691_200..63_072_000 => format!("{days}d"),
        _ => format!("{}y{}d", days / 365, days % 365),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{}Ki", bytes / 1024),
        _ => format!("{}.{}Mi", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_kubectl_s() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (7_200, "120m"),
            (10_860, "3h1m"),
            (36_000, "10h"),
            (180_000, "2d2h"),
            (8 * 86_400, "8d"),
            (800 * 86_400, "2y70d"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn sizes_are_round() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1Ki"), (1_572_864, "1.5Mi")] {
            assert_eq!(size(bytes), text);
        }
    }
}
