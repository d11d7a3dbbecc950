//! Whole stories of a VM, on a host that is told what to do.

use super::*;
use crate::host::mock::{MockHost, Sent};
use crate::host::{Action, Side};

const SECOND: u64 = 1_000_000_000;
const DENY: &str =
    "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,status:403\"\n";

/// A VM, its time and its streams.
struct Vm {
    plugin: Plugin<MockHost>,
    streams: u32,
    /// Requests that neither went on nor were answered, as the host didn't take the answer.
    held: usize,
}

fn config(token: &str) -> String {
    format!(
        r#"{{"cache_server_cluster":"outbound|80||cache","cache_server_instance":"ns/rules","cache_token":"{token}",
        "rule_reload_interval_seconds":15,"engine":"shop","namespace":"prod"}}"#
    )
}

fn rules_json(uuid: &str, seconds: u64, rules: &str) -> String {
    serde_json::json!({"uuid": uuid, "timestamp": format!("1970-01-01T00:00:{seconds:02}Z"), "rules": rules})
        .to_string()
}

impl Vm {
    fn new() -> Self {
        Self::of(MockHost::default())
    }

    fn of(host: MockHost) -> Self {
        host.time.set(host.time.get().max(1_000 * SECOND));
        let set = |name: &str, value: &[u8]| host.properties.borrow_mut().insert(name.into(), value.into());
        set("source.address", b"10.0.0.1:1234");
        set("destination.address", b"10.0.0.2:80");
        set("request.protocol", b"HTTP/1.1");
        set("xds.node.id", b"router~10.0.0.9~gateway-7.prod~prod.svc.cluster.local");
        Self {
            plugin: Plugin::new(host),
            streams: 100,
            held: 0,
        }
    }

    fn host(&self) -> &MockHost {
        &self.plugin.host
    }

    fn configure(&mut self, root: u32, json: &str) -> bool {
        self.host()
            .buffers
            .borrow_mut()
            .insert(Buffer::Configuration, json.into());
        self.plugin.on_context_create(root, 0);
        self.plugin.on_configure(root, json.len())
    }

    /// Lets time pass, with a tick each 50 ms.
    fn pass(&mut self, root: u32, nanos: u64) {
        let until = self.host().time.get() + nanos;
        while self.host().time.get() < until {
            let time = self.host().time.get() + 50_000_000;
            self.host().time.set(time);
            self.plugin.on_tick(root);
        }
    }

    fn sent(&self) -> Sent {
        self.host().calls.borrow().last().cloned().expect("a call")
    }

    fn calls(&self) -> usize {
        self.host().calls.borrow().len()
    }

    fn answer(&mut self, root: u32, fields: &[(&str, &str)], body: &str) {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self.host()
            .header_maps
            .borrow_mut()
            .insert(Headers::CallResponse, fields.collect());
        self.host()
            .buffers
            .borrow_mut()
            .insert(Buffer::CallResponse, body.into());
        let token = u32::try_from(self.calls()).expect("few");
        self.plugin.on_call_response(root, token, body.len());
    }

    fn answer_rules(&mut self, root: u32, uuid: &str, seconds: u64, rules: &str) {
        self.answer(root, &[(":status", "200")], &rules_json(uuid, seconds, rules));
        self.pass(root, SECOND / 5);
    }

    /// A GET without body; the status that it is answered with, if it is.
    fn get(&mut self, root: u32, path: &str) -> Option<u16> {
        self.streams += 1;
        let stream = self.streams;
        let fields = [
            (":method", "GET"),
            (":path", path),
            (":authority", "shop.example"),
            ("x-request-id", "r1"),
        ];
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self.host()
            .header_maps
            .borrow_mut()
            .insert(Headers::Request, fields.collect());
        let before = self.host().responses.borrow().len();
        let closed = self.host().closed.borrow().len();
        self.plugin.on_context_create(stream, root);
        let action = self.plugin.on_request_headers(stream, true);
        self.plugin.on_log(stream);
        self.plugin.on_delete(stream);
        let responses = self.plugin.host.responses.borrow();
        let ended = responses.len() > before || self.plugin.host.closed.borrow().len() > closed;
        assert!(self.plugin.host.failing.get().is_some() || ended == (action == Action::Pause));
        if action == Action::Pause && !ended {
            self.held += 1;
        }
        responses.get(before).map(|response| response.status)
    }

    /// A VM that runs DENY as revision `a` of second 10.
    fn with_rules(root: u32) -> Self {
        let mut vm = Self::new();
        assert!(vm.configure(root, &config("token")));
        vm.pass(root, SECOND);
        vm.answer_rules(root, "a", 10, DENY);
        assert_eq!(vm.get(root, "/?x=evil"), Some(403));
        vm
    }
}

#[test]
fn the_first_rules_come_from_the_cache_and_are_enforced() {
    let mut vm = Vm::new();
    assert!(vm.configure(1, &config("token")));
    assert_eq!(vm.calls(), 0, "nothing is sent before the first tick");
    assert_eq!(vm.get(1, "/"), Some(503));
    vm.pass(1, SECOND);
    let sent = vm.sent();
    assert_eq!(sent.cluster, "outbound|80||cache");
    let expected = [
        (":method", "GET"),
        (":path", "/rules/ns/rules"),
        (":authority", "cache"),
        ("authorization", "Bearer token"),
        ("accept-encoding", "gzip"),
        ("x-coraza-engine", "prod/shop"),
        ("x-coraza-pod", "gateway-7"),
        ("x-coraza-revision", "none"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(sent.headers, expected);
    vm.answer_rules(1, "a", 10, DENY);
    assert_eq!(vm.get(1, "/?x=evil"), Some(403));
    assert_eq!(vm.get(1, "/?x=good"), None);
    vm.pass(1, SECOND);
    let sent = vm.sent();
    assert_eq!(sent.header(":path"), Some("/rules/ns/rules/latest"));
    assert_eq!(sent.header("if-none-match"), Some("W/\"10000000000-a\""));
    assert_eq!(sent.header("prefer"), Some("wait=15"));
    assert_eq!(sent.header("x-coraza-revision"), Some("W/\"10000000000-a\""));
    assert_eq!(sent.timeout, 17_000);
    let host = vm.host();
    for (name, value) in [
        ("waf_filter.tx.total", 2),
        ("waf_filter.tx.interruptions_ruleid=1_phase=http_request_body", 1),
        (
            "coraza_waf_requests_total_driver_type_wasm_engine_shop_namespace_prod_outcome_block",
            1,
        ),
        (
            "coraza_waf_requests_total_driver_type_wasm_engine_shop_namespace_prod_outcome_pass",
            1,
        ),
        (
            "coraza_waf_requests_total_driver_type_wasm_engine_shop_namespace_prod_outcome_error",
            1,
        ),
        (
            "coraza_waf_plugin_loads_total_driver_type_wasm_engine_shop_namespace_prod_status_success",
            1,
        ),
        (
            "coraza_waf_plugin_rule_count_driver_type_wasm_engine_shop_namespace_prod",
            1,
        ),
        (
            "coraza_waf_blocked_requests_total_driver_type_wasm_engine_shop_namespace_prod_category_other_severity_CRITICAL",
            1,
        ),
    ] {
        assert_eq!(host.metric(name), value, "{name}");
    }
}

#[test]
fn without_rules_the_failure_policy_decides() {
    let mut vm = Vm::new();
    vm.configure(1, &config("t"));
    assert_eq!(vm.get(1, "/"), Some(503));
    let response = vm.host().responses.borrow().last().cloned().expect("response");
    assert_eq!(response.body, b"The web application firewall has no rules yet.\n");
    let mut vm = Vm::new();
    vm.configure(1, r#"{"cache_server_cluster":"c","failure_policy":"allow"}"#);
    assert_eq!(vm.get(1, "/?x=evil"), None);
    let mut vm = Vm::new();
    assert!(vm.configure(1, "no json"), "no update of Envoy's may be refused");
    assert_eq!(vm.get(1, "/"), Some(503));
}

#[test]
fn rules_that_do_not_compile_leave_the_last_good_ones_and_are_tried_once() {
    let mut vm = Vm::with_rules(1);
    vm.pass(1, SECOND);
    let latest = r#"{"uuid":"b","timestamp":"1970-01-01T00:00:20Z"}"#;
    vm.answer(1, &[(":status", "200"), ("preference-applied", "wait=15")], latest);
    vm.pass(1, SECOND / 5);
    assert_eq!(vm.sent().header(":path"), Some("/rules/ns/rules"));
    vm.answer_rules(1, "b", 20, "SecRule ARGS \"@rx (\" \"id:1\"");
    assert_eq!(vm.get(1, "/?x=evil"), Some(403));
    assert_eq!(
        vm.host()
            .metric("coraza_waf_plugin_loads_total_driver_type_wasm_engine_shop_namespace_prod_status_failure"),
        1
    );
    let failures = vm.host().log_text().matches(r#""status":"failure""#).count();
    vm.pass(1, 10 * SECOND);
    vm.answer(1, &[(":status", "200")], latest);
    vm.pass(1, 60 * SECOND);
    assert_eq!(vm.host().log_text().matches(r#""status":"failure""#).count(), failures);
    assert_eq!(
        vm.sent().header(":path"),
        Some("/rules/ns/rules/latest"),
        "it isn't fetched again"
    );
    assert_eq!(
        vm.sent().header("x-coraza-revision"),
        Some("W/\"10000000000-a\""),
        "what is enforced is told"
    );
}

#[test]
fn each_failure_is_logged_once_until_polling_works_again() {
    let mut vm = Vm::new();
    vm.configure(1, &config("t"));
    for _ in 0..3 {
        vm.pass(1, 6 * SECOND);
        vm.answer(
            1,
            &[(":status", "403")],
            r#"{"error":"Forbidden","reason":"another RuleSet's token"}"#,
        );
    }
    assert_eq!(vm.host().log_text().matches("coraza_waf_poll_failure").count(), 1);
    assert!(vm.host().log_text().contains("status 403: another RuleSet's token"));
    assert_eq!(vm.host().metric("waf_filter.poll.failures_reason=forbidden"), 3);
    vm.pass(1, 6 * SECOND);
    vm.answer(1, &[(":status", "503")], "");
    vm.pass(1, 6 * SECOND);
    vm.answer_rules(1, "a", 10, DENY);
    assert_eq!(vm.host().log_text().matches("coraza_waf_poll_failure").count(), 2);
    assert_eq!(vm.host().log_text().matches("coraza_waf_poll_recovered").count(), 1);
}

#[test]
fn another_token_keeps_the_rules_and_the_new_configuration_polls() {
    let mut vm = Vm::with_rules(1);
    let calls = vm.calls();
    assert!(vm.configure(2, &config("next")));
    assert_eq!(vm.get(2, "/?x=evil"), Some(403), "no gap");
    assert_eq!(vm.get(1, "/?x=evil"), Some(403), "streams of the old one too");
    vm.plugin.on_tick(1);
    assert_eq!(vm.host().tick.get(), 0, "the old one rests");
    vm.pass(2, SECOND);
    assert!(vm.calls() > calls);
    assert_eq!(vm.sent().header("authorization"), Some("Bearer next"));
    assert_eq!(vm.sent().header(":path"), Some("/rules/ns/rules/latest"));
    // What the old one is answered is of no interest.
    vm.answer(1, &[(":status", "200")], &rules_json("z", 59, "SecRuleEngine Off"));
    vm.plugin.on_delete(1);
    vm.pass(2, SECOND);
    assert_eq!(vm.get(2, "/?x=evil"), Some(403));
    // A VM that starts now finds the rules under the new token, and not under the old one.
    let mut rebuilt = Vm::of(vm.host().beside());
    rebuilt.configure(1, &config("next"));
    assert_eq!(rebuilt.get(1, "/?x=evil"), Some(403));
    let mut old = Vm::of(vm.host().beside());
    old.configure(1, &config("token"));
    assert_eq!(old.get(1, "/?x=evil"), Some(503));
}

#[test]
fn one_worker_polls_and_the_others_take_what_it_found_good() {
    let mut first = Vm::new();
    let mut second = Vm::of(first.host().beside());
    first.configure(1, &config("t"));
    second.configure(1, &config("t"));
    for _ in 0..40 {
        first.pass(1, SECOND / 20);
        second.host().time.set(first.host().time.get());
        second.plugin.on_tick(1);
    }
    assert_eq!((first.calls(), second.calls()), (1, 0));
    first.answer_rules(1, "a", 10, DENY);
    assert_eq!(second.get(1, "/?x=evil"), Some(503));
    second.pass(1, SECOND / 2);
    assert_eq!(second.get(1, "/?x=evil"), Some(403));
    // The poller dies: the other takes over, and reports only what is alive after a while.
    second.pass(1, 5 * SECOND);
    assert_eq!(second.calls(), 1);
    assert_eq!(second.sent().header(":path"), Some("/rules/ns/rules/latest"));
}

#[test]
fn rules_that_become_current_anew_are_so_for_all_workers() {
    let mut first = Vm::with_rules(1);
    let mut second = Vm::of(first.host().beside());
    second.configure(1, &config("token"));
    second.pass(1, SECOND);
    assert_eq!(second.get(1, "/?x=evil"), Some(403));
    first.host().time.set(second.host().time.get());
    first.pass(1, 4 * SECOND);
    let latest = r#"{"uuid":"a","timestamp":"1970-01-01T00:00:30Z"}"#;
    first.answer(1, &[(":status", "200")], latest);
    second.host().time.set(first.host().time.get());
    second.pass(1, SECOND);
    first.host().time.set(second.host().time.get());
    first.pass(1, 2 * SECOND);
    // The worst of both.
    assert_eq!(first.sent().header("x-coraza-revision"), Some("W/\"30000000000-a\""));
}

#[test]
fn what_is_being_loaded_is_reported_by_the_first_poll_that_waits() {
    let mut vm = Vm::new();
    vm.configure(1, &config("t"));
    vm.pass(1, SECOND);
    for (uuid, seconds) in [("a", 10), ("b", 20)] {
        // Each step takes a tick.
        vm.host().slowness.set(SECOND / 200);
        vm.answer_rules(1, uuid, seconds, &DENY.replace("evil", uuid));
        vm.pass(1, 5 * SECOND);
        vm.host().slowness.set(0);
        assert_eq!(vm.get(1, &format!("/?x={uuid}")), Some(403));
        assert_eq!(vm.sent().header("prefer"), Some("wait=15"));
        let reported = format!("W/\"{seconds}000000000-{uuid}\"");
        assert_eq!(vm.sent().header("x-coraza-revision"), Some(reported.as_str()));
        let latest = r#"{"uuid":"b","timestamp":"1970-01-01T00:00:20Z"}"#;
        vm.answer(1, &[(":status", "200")], latest);
        vm.pass(1, SECOND / 2);
    }
}

#[test]
fn two_configurations_with_other_rules_live_in_one_vm() {
    let mut vm = Vm::with_rules(1);
    let other = config("t").replace("ns/rules", "ns/other");
    assert!(vm.configure(2, &other));
    assert_eq!(vm.get(2, "/?x=evil"), Some(503));
    vm.pass(2, SECOND);
    assert_eq!(vm.sent().header(":path"), Some("/rules/ns/other"));
    vm.answer_rules(
        2,
        "b",
        10,
        "SecRuleEngine On\nSecRule ARGS \"@contains bad\" \"id:2,phase:2,deny,status:406\"",
    );
    assert_eq!((vm.get(1, "/?x=evil"), vm.get(2, "/?x=evil")), (Some(403), None));
    assert_eq!((vm.get(1, "/?x=bad"), vm.get(2, "/?x=bad")), (None, Some(406)));
    // The same root takes another RuleSet: the one that nobody uses goes.
    assert!(vm.configure(1, &other));
    assert_eq!(vm.plugin.slots.len(), 1);
    vm.plugin.on_delete(2);
    assert_eq!(vm.get(1, "/?x=bad"), Some(406));
    vm.plugin.on_delete(1);
    assert!(vm.plugin.slots.is_empty());
}

#[test]
fn static_rules_are_chosen_by_authority_and_wrong_ones_refused() {
    let json = r#"{"directives_map":{"a":["SecRuleEngine On","SecRule ARGS \"@contains evil\" \"id:1,phase:1,deny,status:403\""],
        "b":["SecRuleEngine On"]},"default_directives":"a","per_authority_directives":{"other.example":"b"}}"#;
    let mut vm = Vm::new();
    assert!(vm.configure(1, json));
    assert_eq!(vm.get(1, "/?x=evil"), Some(403));
    let by_authority = json.replace("other.example", "SHOP.example");
    assert!(vm.configure(2, &by_authority));
    assert_eq!(vm.get(2, "/?x=evil"), None);
    assert_eq!(
        vm.host()
            .metric("waf_filter.tx.interruptions_ruleid=1_phase=http_request_headers_authority=other"),
        1
    );
    assert!(!vm.configure(3, &json.replace("@contains evil", "@nothing")));
    assert!(!vm.configure(3, &json.replace(r#""other.example":"b""#, r#""other.example":"c""#)));
    assert!(!vm.configure(
        3,
        &json.replace(r#""default_directives":"a""#, r#""default_directives":"c""#)
    ));
    assert_eq!(vm.get(2, "/?x=evil"), None, "the others stay");
}

#[test]
fn what_somebody_else_shares_is_not_believed() {
    let mut vm = Vm::with_rules(1);
    let mut thief = Vm::of(vm.host().beside());
    thief.configure(1, &config("stolen"));
    thief.pass(1, SECOND);
    thief.answer_rules(1, "evil", 59, "SecRuleEngine Off");
    vm.pass(1, 5 * SECOND);
    assert_eq!(vm.get(1, "/?x=evil"), Some(403));
    assert!(
        vm.host()
            .shared_values()
            .iter()
            .all(|value| !value.windows(5).any(|part| part == b"token"))
    );
}

/// The story of a VM from its configuration to its end; the statuses that attacks were answered with.
fn story(vm: &mut Vm) -> Vec<Option<u16>> {
    vm.configure(1, &config("t"));
    vm.pass(1, SECOND);
    if vm.calls() > 0 {
        vm.answer_rules(1, "a", 10, DENY);
    }
    let mut answers = vec![vm.get(1, "/?x=evil")];
    vm.pass(1, SECOND);
    vm.configure(2, &config("next"));
    vm.pass(2, SECOND);
    answers.push(vm.get(2, "/?x=evil"));
    vm.plugin.on_delete(1);
    answers
}

#[test]
fn no_failure_of_the_host_lets_an_attack_through_or_lasts() {
    let mut vm = Vm::new();
    assert_eq!(story(&mut vm), [Some(403), Some(403)]);
    let calls = vm.host().asked.get();
    assert!(calls > 60, "{calls}");
    for failing in 0..calls {
        for all in [false, true] {
            let mut vm = Vm::new();
            vm.host().failing.set(Some((failing, all)));
            let answers = story(&mut vm);
            let closed = vm
                .host()
                .closed
                .borrow()
                .iter()
                .filter(|side| **side == Side::Request)
                .count();
            let answered = answers.iter().flatten().count();
            assert_eq!(
                answered + closed + vm.held,
                2,
                "call {failing} of {calls} (all: {all}): {answers:?}"
            );
            vm.host().failing.set(None);
            for root in [1, 2] {
                vm.configure(root, &config("next"));
            }
            vm.pass(2, 30 * SECOND);
            vm.answer_rules(2, "b", 50, DENY);
            vm.pass(2, SECOND);
            let fetched = vm.get(2, "/?x=evil");
            assert_eq!(fetched, Some(403), "after call {failing} of {calls} (all: {all})");
        }
    }
}
