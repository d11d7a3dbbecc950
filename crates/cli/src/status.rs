//! `status`: Engines, RuleSets and their revisions, caches, and who enforces what; once, again and again, or until it is as wanted.

mod follow;
pub(crate) mod goal;
mod model;
mod names;
mod text;

use std::io::{self, IsTerminal as _, Write};

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::args::{Status as Args, StatusFormat};
use crate::caches::{self, CachesView};
use crate::cluster::{Cluster, ClusterError};
use crate::output::{Document, Outcome, PrintError, Terminal};
use crate::status::follow::{Objects, follow};
use crate::status::goal::Verdict;
use crate::status::model::Status;
use crate::status::names::{InvalidName, Names};
use crate::status::text::Style;

/// Clears a terminal and begins at its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Why `status` could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    /// There is no way to the API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A name that can't be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The API server doesn't give the objects.
    #[error("failed to read {kind}")]
    Read {
        /// Of which kind.
        kind: &'static str,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// The API server doesn't tell of changes.
    #[error("failed to watch {kind}")]
    Watch {
        /// Of which kind.
        kind: &'static str,
        /// Why not.
        #[source]
        source: Box<kube::runtime::watcher::Error>,
    },
    /// Nobody takes the answer.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// What is asked for, and how it is to be answered.
struct Question<'a> {
    args: &'a Args,
    names: Names,
    cluster: Cluster,
}

/// Runs it.
pub(crate) async fn run(args: &Args, terminal: &mut Terminal) -> Result<Outcome, StatusError> {
    let names = Names::parse(&args.names)?;
    let cluster = Cluster::connect(&args.cluster).await?;
    let question = Question { args, names, cluster };
    match args.wait_for {
        Some(_) => question.wait(terminal).await,
        None if args.watch => question.watch(terminal).await,
        None => question.show(terminal).await,
    }
}

impl Question<'_> {
    fn namespace(&self) -> Option<&str> {
        (!self.args.all_namespaces).then_some(self.cluster.namespace.as_str())
    }

    async fn show(&self, terminal: &mut Terminal) -> Result<Outcome, StatusError> {
        let objects = Objects::list(&self.cluster.client, self.namespace()).await?;
        let status = self.status(&objects).await;
        terminal.print(self.args.format.format(), &self.answer(&status))?;
        Ok(Outcome::found(self.tell_missing(&objects, terminal)))
    }

    /// Says which of the names are nobody's; whether there are such.
    fn tell_missing(&self, objects: &Objects, terminal: &mut Terminal) -> bool {
        let missing = self.names.missing(objects);
        for name in &missing {
            terminal.note(format_args!(
                "Error: not found in namespace {}: {name}",
                self.cluster.namespace
            ));
        }
        !missing.is_empty()
    }

    async fn status(&self, objects: &Objects) -> Status {
        let view = caches::view(&self.cluster.client, self.args.operator_namespace.as_deref()).await;
        self.status_with(objects, view)
    }

    fn status_with(&self, objects: &Objects, caches: CachesView) -> Status {
        let (engines, rule_sets) = self.names.select(objects);
        let all: Vec<_> = objects.engines.values().collect();
        Status::of(&engines, &rule_sets, &all, caches)
    }

    fn answer<'a>(&self, status: &'a Status) -> Answer<'a> {
        let style = Style {
            wide: self.args.format == StatusFormat::Wide,
            namespaces: self.args.all_namespaces,
            now: Timestamp::now(),
        };
        Answer { status, style }
    }

    /// Until nobody looks any more.
    async fn watch(&self, terminal: &mut Terminal) -> Result<Outcome, StatusError> {
        let in_place = io::stdout().is_terminal() && self.args.format.format() == crate::args::Format::Text;
        let lines = !in_place && self.args.format.format() == crate::args::Format::Text;
        let mut changes = std::pin::pin!(follow(&self.cluster.client, self.namespace()));
        let mut before: Option<Status> = None;
        while let Some(objects) = changes.next().await {
            // Lines tell of objects only: nobody has to be asked for the caches.
            let status = if lines {
                self.status_with(&objects?, not_asked())
            } else {
                self.status(&objects?).await
            };
            if before.as_ref() == Some(&status) {
                continue;
            }
            if lines {
                terminal.print(
                    crate::args::Format::Text,
                    &Changes {
                        before: before.as_ref(),
                        after: &status,
                    },
                )?;
            } else {
                if in_place {
                    terminal.write(CLEAR)?;
                }
                terminal.print(self.args.format.format(), &self.answer(&status))?;
            }
            before = Some(status);
        }
        Ok(Outcome::Well)
    }

    async fn wait(&self, terminal: &mut Terminal) -> Result<Outcome, StatusError> {
        let Some(goal) = self.args.wait_for else {
            return Ok(Outcome::Well);
        };
        let forever = self.args.timeout.is_zero();
        let end = tokio::time::Instant::now() + self.args.timeout;
        let mut changes = std::pin::pin!(follow(&self.cluster.client, self.namespace()));
        let mut seen = "the API server has not answered".to_owned();
        loop {
            let next = async {
                if forever {
                    Ok(changes.next().await)
                } else {
                    tokio::time::timeout_at(end, changes.next()).await
                }
            };
            let Ok(Some(objects)) = next.await else {
                terminal.note(format_args!("Error: timed out after {:?}: {seen}", self.args.timeout));
                return Ok(Outcome::Found);
            };
            let objects = objects?;
            if self.tell_missing(&objects, terminal) {
                return Ok(Outcome::Found);
            }
            let status = self.status_with(&objects, not_asked());
            if status.engines.is_empty() && status.rule_sets.is_empty() {
                terminal.note(format_args!(
                    "Error: there is no Engine and no RuleSet in namespace {}",
                    self.cluster.namespace
                ));
                return Ok(Outcome::Found);
            }
            match goal.judge(&status, self.args.revision.as_deref()) {
                Verdict::Met => {
                    // With the caches, which were of no interest before.
                    let status = self.status(&objects).await;
                    terminal.print(self.args.format.format(), &self.answer(&status))?;
                    return Ok(Outcome::Well);
                }
                Verdict::NotYet(missing) => {
                    if missing != seen {
                        terminal.note(format_args!("waiting: {missing}"));
                    }
                    seen = missing;
                }
            }
        }
    }
}

fn not_asked() -> CachesView {
    CachesView::Unknown {
        why: "nobody asked".to_owned(),
    }
}

/// The answer, with how it is written for people.
struct Answer<'a> {
    status: &'a Status,
    style: Style,
}

impl Serialize for Answer<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.status.serialize(serializer)
    }
}

impl Document for Answer<'_> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.status.write(self.style, out)
    }
}

/// What changed, a line for each object.
#[derive(Serialize)]
struct Changes<'a> {
    before: Option<&'a Status>,
    after: &'a Status,
}

impl Document for Changes<'_> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let before = self.before.map(text::lines).unwrap_or_default();
        let after = text::lines(self.after);
        for (object, line) in &after {
            if before.get(object) != Some(line) {
                writeln!(out, "{object}  {line}")?;
            }
        }
        for object in before.keys().filter(|object| !after.contains_key(*object)) {
            writeln!(out, "{object}  gone")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
