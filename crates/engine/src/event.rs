//! `MatchedRule`: what a match says to those who read logs. No IO.

use std::sync::Arc;

use coraza_seclang::Location;
use coraza_seclang::rules::{Phase, RuleId, Severity, Template};

use crate::anomaly::AnomalyScores;
use crate::collection::Bytes;
use crate::program::{Member, Rule};
use crate::transaction::{LastMatch, State};

/// A rule that matched, with its whole chain. All texts of the wire are cut and shown as printable ASCII, other bytes as `\xHH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedRule {
    /// Its number.
    pub id: Option<RuleId>,
    /// When it ran.
    pub phase: Phase,
    /// The name of the source that it stands in; empty if that isn't known.
    pub file: Arc<str>,
    /// Its line there, from 1; 0 if that isn't known.
    pub line: u32,
    /// The same in bytes.
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
    /// The last operator that matched, with its argument: `@rx ^a`.
    pub operator: String,
    /// The variable that matched last, as `ARGS:name`; empty for an action without condition.
    pub variable: String,
    /// Its value, before the transformations.
    pub value: String,
    /// What the rule did: `deny`, `drop`, `redirect`, `allow`; nothing if it passed or was not allowed to act.
    pub action: Option<&'static str>,
    /// The status that it answered with, if it interrupted the transaction.
    pub status: Option<u16>,
    /// What the anomalies added up to, this match included.
    pub scores: AnomalyScores,
    /// Whether it belongs in the error log.
    pub log: bool,
    /// Whether it belongs in the audit log.
    pub audit: bool,
}

/// How many matches a transaction remembers: more than the Core Rule Set has rules. What interrupts it is always remembered.
const MAX_EVENTS: usize = 1024;
/// How many bytes of a value an event holds, as in ModSecurity: a line of a log must stay one that can be read.
const MAX_VALUE: usize = 100;
/// The same of an operator's argument and of `logdata`.
const MAX_DATA: usize = 200;
/// The same of other texts, as in Coraza.
const MAX_TEXT: usize = 280;

impl State {
    /// Remembers the match of a rule. `acted` is what it did with the transaction, and the status if that ended it.
    pub(crate) fn remember(&mut self, rule: &Rule, acted: Option<(&'static str, Option<u16>)>) {
        let ended = acted.is_some_and(|(_, status)| status.is_some());
        if self.matched.len() < MAX_EVENTS || ended {
            let event = self.event(rule, acted);
            self.matched.push(event);
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    fn event(&self, rule: &Rule, acted: Option<(&'static str, Option<u16>)>) -> MatchedRule {
        let last = |part: fn(&LastMatch) -> &Bytes, limit| {
            let text = self.last_match.as_ref().map(part);
            escape(text.map(|text| &**text).unwrap_or_default(), limit)
        };
        // Of several in a chain, the last one: it knows most. Expanded now, when the whole chain has matched.
        let said = |text: fn(&Member) -> Option<&Template>, limit| {
            let template = rule.members.iter().rev().find_map(text);
            template
                .map(|template| escape(&self.expand(template), limit))
                .unwrap_or_default()
        };
        let tags = rule.tags.iter();
        MatchedRule {
            id: rule.id,
            phase: rule.phase,
            file: Arc::clone(&rule.file),
            line: rule.line,
            location: rule.location,
            message: said(|member| member.msg.as_ref(), MAX_TEXT),
            data: said(|member| member.log_data.as_ref(), MAX_DATA),
            severity: rule.members.iter().rev().find_map(|member| member.severity),
            tags: tags.map(|tag| escape(&self.expand(tag), MAX_TEXT)).collect(),
            rev: escape(&rule.rev, MAX_TEXT),
            ver: escape(&rule.ver, MAX_TEXT),
            maturity: rule.maturity,
            accuracy: rule.accuracy,
            operator: last(|last| &last.operator, MAX_DATA),
            variable: last(|last| &last.variable, MAX_TEXT),
            value: last(|last| &last.value, MAX_VALUE),
            action: acted.map(|(action, _)| action),
            status: acted.and_then(|(_, status)| status),
            scores: self.anomaly_scores(),
            log: rule.logging.log,
            audit: rule.logging.auditlog,
        }
    }
}

/// A text of the wire as a log may show it: printable ASCII, everything else as `\xHH`, and only so much of it.
pub(crate) fn escape(text: &[u8], limit: usize) -> String {
    let shown = text.get(..limit).unwrap_or(text);
    let mut escaped = String::with_capacity(shown.len());
    for byte in shown {
        match byte {
            b' '..=b'~' => escaped.push(char::from(*byte)),
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if shown.len() < text.len() {
        escaped.push_str(&format!(" ({} characters omitted)", text.len() - shown.len()));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(escape(b"a\"b\\c\n\xff~", 10), r#"a"b\c\x0a\xff~"#);
        assert_eq!(escape(b"abcdef", 4), "abcd (2 characters omitted)");
        let longest = 4 * MAX_TEXT + " (4720 characters omitted)".len();
        assert_eq!(escape(&[0; 5000], MAX_TEXT).len(), longest);
    }
}
