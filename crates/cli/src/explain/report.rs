//! What the rules have to say about a request, for people and programs. No IO.

use std::io::{self, Write};

use coraza_engine::transaction::Report;
use coraza_engine::{Cause, Disruption, Interruption, MatchedRule};
use coraza_ftw::Response;
use coraza_seclang::rules::Phase;
use serde::Serialize;

use super::request::Sent;
use crate::output::{Document, paint};
use crate::rules::Runnable;

/// What comes of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It passes.
    Passed,
    /// It would be blocked, if the engine did more than detect.
    Detected,
    /// It is blocked.
    Blocked,
}

/// What the rules have to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    rule_set: String,
    rules: usize,
    request: ShownRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<u16>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruption: Option<ShownInterruption>,
    scores: Scores,
    matched: Vec<Match>,
    /// How many more matched than are remembered.
    forgotten: usize,
    /// Whether the rules did not see all, because their work or memory reached its limit.
    exceeded: bool,
}

#[derive(Debug, Serialize)]
struct ShownRequest {
    method: String,
    uri: String,
    protocol: String,
    headers: Vec<(String, String)>,
    #[serde(rename = "bodyBytes")]
    body_bytes: usize,
}

/// What ends the transaction, or would.
#[derive(Debug, Serialize)]
struct ShownInterruption {
    action: &'static str,
    status: u16,
    phase: u8,
    /// The rule, or what else it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// Anomaly scores, as the Core Rule Set counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Scores {
    inbound: Option<u64>,
    outbound: Option<u64>,
}

/// A rule that matched and is logged.
#[derive(Debug, Serialize)]
struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    phase: u8,
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    operator: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variable: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    scores: Scores,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Explanation {
    pub(super) fn new(runnable: &Runnable, sent: &Sent, response: Option<&Response>, report: &Report) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = &sent.request;
        Self {
            rule_set: runnable.ruleset.name.clone(),
            rules: runnable.program.rules(),
            request: ShownRequest {
                method: text(&request.method),
                uri: text(&request.uri),
                protocol: text(&request.version),
                headers: request
                    .headers
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .collect(),
                body_bytes: request.body.len(),
            },
            response_status: response.map(|response| response.status),
            verdict: match (&report.interruption, report.interrupted) {
                (None, _) => Verdict::Passed,
                (Some(_), false) => Verdict::Detected,
                (Some(_), true) => Verdict::Blocked,
            },
            interruption: report
                .interruption
                .as_ref()
                .map(|why| ShownInterruption::new(runnable, why)),
            scores: Scores {
                inbound: report.anomaly_scores.inbound,
                outbound: report.anomaly_scores.outbound,
            },
            matched: report.matched.iter().map(|rule| Match::new(runnable, rule)).collect(),
            forgotten: report.forgotten,
            exceeded: report.exceeded,
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.verdict == Verdict::Blocked
    }
}

impl ShownInterruption {
    fn new(runnable: &Runnable, interruption: &Interruption) -> Self {
        let (rule, limit) = match interruption.cause {
            Cause::Rule(id) => (id.map(|id| id.0), None),
            Cause::RequestBodyLimit => (None, Some("SecRequestBodyLimit")),
            Cause::ResponseBodyLimit => (None, Some("SecResponseBodyLimit")),
            Cause::WorkLimit => (None, Some("the work of one transaction")),
        };
        Self {
            action: interruption.action.name(),
            status: interruption.status,
            phase: interruption.phase.number(),
            place: rule.and_then(|id| runnable.place_of(id)),
            rule,
            limit,
            location: match &interruption.action {
                Disruption::Redirect(url) => Some(String::from_utf8_lossy(url).into_owned()),
                Disruption::Deny | Disruption::Drop => None,
            },
        }
    }
}

impl Match {
    fn new(runnable: &Runnable, rule: &MatchedRule) -> Self {
        Self {
            id: rule.id.map(|id| id.0),
            phase: rule.phase.number(),
            place: runnable.describe(rule.location),
            severity: rule.severity.map(coraza_seclang::rules::Severity::name),
            message: rule.message.clone(),
            data: rule.data.clone(),
            operator: rule.operator.clone(),
            variable: rule.variable.clone(),
            value: rule.value.clone(),
            action: rule.action,
            scores: Scores {
                inbound: rule.scores.inbound,
                outbound: rule.scores.outbound,
            },
            tags: rule.tags.clone(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let id = self.id.map_or_else(|| "without id".to_owned(), |id| id.to_string());
        write!(out, "  {}", paint::strong(id))?;
        write!(
            out,
            "  {}",
            paint::faint(format_args!("{}, {}", self.place, phase(self.phase)))
        )?;
        if let Some(severity) = self.severity {
            write!(out, "  {}", paint::warning(severity))?;
        }
        if let Some(action) = self.action {
            write!(out, "  {}", paint::error(action))?;
        }
        writeln!(out)?;
        if !self.message.is_empty() {
            writeln!(out, "      {}", self.message)?;
        }
        if !self.variable.is_empty() {
            writeln!(
                out,
                "      {} = {:?} {}",
                self.variable,
                Plain(&self.value),
                paint::faint(shortened(&self.operator, MOST_OPERATOR).trim_end())
            )?;
        }
        Ok(())
    }
}

/// A text between quotes that is escaped already.
struct Plain<'t>(&'t str);

impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// `phase 2 (request body)`.
fn phase(number: u8) -> String {
    let phase = Phase::ALL.into_iter().find(|phase| phase.number() == number);
    let name = match phase {
        Some(Phase::RequestHeaders) => "request headers",
        Some(Phase::RequestBody) => "request body",
        Some(Phase::ResponseHeaders) => "response headers",
        Some(Phase::ResponseBody) => "response body",
        Some(Phase::Logging) => "logging",
        None => "unknown",
    };
    format!("phase {number} ({name})")
}

impl Document for Explanation {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let ShownRequest {
            method, uri, protocol, ..
        } = &self.request;
        let line = format!("{method} {uri} {protocol}");
        writeln!(
            out,
            "{}",
            paint::strong(shortened(&line.replace(char::is_control, "?"), MOST_LINE))
        )?;
        let rules = if self.rules == 1 { "rule" } else { "rules" };
        writeln!(out, "{} {rules} of {}\n", self.rules, self.rule_set)?;
        self.write_verdict(out)?;
        let score = |score: Option<u64>| score.map_or_else(|| "not counted".to_owned(), |score| score.to_string());
        if self.scores.inbound.is_some() || self.scores.outbound.is_some() {
            let Scores { inbound, outbound } = self.scores;
            writeln!(
                out,
                "Anomaly scores: inbound {}, outbound {}",
                score(inbound),
                score(outbound)
            )?;
        }
        if self.exceeded {
            let text = "The rules did not see all: their work or memory reached its limit.";
            writeln!(out, "{}", paint::warning(text))?;
        }
        if self.matched.is_empty() {
            return writeln!(out, "\nNo rule that is logged has matched.");
        }
        writeln!(out, "\nMatched rules, in order:")?;
        for rule in &self.matched {
            rule.write(out)?;
        }
        if self.forgotten > 0 {
            writeln!(out, "  and {} more", self.forgotten)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn write_verdict(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(why) = &self.interruption else {
            let rest = match self.response_status {
                None => "the request (responses are not asked about: see --response-status)".to_owned(),
                Some(status) => format!("the request and the response with status {status}"),
            };
            return writeln!(out, "{}: no rule blocks {rest}", paint::good("PASSED"));
        };
        let verdict = match self.verdict {
            Verdict::Blocked => paint::error("BLOCKED"),
            _ => paint::warning("DETECTED, not blocked (SecRuleEngine DetectionOnly)"),
        };
        let answer = match (why.action, &why.location) {
            ("drop", _) => "the connection is closed".to_owned(),
            (_, Some(location)) => format!("status {} to {location}", why.status),
            (_, None) => format!("status {}", why.status),
        };
        let cause = match (why.rule, &why.place, why.limit) {
            (Some(rule), Some(place), _) => format!("by rule {rule} at {place}"),
            (Some(rule), None, _) => format!("by rule {rule}"),
            (None, _, Some(limit)) => format!("because a limit is reached: {limit}"),
            (None, _, None) => "by a rule without id".to_owned(),
        };
        writeln!(out, "{verdict}: {answer}, in {}, {cause}", phase(why.phase))
    }
}

/// How many characters of a request line people read.
const MOST_LINE: usize = 200;
/// The same of an operator: some regular expressions are pages long.
const MOST_OPERATOR: usize = 100;

fn shortened(line: &str, most: usize) -> String {
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}
