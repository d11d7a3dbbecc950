//! What operators see of a stream: metrics, log lines, filter state, audit records.

use std::collections::BTreeSet;

use coraza_engine::seclang::rules::{Phase, Severity};
use coraza_engine::transaction::Report;
use coraza_engine::{Cause, Interruption, MatchedRule};
use serde_json::{Value, json};

use super::{Outlets, Stream};
use crate::config::MatchLog;
use crate::host::{Host, Level};
use crate::load::phase_name;

/// Where access logs find a block: `%FILTER_STATE(wasm.io.coraza.waf.rule_id:PLAIN)%`.
const FILTER_STATE: &str = "io.coraza.waf.";
/// How much of a text of the wire a line holds.
const MAX_TEXT: usize = 256;
/// Upper bounds of the histogram of anomaly scores, which is a counter for each: wasm can't name buckets.
const SCORES: [u64; 10] = [0, 5, 10, 15, 20, 30, 40, 50, 75, 100];

impl Stream {
    /// The stream is over: phase 5, then everything that there is to say.
    pub fn log<H: Host>(&mut self, outlets: &mut Outlets<'_, H>) {
        let Some(mut transaction) = std::mem::take(&mut self.stage).end() else {
            return;
        };
        transaction.set_elapsed(std::time::Duration::from_nanos(
            outlets.host.now().saturating_sub(self.started),
        ));
        let report = transaction.log();
        self.count(outlets, &report);
        self.write_matches(outlets, &report);
        if report.interrupted {
            self.write_block(outlets, &report);
        }
        if let Some(record) = &report.audit_log {
            outlets.host.log(Level::Info, &format!("AuditLog:{record}"));
        }
    }

    fn count<H: Host>(&self, outlets: &mut Outlets<'_, H>, report: &Report) {
        let (Some(site), Some(rules)) = (&self.site, &self.rules) else {
            return;
        };
        let (host, names) = (outlets.host, &site.names);
        if !self.failed {
            self.count_request(outlets, self.outcome(report), report.anomaly_scores.inbound);
        }
        for rule in report.matched.iter().filter(|rule| rule.log) {
            let id = rules.loaded.hits.name(rule.id);
            let outcome = match (rule.action, report.interrupted) {
                (Some("deny" | "drop" | "redirect"), true) => "block",
                (Some("allow"), _) => "pass",
                _ => "detect",
            };
            let labels = [
                ("rule_id", &*id),
                ("severity", severity(rule.severity)),
                ("outcome", outcome),
            ];
            outlets.metrics.add(host, names.contract("rule_hits_total", &labels), 1);
        }
        if let Some(score) = report.anomaly_scores.inbound {
            let below = SCORES.iter().filter(|bound| score <= **bound).map(ToString::to_string);
            for bound in below.chain(["inf".to_owned()]) {
                outlets.metrics.add(
                    host,
                    names.contract("request_anomaly_score_bucket", &[("le", &bound)]),
                    1,
                );
            }
            outlets
                .metrics
                .add(host, names.contract("request_anomaly_score_count", &[]), 1);
            outlets
                .metrics
                .add(host, names.contract("request_anomaly_score_sum", &[]), score);
        }
        if let (Some(interruption), true) = (&report.interruption, report.interrupted) {
            let rule = rule_name(interruption);
            let name = names.interruptions(&rule, phase_name(interruption.phase), rules.authority.as_deref());
            outlets.metrics.add(host, name, 1);
            let severity = blocking(interruption, &report.matched).map_or("CRITICAL", |rule| severity(rule.severity));
            for category in categories(&report.matched) {
                let labels = [("category", category), ("severity", severity)];
                outlets
                    .metrics
                    .add(host, names.contract("blocked_requests_total", &labels), 1);
            }
        }
        // Also where it ends nothing: the rules saw less than they asked for.
        if report.exceeded {
            outlets.metrics.add(host, names.own("tx.work_limit"), 1);
        }
    }

    /// Counts the request, and says so in a line where that is asked for: it is as much as an access log.
    pub(super) fn count_request<H: Host>(&self, outlets: &mut Outlets<'_, H>, outcome: &str, score: Option<u64>) {
        let Some(site) = &self.site else { return };
        let name = site.names.contract("requests_total", &[("outcome", outcome)]);
        outlets.metrics.add(outlets.host, name, 1);
        if site.log_requests {
            let (engine, namespace) = site.names_in_logs();
            let line = json!({
                "event": "coraza_waf_request",
                "engine": engine,
                "namespace": namespace,
                "driver_type": "wasm",
                "outcome": outcome,
                "anomaly_score": score,
                "request_id": shown(&self.head.request_id),
            });
            outlets.host.log(Level::Warn, &line.to_string());
        }
    }

    fn outcome(&self, report: &Report) -> &'static str {
        match &report.interruption {
            Some(interruption) if report.interrupted => match interruption.action.name() {
                "redirect" => "redirect",
                _ => "block",
            },
            Some(_) => "detect",
            None if report.matched.iter().any(|rule| rule.log) => "detect",
            None => "pass",
        }
    }

    /// One line for each match, as ModSecurity writes it: tools and people search for its form.
    fn write_matches<H: Host>(&self, outlets: &mut Outlets<'_, H>, report: &Report) {
        for (severity, line) in report.error_log() {
            if let Some(suppressed) = self.admit(outlets) {
                let more = if suppressed > 0 {
                    format!(" [suppressed \"{suppressed}\"]")
                } else {
                    String::new()
                };
                outlets.host.log(level(severity), &format!("{line}{more}"));
            }
        }
    }

    /// Whether a line about a match may be logged, and how many were not since the last one.
    fn admit<H: Host>(&self, outlets: &mut Outlets<'_, H>) -> Option<u64> {
        match self.site.as_ref()?.match_log {
            MatchLog::All => Some(0),
            MatchLog::Sampled => outlets.limiter.admit(outlets.host.now()),
        }
    }

    fn write_block<H: Host>(&self, outlets: &mut Outlets<'_, H>, report: &Report) {
        let (Some(site), Some(interruption)) = (&self.site, &report.interruption) else {
            return;
        };
        let Some(suppressed) = self.admit(outlets) else { return };
        let mut line = self.block(interruption, &report.matched);
        if let Value::Object(fields) = &mut line {
            fields.insert("event".to_owned(), json!("coraza_waf_blocked_request"));
            let (engine, namespace) = site.names_in_logs();
            fields.insert("engine".to_owned(), json!(engine));
            fields.insert("namespace".to_owned(), json!(namespace));
            fields.insert("driver_type".to_owned(), json!("wasm"));
            fields.insert("method".to_owned(), json!(shown(&self.head.method)));
            fields.insert("uri".to_owned(), json!(shown(&self.head.uri)));
            fields.insert("request_id".to_owned(), json!(shown(&self.head.request_id)));
            if suppressed > 0 {
                fields.insert("suppressed".to_owned(), json!(suppressed));
            }
        }
        outlets.host.log(Level::Warn, &line.to_string());
    }

    /// What a log line and the filter state say of a block alike.
    fn block(&self, interruption: &Interruption, matched: &[MatchedRule]) -> Value {
        let rule = blocking(interruption, matched);
        // Bodies stay out of logs.
        let data = rule
            .filter(|rule| !rule.variable.starts_with("REQUEST_BODY") && !rule.variable.starts_with("RESPONSE_BODY"));
        json!({
            "rule_id": rule_name(interruption),
            "phase": phase_name(interruption.phase),
            "action": interruption.action.name(),
            "status": self.answered_with(interruption),
            "severity": rule.map_or("CRITICAL", |rule| severity(rule.severity)),
            "category": categories(matched).into_iter().next(),
            "client_ip": shown(&self.client),
            "message": rule.map(|rule| &*rule.message),
            "rule_source": rule.map(|rule| shown(rule.file.as_bytes())),
            "rule_line": rule.map(|rule| rule.line),
            "matched_data": data.map(|rule| shown(rule.data.as_bytes())),
        })
    }

    /// The status that the client sees: in the middle of a response it has seen the upstream's.
    fn answered_with(&self, interruption: &Interruption) -> u16 {
        match (interruption.phase, self.status) {
            (Phase::ResponseBody, Some(status)) => status,
            _ => interruption.status,
        }
    }

    /// Leaves the facts of a block where access logs look for them, before the answer is logged.
    pub(super) fn tell_access_logs(&self, host: &impl Host, interruption: &Interruption, matched: &[MatchedRule]) {
        if !self.site.as_ref().is_some_and(|site| site.filter_state) {
            return;
        }
        let _ = host.set_property(&format!("{FILTER_STATE}event"), b"coraza_waf_blocked_request");
        let block = self.block(interruption, matched);
        for key in [
            "rule_id",
            "phase",
            "action",
            "status",
            "severity",
            "category",
            "client_ip",
        ] {
            let text = match block.get(key) {
                _ if key == "category" => tagged(matched),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => continue,
            };
            let _ = host.set_property(&format!("{FILTER_STATE}{key}"), text.as_bytes());
        }
    }
}

/// Bytes of the wire as a line may show them: printable ASCII, anything else as `\xHH`, and only so many.
fn shown(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\x{byte:02x}"),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    bytes.iter().take(MAX_TEXT).map(escape).collect()
}

fn rule_name(interruption: &Interruption) -> String {
    match interruption.cause {
        Cause::Rule(Some(id)) => id.to_string(),
        Cause::Rule(None) => "0".to_owned(),
        Cause::RequestBodyLimit => "request_body_limit".to_owned(),
        Cause::ResponseBodyLimit => "response_body_limit".to_owned(),
        Cause::WorkLimit => "work_limit".to_owned(),
    }
}

/// The match that interrupted.
fn blocking<'a>(interruption: &Interruption, matched: &'a [MatchedRule]) -> Option<&'a MatchedRule> {
    let Cause::Rule(id) = interruption.cause else {
        return None;
    };
    matched.iter().rev().find(|rule| rule.id == id)
}

/// The names of the contract, which has five.
fn severity(of_rule: Option<Severity>) -> &'static str {
    match of_rule.map(Severity::number) {
        None | Some(0..=2) => "CRITICAL",
        Some(3) => "ERROR",
        Some(4) => "WARNING",
        Some(5) => "NOTICE",
        Some(_) => "INFO",
    }
}

/// As the Go plugin has it.
fn level(of_rule: Option<Severity>) -> Level {
    match severity(of_rule) {
        "CRITICAL" => Level::Critical,
        "ERROR" => Level::Error,
        "WARNING" => Level::Warn,
        _ => Level::Info,
    }
}

/// The kinds of attack that the rules which matched are tagged with, by the contract's names; `other` if none is.
fn categories(matched: &[MatchedRule]) -> BTreeSet<&'static str> {
    let tags = matched.iter().flat_map(|rule| &rule.tags);
    let known: BTreeSet<_> = tags.filter_map(|tag| category(tag)).collect();
    if known.is_empty() {
        BTreeSet::from(["other"])
    } else {
        known
    }
}

/// The category as access logs have it: of the first tag that names an attack, as the Go plugin does.
fn tagged(matched: &[MatchedRule]) -> String {
    let mut tags = matched.iter().flat_map(|rule| &rule.tags);
    let attack = tags
        .find_map(|tag| tag.strip_prefix("attack-"))
        .unwrap_or("other")
        .to_ascii_lowercase();
    let plain = attack
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && !attack.is_empty() && attack.len() <= 63 {
        attack
    } else {
        "other".to_owned()
    }
}

fn category(tag: &str) -> Option<&'static str> {
    Some(match tag.strip_prefix("attack-")? {
        "sqli" => "sqli",
        "xss" => "xss",
        "rce" => "rce",
        "lfi" => "lfi",
        "rfi" => "rfi",
        "command-injection" => "command_injection",
        "protocol" => "protocol_attack",
        "session-fixation" => "session_fixation",
        "java" => "java_attack",
        _ => return None,
    })
}
