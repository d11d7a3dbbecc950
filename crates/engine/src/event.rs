//! `MatchedRule`: what a match says to those who read logs. No IO.

use std::fmt;

use coraza_seclang::Location;
use coraza_seclang::rules::{Phase, RuleId, Severity};

/// A rule that matched, with its whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedRule {
    /// Its number.
    pub id: Option<RuleId>,
    /// When it ran.
    pub phase: Phase,
    /// Where it stands.
    pub location: Location,
    /// `msg`, its macros expanded.
    pub message: String,
    /// `logdata`, its macros expanded.
    pub data: String,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `tag`, in order, their macros expanded.
    pub tags: Vec<String>,
    /// `rev`.
    pub rev: String,
    /// `ver`.
    pub ver: String,
    /// `maturity`, 0 to 9.
    pub maturity: u8,
    /// `accuracy`, 0 to 9.
    pub accuracy: u8,
    /// The last operator that matched, with its argument.
    pub operator: String,
    /// The variable that matched last, as `ARGS:name`; empty for an action without condition.
    pub variable: String,
    /// Its value, before the transformations.
    pub value: String,
    /// What the rule did: `deny`, `drop`, `redirect`, `allow`; nothing if it passed or was not allowed to act.
    pub action: Option<&'static str>,
    /// Whether it belongs in the error log.
    pub log: bool,
    /// Whether it belongs in the audit log.
    pub audit: bool,
}

/// How many bytes of a text an event holds: as in Coraza, so that a line of a log stays one that can be read.
const MAX_TEXT: usize = 280;

/// A text of the wire as a log may show it: printable ASCII, everything else as `\xHH`, and only so much of it.
pub(crate) fn escape(text: &[u8]) -> String {
    let shown = text.get(..MAX_TEXT).unwrap_or(text);
    let mut escaped = String::with_capacity(shown.len());
    for byte in shown {
        match byte {
            b'"' => escaped.push_str("\\\""),
            b'\\' => escaped.push_str("\\\\"),
            b' '..=b'~' => escaped.push(char::from(*byte)),
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

impl fmt::Display for MatchedRule {
    /// As ModSecurity writes it to the error log, because people search for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Some("deny" | "drop" | "redirect") => write!(f, "Access denied (phase {}).", self.phase.number())?,
            _ => f.write_str("Warning.")?,
        }
        write!(f, " Matched \"{}\" against variable `{}'", self.operator, self.variable)?;
        write!(f, " (Value: `{}')", self.value)?;
        if let Some(id) = self.id {
            write!(f, " [id \"{id}\"]")?;
        }
        write!(
            f,
            " [rev \"{}\"] [msg \"{}\"] [data \"{}\"]",
            self.rev, self.message, self.data
        )?;
        let severity = self.severity.map_or(0, Severity::number);
        write!(f, " [severity \"{severity}\"] [ver \"{}\"]", self.ver)?;
        write!(f, " [maturity \"{}\"] [accuracy \"{}\"]", self.maturity, self.accuracy)?;
        self.tags.iter().try_for_each(|tag| write!(f, " [tag \"{tag}\"]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(escape(b"a\"b\\c\n\xff~"), "a\\\"b\\\\c\\x0a\\xff~");
        assert_eq!(escape(&[b'a'; 300]).len(), MAX_TEXT);
    }
}
