//! Where answers and notices go: standard output and standard error, coloured only on a terminal. The only module that prints.

mod harmless;
pub(crate) mod paint;
mod progress;

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, Stderr, Stdout, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use serde::Serialize;

use crate::args::Format;

use harmless::harmless;
pub(crate) use progress::Progress;

/// An answer: for people as it writes itself, for programs as it serialises.
pub(crate) trait Document: Serialize {
    /// Writes it for people. Colours may be written always (see [`paint`]): where nobody would see them they are taken out.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// How a command that could be run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Well,
    /// What the command looks for was found: exit code 1.
    Found,
}

impl Outcome {
    /// `Found` if it is so.
    pub(crate) const fn found(found: bool) -> Self {
        if found { Self::Found } else { Self::Well }
    }
}

/// The exit code of a command that could not be run, as clap has it for a command line that can't be read.
pub(crate) const FAILED: u8 = 2;

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Well => Self::SUCCESS,
            Outcome::Found => Self::FAILURE,
        }
    }
}

/// Why an answer wasn't written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrintError {
    /// Standard output can't be written to.
    #[error("failed to write")]
    Write(#[from] io::Error),
    /// It can't be JSON.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// It can't be YAML.
    #[error("failed to write YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The two streams of the program.
pub(crate) struct Terminal {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
}

impl Terminal {
    /// Those of this process. `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb` mean what they mean elsewhere.
    pub(crate) fn new() -> Self {
        Self {
            out: AutoStream::auto(io::stdout()),
            err: AutoStream::auto(io::stderr()),
        }
    }

    /// Standard output.
    pub(crate) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Both streams.
    pub(crate) fn both(&mut self) -> (&mut impl Write, &mut impl Write) {
        (&mut self.out, &mut self.err)
    }

    /// Writes an answer at once, so that what reads it sees all of it or knows that it is cut.
    ///
    /// # Errors
    /// Nobody takes it. A reader that has gone away, as `head` does, has what it wanted: that is no error.
    pub(crate) fn print(&mut self, format: Format, document: &impl Document) -> Result<(), PrintError> {
        let mut text = Vec::new();
        match format {
            Format::Text => {
                document.write_text(&mut text)?;
                if let Cow::Owned(harmless) = harmless(&String::from_utf8_lossy(&text)) {
                    text = harmless.into_bytes();
                }
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut text, document)?;
                text.push(b'\n');
            }
            Format::Yaml => text.extend(serde_saphyr::to_string(document)?.into_bytes()),
        }
        match self.out.write_all(&text).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes something that is no answer, as what clears a terminal is none.
    ///
    /// # Errors
    /// Nobody takes it.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), PrintError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Says something beside the answer, on standard error. If nobody reads it, there is nobody to tell.
    pub(crate) fn note(&mut self, text: impl std::fmt::Display) {
        let _ = writeln!(self.err, "{}", harmless(&text.to_string()));
    }

    /// Says why the command could not be run.
    pub(crate) fn fail(&mut self, error: &(dyn Error + 'static)) {
        self.note(format_args!("{}: {}", paint::error("Error"), chain(error)));
    }
}

/// An error with its causes, as one line. What an error has said of its cause isn't said again.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}
