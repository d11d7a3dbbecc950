//! What our controller has asked of the API server, from the API server's own audit log.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The controller's user name.
const CONTROLLER: &str = "system:serviceaccount:coraza-system:coraza-controller";

/// A place in the log, from which on requests are counted.
pub(super) struct Mark {
    log: PathBuf,
    offset: usize,
}

/// Requests by verb and resource: `patch engines/status`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Requests(BTreeMap<String, usize>);

/// The part of an audit event that is counted by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: Option<String>,
    subresource: Option<String>,
}

impl Mark {
    /// The end of the log as it is now.
    pub(super) fn now(log: &std::path::Path) -> Result<Self> {
        let offset = fs::metadata(log).context("the API server writes no audit log")?.len();
        Ok(Self {
            log: log.to_owned(),
            offset: usize::try_from(offset)?,
        })
    }

    /// What was asked since.
    pub(super) fn since(&self) -> Result<Requests> {
        let bytes = fs::read(&self.log)?;
        let new = bytes.get(self.offset..).context("the audit log has shrunk")?;
        Ok(Requests::read(&String::from_utf8_lossy(new)))
    }
}

impl Requests {
    /// Counts whole lines; the last one may be being written.
    fn read(lines: &str) -> Self {
        let mut requests = Self::default();
        for event in lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Event>(line).ok())
        {
            if event.user.username != CONTROLLER {
                continue;
            }
            let object = event.object_ref.map(|object| match object {
                ObjectRef {
                    resource: Some(resource),
                    subresource: Some(sub),
                } => format!("{resource}/{sub}"),
                ObjectRef { resource, .. } => resource.unwrap_or_default(),
            });
            let name = format!("{} {}", event.verb, object.unwrap_or_else(|| "other".to_owned()));
            *requests.0.entry(name).or_default() += 1;
        }
        requests
    }

    /// All of them but those for the Lease, which is renewed whatever there is to do.
    pub(super) fn total(&self) -> usize {
        self.sum(|name| !name.ends_with(" leases"))
    }

    /// Those of [`total`](Self::total) that write.
    pub(super) fn writes(&self) -> usize {
        let reads = ["get ", "list ", "watch "];
        self.sum(|name| !name.ends_with(" leases") && !reads.iter().any(|read| name.starts_with(read)))
    }

    fn sum(&self, counts: impl Fn(&str) -> bool) -> usize {
        self.0
            .iter()
            .filter(|(name, _)| counts(name))
            .map(|(_, count)| count)
            .sum()
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
        f.write_str(&each.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_controller_are_counted_and_the_lease_apart() {
        let line = |user: &str, verb: &str, resource: &str, sub: &str| {
            let sub = if sub.is_empty() {
                String::new()
            } else {
                format!(r#","subresource":"{sub}""#)
            };
            format!(
                r#"{{"verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"{resource}"{sub}}}}}"#
            )
        };
        let lines = [
            line(CONTROLLER, "patch", "engines", "status"),
            line(CONTROLLER, "patch", "engines", "status"),
            line(CONTROLLER, "watch", "pods", ""),
            line(CONTROLLER, "update", "leases", ""),
            line("somebody", "create", "pods", ""),
            r#"{"verb":"patch","user":{"usern"#.to_owned(),
        ];
        let requests = Requests::read(&lines.join("\n"));
        assert_eq!((requests.total(), requests.writes()), (3, 2));
        assert_eq!(
            requests.to_string(),
            "2 patch engines/status, 1 update leases, 1 watch pods"
        );
    }
}
