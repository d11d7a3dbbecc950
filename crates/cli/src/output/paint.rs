//! Colours, by what they mean. No IO: whoever prints takes them out where nobody would see them.

use std::borrow::Cow;
use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

/// A text in a style.
pub(crate) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { style, text } = self;
        write!(f, "{style}")?;
        text.fmt(f)?;
        write!(f, "{style:#}")
    }
}

const fn color(color: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(anstyle::Color::Ansi(color)))
}

/// What is wrong, or is blocked.
pub(crate) const fn error<T: Display>(text: T) -> Painted<T> {
    let style = color(AnsiColor::Red);
    Painted { style, text }
}

/// What may be wrong.
pub(crate) const fn warning<T: Display>(text: T) -> Painted<T> {
    let style = color(AnsiColor::Yellow);
    Painted { style, text }
}

/// What is as it should be.
pub(crate) const fn good<T: Display>(text: T) -> Painted<T> {
    let style = color(AnsiColor::Green);
    Painted { style, text }
}

/// What a reader looks for.
pub(crate) const fn strong<T: Display>(text: T) -> Painted<T> {
    let style = Style::new().bold();
    Painted { style, text }
}

/// What a reader may pass over.
pub(crate) const fn faint<T: Display>(text: T) -> Painted<T> {
    let style = Style::new().dimmed();
    Painted { style, text }
}

/// A text of somebody else, which must not steer a terminal: control characters become U+FFFD.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
