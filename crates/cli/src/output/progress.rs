//! How far long work is, on standard error, and only on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many of what is counted. Where standard error is no terminal it shows nothing.
    pub(crate) fn new(what: &'static str, number: usize) -> Self {
        let bar = ProgressBar::with_draw_target(u64::try_from(number).ok(), ProgressDrawTarget::stderr());
        // A template that can't be read would leave the usual bar.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// All are done: nothing is left of the bar.
    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}
