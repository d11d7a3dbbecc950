//! Streams, callback by callback.

use super::*;
use crate::config::Config;
use crate::host::mock::MockHost;
use crate::load::Loading;
use crate::poll::{Content, SourceLines};

/// A stream on a host, with rules.
struct Driver {
    host: MockHost,
    metrics: Metrics,
    limiter: Limiter,
    site: Arc<Site>,
    loaded: Rc<Loaded>,
    stream: Stream,
}

const BASE: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecRequestBodyLimit 100\n";

impl Driver {
    fn new(rules: &str) -> Self {
        Self::with(
            rules,
            r#"{"enable_filter_state_logs":true,"match_log":"all","stream_content_types":["a/stream"]}"#,
        )
    }

    fn with(rules: &str, json: &str) -> Self {
        let source = |(name, text): (&str, &str)| SourceLines {
            name: name.into(),
            // The last one has an empty line after its end.
            lines: text.lines().count() + usize::from(name != "base"),
        };
        let content = Content {
            rules: format!("{BASE}{rules}"),
            sources: [("base", BASE), ("own-rules", rules)].map(source).into(),
            files: Default::default(),
        };
        let loaded = Loading::new(content, None).finish(None).expect("rules");
        Self {
            host: MockHost::default(),
            metrics: Metrics::default(),
            limiter: Limiter::default(),
            site: Arc::new(Site::new(&Config::parse(json.as_bytes()).0)),
            loaded: Rc::new(loaded),
            stream: Stream::default(),
        }
    }

    fn call<T>(&mut self, callback: impl FnOnce(&mut Stream, &mut Outlets<'_, MockHost>) -> T) -> T {
        let Self {
            host,
            metrics,
            limiter,
            stream,
            ..
        } = self;
        callback(stream, &mut Outlets { host, metrics, limiter })
    }

    fn set(&self, map: Headers, fields: &[(&str, &str)]) {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self.host.header_maps.borrow_mut().insert(map, fields.collect());
    }

    fn request(&mut self, fields: &[(&str, &str)], end: bool) -> Action {
        let mut all = vec![(":method", "POST"), (":path", "/"), (":authority", "a.example")];
        all.extend(fields);
        self.set(Headers::Request, &all);
        let (site, loaded) = (Arc::clone(&self.site), Rc::clone(&self.loaded));
        let select = |_: &[u8]| {
            Some(Selected {
                loaded,
                authority: None,
            })
        };
        self.call(|stream, outlets| stream.request_headers(outlets, &site, select, end))
    }

    fn body(&mut self, held: &str, end: bool) -> Action {
        self.host.buffers.borrow_mut().insert(Buffer::RequestBody, held.into());
        self.call(|stream, outlets| stream.request_body(outlets, held.len(), end))
    }

    fn response(&mut self, fields: &[(&str, &str)], end: bool) -> Action {
        self.set(Headers::Response, fields);
        self.call(|stream, outlets| stream.response_headers(outlets, end))
    }

    fn response_body(&mut self, held: &str, end: bool) -> Action {
        self.host.buffers.borrow_mut().insert(Buffer::ResponseBody, held.into());
        self.call(|stream, outlets| stream.response_body(outlets, held.len(), end))
    }

    fn log(&mut self) {
        self.call(Stream::log);
    }

    fn status(&self) -> Option<u16> {
        self.host.responses.borrow().last().map(|response| response.status)
    }
}

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];
const ARGS: &str = "SecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,status:406,severity:ERROR,tag:'attack-sqli',msg:'no',logdata:'%{MATCHED_VAR}'\"\n";
const OK: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/html")];

#[test]
fn phase_2_runs_with_the_head_when_nothing_follows() {
    let mut driver = Driver::new(ARGS);
    assert_eq!(
        driver.request(&[(":path", "/?a=evil")], true),
        Action::Continue,
        "the first :path counts"
    );
    let mut driver = Driver::new("SecRule REQUEST_HEADERS:a \"@streq b\" \"id:1,phase:2,deny\"");
    assert_eq!(driver.request(&[("a", "b")], true), Action::Pause);
    assert_eq!(driver.status(), Some(403));
    let mut driver = Driver::new("SecRule REQUEST_HEADERS:Host \"@streq a.example\" \"id:1,phase:1,deny\"");
    assert_eq!(driver.request(&[], false), Action::Pause);
}

#[test]
fn a_body_is_held_until_its_end_and_copied_once() {
    let mut driver = Driver::new(ARGS);
    assert_eq!(driver.request(&FORM, false), Action::Continue);
    let asked = driver.host.asked.get();
    assert_eq!(driver.body("a=ev", false), Action::Pause);
    assert_eq!(driver.host.asked.get(), asked);
    assert_eq!(driver.body("a=evil", true), Action::Pause);
    assert_eq!(driver.status(), Some(406));
    assert_eq!(
        driver.body("a=evil&more", false),
        Action::Pause,
        "nothing passes behind the answer"
    );
    let mut driver = Driver::new(ARGS);
    driver.request(&FORM, false);
    assert_eq!(driver.body("a=good", true), Action::Continue);
    let mut driver = Driver::new(ARGS);
    driver.request(&FORM, false);
    driver.body("a=evil", false);
    assert_eq!(
        driver.call(Stream::request_trailers),
        Action::Pause,
        "trailers end a body"
    );
}

#[test]
fn at_the_limit_the_body_is_rejected_or_inspected_as_far_as_it_goes() {
    let long = format!("a=evil&b={}", "x".repeat(100));
    let mut driver = Driver::new(ARGS);
    driver.request(&FORM, false);
    assert_eq!(driver.body(&long, false), Action::Pause);
    assert_eq!(driver.status(), Some(413));
    let mut driver = Driver::new(&format!("SecRequestBodyLimitAction ProcessPartial\n{ARGS}"));
    driver.request(&FORM, false);
    assert_eq!(driver.body(&long, false), Action::Pause);
    assert_eq!(driver.status(), Some(406));
    let mut driver = Driver::new(&format!("SecRequestBodyLimitAction ProcessPartial\n{ARGS}"));
    driver.request(&FORM, false);
    assert_eq!(driver.body(&"x".repeat(101), false), Action::Continue);
    assert_eq!(driver.body("a=evil", true), Action::Continue, "the rest passes");
}

#[test]
fn less_is_held_where_envoy_holds_less_and_a_part_will_do() {
    let json = r#"{"max_held_body_bytes":10}"#;
    let mut driver = Driver::with(&format!("SecRequestBodyLimitAction ProcessPartial\n{ARGS}"), json);
    driver.request(&FORM, false);
    assert_eq!(driver.body("a=evil&b=c", false), Action::Pause);
    assert_eq!(driver.body("a=evil&b=cd", false), Action::Pause);
    assert_eq!(driver.status(), Some(406));
    let mut driver = Driver::with(ARGS, json);
    driver.request(&FORM, false);
    assert_eq!(driver.body("a=evil&b=cd", false), Action::Pause);
    assert_eq!(driver.status(), None, "all of it or nothing");
}

#[test]
fn what_has_no_end_is_not_held() {
    for fields in [
        &[("content-type", "application/grpc")][..],
        &[("content-type", "a/stream")],
        &[("upgrade", "websocket"), ("connection", "upgrade")],
    ] {
        let mut driver = Driver::new(ARGS);
        assert_eq!(driver.request(fields, false), Action::Continue);
        assert_eq!(driver.body("a=evil", false), Action::Continue, "{fields:?}");
        assert_eq!(driver.host.metric("waf_filter.tx.uninspected_streams"), 1);
        assert_eq!(driver.response(&OK, false), Action::Continue);
        assert_eq!(driver.response_body("x", false), Action::Continue);
    }
    let mut driver = Driver::new(ARGS);
    let upgrade = [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("content-length", "6"),
        FORM[0],
    ];
    driver.request(&upgrade, false);
    assert_eq!(driver.body("a=evil", false), Action::Pause);
    assert_eq!(driver.status(), Some(406), "an upgrade with a body is inspected");
}

#[test]
fn the_response_is_inspected_and_replaced_or_broken_off() {
    let rule = "SecRule RESPONSE_STATUS \"@streq 500\" \"id:2,phase:3,deny,status:502\"\n";
    let mut driver = Driver::new(rule);
    driver.request(&[], true);
    driver.response(&[(":status", "500")], true);
    assert_eq!(driver.status(), Some(502));

    let rule = "SecRule RESPONSE_BODY \"@contains secret\" \"id:3,phase:4,deny,status:403\"\n";
    let mut driver = Driver::new(rule);
    driver.request(&[], true);
    assert_eq!(driver.response(&OK, false), Action::Continue, "a held head stalls");
    assert_eq!(driver.response_body("sec", false), Action::Pause);
    assert_eq!(driver.response_body("secret", true), Action::Pause);
    assert_eq!(*driver.host.closed.borrow(), [Side::Response]);
    driver.log();
    let log = driver.host.log_text();
    assert!(
        log.contains(r#""status":200"#) && log.contains(r#""action":"deny""#),
        "{log}"
    );
    assert!(!log.contains(r#""matched_data":"secret""#), "no bodies in logs");

    for fields in [
        &[(":status", "200"), ("content-type", "text/event-stream")][..],
        &[(":status", "101")],
        &[(":status", "200"), ("content-type", "image/png")],
    ] {
        let mut driver = Driver::new(rule);
        driver.request(&[], true);
        driver.response(fields, false);
        assert_eq!(driver.response_body("secret", false), Action::Continue, "{fields:?}");
    }
}

#[test]
fn an_early_answer_waits_for_phase_2_on_what_is_held() {
    let mut driver = Driver::new(ARGS);
    driver.request(&FORM, false);
    driver.body("a=evil", false);
    driver.response(&OK, false);
    assert_eq!(driver.status(), Some(406));
    let mut driver = Driver::new(ARGS);
    driver.request(&FORM, false);
    driver.body("a=good", false);
    assert_eq!(driver.response(&OK, true), Action::Continue);
}

#[test]
fn our_own_answer_is_not_inspected_but_logged() {
    let mut driver = Driver::new(&format!(
        "{ARGS}SecRule RESPONSE_STATUS \"@streq 406\" \"id:4,phase:3,deny,status:500\"\nSecAction \"id:5,phase:5,log,pass,msg:'last'\"\n"
    ));
    driver.request(&FORM, false);
    driver.body("a=evil", true);
    assert_eq!(driver.response(&[(":status", "406")], true), Action::Continue);
    driver.log();
    assert_eq!(driver.host.responses.borrow().len(), 1);
    let log = driver.host.log_text();
    assert!(log.contains("[id \"1\"]") && log.contains("[id \"5\"]"), "{log}");
}

#[test]
fn redirects_name_their_place_and_drops_close() {
    let mut driver =
        Driver::new("SecAction \"id:1,phase:1,redirect:'https://b.example/?from=%{REQUEST_HEADERS.x}'\"\n");
    driver.request(&[("x", "a b\u{e9}")], true);
    let response = driver.host.responses.borrow()[0].clone();
    assert_eq!(response.status, 302);
    assert_eq!(
        response.headers,
        [("location".to_owned(), b"https://b.example/?from=a%20b%C3%A9".to_vec())]
    );
    let mut driver = Driver::new("SecAction \"id:1,phase:1,drop\"\n");
    assert_eq!(driver.request(&[], true), Action::Pause);
    assert_eq!(*driver.host.closed.borrow(), [Side::Request]);
}

#[test]
fn operators_learn_of_a_block_in_four_ways() {
    let mut driver = Driver::new(ARGS);
    driver
        .host
        .properties
        .borrow_mut()
        .insert("source.address".into(), b"[2001:db8::1]:99".to_vec());
    driver.request(&[FORM[0], ("x-request-id", "r-7")], false);
    driver.body("a=evil", true);
    driver.log();
    let state = driver.host.filter_state.borrow();
    let state: Vec<_> = state
        .iter()
        .map(|(key, value)| (&**key, std::str::from_utf8(value).expect("text")))
        .collect();
    let expected = [
        ("io.coraza.waf.action", "deny"),
        ("io.coraza.waf.category", "sqli"),
        ("io.coraza.waf.client_ip", "2001:db8::1"),
        ("io.coraza.waf.event", "coraza_waf_blocked_request"),
        ("io.coraza.waf.phase", "http_request_body"),
        ("io.coraza.waf.rule_id", "1"),
        ("io.coraza.waf.severity", "ERROR"),
        ("io.coraza.waf.status", "406"),
    ];
    assert_eq!(state, expected);
    let logs = driver.host.logs.borrow();
    let matched = logs
        .iter()
        .find(|(_, line)| line.contains("ModSecurity: Access denied with code 406 (phase 2)"))
        .expect("a match");
    assert_eq!(matched.0, crate::host::Level::Error);
    assert!(
        matched.1.starts_with("[client 2001:db8::1]") && matched.1.ends_with("[unique_id \"r-7\"]"),
        "{}",
        matched.1
    );
    let block = logs
        .iter()
        .find(|(_, line)| line.contains("coraza_waf_blocked_request"))
        .expect("a block");
    assert!(matched.1.contains("[file \"own-rules\"] [line \"1\"]"), "{}", matched.1);
    let json: serde_json::Value = serde_json::from_str(&block.1).expect("JSON");
    assert_eq!(
        (&json["rule_source"], &json["rule_line"]),
        (&"own-rules".into(), &1.into())
    );
    assert_eq!(
        (&json["request_id"], &json["rule_id"], &json["matched_data"]),
        (&"r-7".into(), &"1".into(), &"evil".into())
    );
    assert_eq!(
        driver
            .host
            .metric("waf_filter.tx.interruptions_ruleid=1_phase=http_request_body"),
        1
    );
    let blocked = "coraza_waf_blocked_requests_total_driver_type_wasm_engine_unknown_namespace_unknown_category_sqli_severity_ERROR";
    assert_eq!(driver.host.metric(blocked), 1);
}

#[test]
fn each_request_is_a_line_where_that_is_asked_for() {
    let lines = |configuration: &str, body: &str| {
        let mut driver = Driver::with(ARGS, configuration);
        driver.request(&[FORM[0], ("x-request-id", "r-8")], false);
        driver.body(body, true);
        driver.log();
        let logs = driver.host.logs.borrow();
        let lines = logs
            .iter()
            .filter_map(|(_, line)| serde_json::from_str::<serde_json::Value>(line).ok());
        let requests: Vec<_> = lines.filter(|line| line["event"] == "coraza_waf_request").collect();
        requests
    };
    assert_eq!(lines("{}", "a=evil"), [] as [serde_json::Value; 0]);
    let all = r#"{"log_requests":true,"engine":"shop","namespace":"prod"}"#;
    for (body, outcome) in [("a=evil", "block"), ("a=good", "pass")] {
        let lines = lines(all, body);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let fields =
            ["engine", "namespace", "driver_type", "outcome", "request_id"].map(|field| lines[0][field].clone());
        assert_eq!(fields, ["shop", "prod", "wasm", outcome, "r-8"]);
    }
}

#[test]
fn matches_are_sampled_unless_all_are_wanted() {
    let rules: String = (10..100)
        .map(|id| format!("SecAction \"id:{id},phase:1,log,pass\"\n"))
        .collect();
    let mut driver = Driver::with(&rules, "{}");
    driver.request(&[], true);
    driver.log();
    assert_eq!(driver.host.logs.borrow().len(), 20);
    let mut driver = Driver::new(&rules);
    driver.request(&[], true);
    driver.log();
    assert_eq!(driver.host.logs.borrow().len(), 90);
}

#[test]
fn scores_are_counted_by_bucket() {
    let mut driver = Driver::new("SecAction \"id:1,phase:1,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=12\"\n");
    driver.request(&[], true);
    driver.log();
    let name = |suffix: &str| format!("coraza_waf_request_anomaly_score_{suffix}");
    let engine = "driver_type_wasm_engine_unknown_namespace_unknown";
    for (suffix, value) in [
        (format!("bucket_{engine}_le_10"), 0),
        (format!("bucket_{engine}_le_15"), 1),
        (format!("bucket_{engine}_le_inf"), 1),
        (format!("count_{engine}"), 1),
        (format!("sum_{engine}"), 12),
    ] {
        assert_eq!(driver.host.metric(&name(&suffix)), value, "{suffix}");
    }
}
