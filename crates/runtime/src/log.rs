//! Structured logs on standard error: one JSON object a line, or text for a person at a terminal.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The flags that say what is logged and how.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// How a log line is written.
    #[arg(long, env = "CORAZA_LOG_FORMAT", value_enum, default_value_t = Format::Json)]
    pub log_format: Format,
    /// What is logged: error, warn, info, debug or trace, or a list of target=level pairs.
    #[arg(long, env = "CORAZA_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person.
    Text,
}

/// Sends the process's logs to standard error from now on. A second call changes nothing.
///
/// # Errors
/// [`InvalidLevel`] if the level is none.
pub fn init(args: &LogArgs) -> Result<(), InvalidLevel> {
    let filter = filter(&args.log_level).map_err(|source| InvalidLevel {
        level: args.log_level.clone(),
        source,
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_ansi(terminal).with_writer(std::io::stderr);
    // An error means that a subscriber is set already, as in a test: it stays.
    let _ = match args.log_format {
        Format::Json => registry
            .with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .try_init(),
        Format::Text => registry.with(layer).try_init(),
    };
    Ok(())
}

/// What was said already, so that what is tried again and again is logged when it is news only. Bounded, since peers make up what is said.
#[derive(Debug, Default)]
pub struct News(HashSet<String>);

impl News {
    /// More than a fleet's peers have reasons; beyond it some things are said twice.
    const MOST: usize = 64;

    /// Whether this was not said of them yet; from now on it was. Numbers in what is said make no news: the time of a refusal, a count.
    pub fn is(&mut self, of: impl Display, said: &str) -> bool {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(format!(
            "{of} {}",
            said.replace(|letter: char| letter.is_ascii_digit(), "")
        ))
    }

    /// All is well again: whatever comes next is news.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// A word alone that is no level would be taken for a target, and all others would be silent.
fn filter(level: &str) -> Result<EnvFilter, Box<dyn Error + Send + Sync>> {
    for word in level.split(',').filter(|part| !part.contains(['=', '['])) {
        word.trim().parse::<LevelFilter>()?;
    }
    Ok(EnvFilter::try_new(level)?)
}

/// A `--log-level` that says no level.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {level:?} is no level and no list of target=level pairs")]
pub struct InvalidLevel {
    level: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// An error and all of its sources in one line: `Display` of an error never prints its source, so the log does, once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_no_news_until_all_is_well_again_or_much_was_said() {
        let mut news = News::default();
        assert!(news.is("10.0.0.1", "a") && news.is("10.0.0.1", "b") && news.is("10.0.0.2", "a"));
        assert!(!news.is("10.0.0.1", "a"));
        assert!(news.is("10.0.0.1", "expired, it is 1796013033"));
        assert!(!news.is("10.0.0.1", "expired, it is 1796013034"));
        news.forget();
        assert!(news.is("10.0.0.1", "a"));
        for number in 0..10_000 {
            news.is(number, "a");
            assert!(news.0.len() <= News::MOST);
        }
    }

    #[test]
    fn a_wrong_level_is_named_with_its_cause() {
        for level in ["coraza=loud", "loud", "info,loud"] {
            let args = LogArgs {
                log_format: Format::Text,
                log_level: level.into(),
            };
            let error = init(&args).expect_err("refused");
            let text = chain(&error);
            assert!(
                text.starts_with(&format!("--log-level {level:?} is no level")),
                "{text}"
            );
            assert!(text.len() > error.to_string().len(), "{text}");
        }
    }

    #[test]
    fn levels_of_all_and_of_targets_are_taken() {
        for level in [
            "info",
            "DEBUG",
            "off",
            "warn,coraza=trace",
            "coraza_controller::lease=debug,hyper=error",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }
}
