//! What the plugin enforces through a real Gateway, pulled as an OCI image by pilot-agent, while rules, Engines and objects change. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_api::{Engine, RuleSet, RuleSource};
use coraza_e2e::envoy::read_until_silent;
use coraza_e2e::mesh::Mesh;
use coraza_e2e::object::{DESTINATION_RULE, Kind, NETWORK_POLICY, SERVICE_ENTRY, WASM_PLUGIN};
use coraza_e2e::protected::{answers, engine, refuse, send};
use coraza_e2e::{Gateway, Namespace, Protected, Upstream, until};
use http::Request;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const PLUGIN: &str = "coraza-engine-waf";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn engines_of_one_name_in_two_namespaces_enforce_each_its_own() {
    Mesh::shared_with_plugin().await;
    let start = async |word| Protected::start_with(&refuse(word)).await;
    let (one, other) = tokio::join!(start("apples"), start("pears"));
    for (protected, own, others) in [(&one, "apples", "pears"), (&other, "pears", "apples")] {
        protected.answers(&format!("/?q={own}"), 403).await;
        protected.answers(&format!("/?q={others}"), 200).await;
        protected.enforced().await;
    }
    one.edit(&refuse("plums")).await;
    one.answers("/?q=plums", 403).await;
    one.answers("/?q=apples", 200).await;
    other.answers("/?q=pears", 403).await;
    other.answers("/?q=plums", 200).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn three_gateways_enforce_what_they_share_and_their_own_which_changes_at_once() {
    Mesh::shared_with_plugin().await;
    let namespace = Namespace::create().await;
    let upstream = Upstream::start_on_node().await;
    namespace.source("shared", &refuse("attack")).await;
    let mut gateways = Vec::new();
    for number in 0..3 {
        let name = format!("web-{number}");
        namespace.source(&name, &own(number, "before")).await;
        namespace.ruleset(&name, &["shared", &name], &[]).await;
        gateways.push(Gateway::start_before(&namespace, &name, upstream.address()).await);
        namespace.apply::<Engine>(&name, engine(&name, &name)).await;
    }
    let enforced = async |word: &str, without: &str| {
        for (number, gateway) in gateways.iter().enumerate() {
            answers(gateway, &format!("/?q={word}-{number}"), 403).await;
            answers(gateway, &format!("/?q={without}-{number}"), 200).await;
            answers(gateway, &format!("/?q={word}-{}", (number + 1) % 3), 200).await;
            answers(gateway, "/?q=attack", 403).await;
        }
    };
    enforced("before", "after").await;
    let edit = async |number: usize| {
        namespace.source(&format!("web-{number}"), &own(number, "after")).await;
    };
    tokio::join!(edit(0), edit(1), edit(2));
    enforced("after", "before").await;
}

/// A rule of one of several Engines.
fn own(number: usize, word: &str) -> String {
    format!("SecRule ARGS \"@contains {word}-{number}\" \"id:2,phase:2,deny,status:403\"")
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_follow_their_sources_and_the_last_good_ones_outlive_them() {
    Mesh::shared_with_plugin().await;
    let protected = Protected::start().await;
    let namespace = &protected.namespace;
    // Another source.
    namespace.source("more", &own(0, "more")).await;
    namespace.ruleset("waf", &["rules", "more"], &[]).await;
    protected.answers("/?q=more-0", 403).await;
    protected.answers("/?q=attack", 403).await;
    // An edit.
    protected.edit(&refuse("assault")).await;
    protected.answers("/?q=assault", 403).await;
    protected.answers("/?q=attack", 200).await;
    // Ten edits, as fast as they are taken.
    for number in 0..10 {
        protected.edit(&refuse(&format!("rapid-{number}"))).await;
    }
    protected.answers("/?q=rapid-9", 403).await;
    for number in 0..9 {
        protected.answers(&format!("/?q=rapid-{number}"), 200).await;
    }
    protected.enforced().await;
    // A broken edit, and a source that goes.
    let stays = async || {
        protected.answers("/?q=rapid-9", 403).await;
        protected.answers("/?q=more-0", 403).await;
        protected.answers("/?q=fine", 200).await;
    };
    protected.edit("SecNonsense On").await;
    let degraded = namespace
        .condition::<RuleSet>("waf", ("Degraded", "True", "ReferencedRuleSourceInvalid"))
        .await;
    assert!(degraded.message.contains("SecNonsense"), "{}", degraded.message);
    stays().await;
    protected.edit(&refuse("rapid-9")).await;
    namespace.ready("waf").await;
    namespace.delete::<RuleSource>("more").await;
    namespace
        .condition::<RuleSet>("waf", ("Degraded", "True", "RuleSourceNotFound"))
        .await;
    stays().await;
    protected.enforced().await;
    // All of it goes; whoever is protected stays so.
    namespace.delete::<RuleSource>("rules").await;
    namespace.delete::<RuleSet>("waf").await;
    namespace
        .condition::<Engine>("waf", ("Degraded", "True", "RuleSetNotFound"))
        .await;
    stays().await;
    let mut protected = protected;
    protected.gateway = protected.gateway.replace(&protected.namespace).await;
    protected.answers("/?q=rapid-9", 403).await;
    protected.answers("/?q=fine", 200).await;
    // And comes back, with the engine off.
    protected
        .edit("SecRuleEngine Off\nSecRule ARGS \"@contains rapid\" \"id:1,phase:2,deny,status:403\"")
        .await;
    protected.namespace.ruleset("waf", &["rules"], &[]).await;
    protected.answers("/?q=rapid-9", 200).await;
    protected.answers("/?q=%3Cscript%3E", 200).await;
    protected.enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn children_that_are_deleted_or_edited_by_hand_are_repaired_and_enforcement_goes_on() {
    let mesh = Mesh::shared_with_plugin().await;
    let protected = Protected::start().await;
    protected.enforced().await;
    let (client, namespace) = (&protected.namespace.client, protected.namespace.name.as_str());
    let wanted = WASM_PLUGIN.get(client, namespace, PLUGIN).await.unwrap();
    let repaired = async |what: &str| {
        until(&format!("the WasmPlugin to be repaired after {what}"), async || {
            let plugin = WASM_PLUGIN
                .get(client, namespace, PLUGIN)
                .await
                .ok_or("there is none")?;
            let same = plugin["spec"] == wanted["spec"];
            if same { Ok(()) } else { Err(plugin["spec"].to_string()) }
        })
        .await;
        protected.answers("/?q=attack", 403).await;
        protected.answers("/?q=fine", 200).await;
    };
    for edit in [
        json!({ "pluginConfig": { "failure_policy": "allow", "cache_server_instance": "other/rules" } }),
        json!({ "match": [{ "mode": "SERVER", "ports": [{ "number": 9 }] }] }),
        json!({ "url": "oci://registry.example/other:v1", "failStrategy": "FAIL_OPEN" }),
        json!({ "selector": { "matchLabels": { "nobody": "has-it" } } }),
    ] {
        let what = edit.to_string();
        let patch = Patch::Merge(json!({ "spec": edit }));
        let plugins = WASM_PLUGIN.within(client, namespace);
        plugins.patch(PLUGIN, &PatchParams::default(), &patch).await.unwrap();
        repaired(&what).await;
    }
    WASM_PLUGIN.delete(client, namespace, PLUGIN).await;
    repaired("its deletion").await;

    let uid = protected
        .namespace
        .api::<Engine>()
        .get("waf")
        .await
        .unwrap()
        .uid()
        .unwrap();
    let operator = mesh.fleet.namespace.as_str();
    for (kind, name) in [
        (NETWORK_POLICY, format!("coraza-cache-{uid}")),
        (SERVICE_ENTRY, "coraza-controller-ruleset-cache".to_owned()),
        (DESTINATION_RULE, "coraza-controller-ruleset-cache".to_owned()),
    ] {
        let before = kind.get(client, operator, &name).await.unwrap();
        kind.delete(client, operator, &name).await;
        returns(kind, operator, &name, &before, &protected).await;
    }
    protected.edit(&refuse("assault")).await;
    protected.answers("/?q=assault", 403).await;
    protected.answers("/?q=attack", 200).await;
    protected.enforced().await;
}

/// Waits until another object has the place and the spec of one that was deleted.
async fn returns(kind: Kind, namespace: &str, name: &str, before: &Value, protected: &Protected) {
    until(&format!("{kind:?} {namespace}/{name} to be made again"), async || {
        let object = kind
            .get(&protected.namespace.client, namespace, name)
            .await
            .ok_or("there is none")?;
        let (old, new) = (&before["metadata"]["uid"], &object["metadata"]["uid"]);
        if old != new && object["spec"] == before["spec"] {
            Ok(())
        } else {
            Err(object.to_string())
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn of_two_engines_the_older_ones_rules_are_enforced_and_then_the_others() {
    Mesh::shared_with_plugin().await;
    let protected = Protected::start().await;
    let namespace = &protected.namespace;
    namespace.source("others", &refuse("assault")).await;
    namespace.ruleset("others", &["others"], &[]).await;
    namespace.apply::<Engine>("second", engine("web", "others")).await;
    namespace
        .condition::<Engine>("second", ("Accepted", "False", "TargetConflict"))
        .await;
    protected.answers("/?q=attack", 403).await;
    protected.answers("/?q=assault", 200).await;
    namespace.delete::<Engine>("waf").await;
    protected.answers("/?q=assault", 403).await;
    protected.answers("/?q=attack", 200).await;
    // Gone altogether, and back with rules that were edited meanwhile.
    namespace.delete::<Engine>("second").await;
    protected.answers("/?q=assault", 200).await;
    protected.edit(&refuse("onslaught")).await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    protected.answers("/?q=onslaught", 403).await;
    protected.answers("/?q=attack", 200).await;
    protected.enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_before_its_gateway_and_its_ruleset_lets_pass_and_enforces_once_both_are_there() {
    Mesh::shared_with_plugin().await;
    let namespace = Namespace::create().await;
    let mut spec = engine("web", "waf");
    spec["failurePolicy"] = json!("allow");
    namespace.apply::<Engine>("waf", spec).await;
    namespace
        .condition::<Engine>("waf", ("Accepted", "False", "TargetNotFound"))
        .await;
    let protected = Protected::before(namespace).await;
    protected
        .namespace
        .condition::<Engine>("waf", ("Accepted", "True", "Accepted"))
        .await;
    protected
        .namespace
        .condition::<Engine>("waf", ("Degraded", "True", "RuleSetNotFound"))
        .await;
    protected.answers("/?q=attack", 200).await;
    protected.edit(&refuse("attack")).await;
    protected.namespace.ruleset("waf", &["rules"], &[]).await;
    protected.answers("/?q=attack", 403).await;
    protected.answers("/?q=fine", 200).await;
    protected.enforced().await;
}

const WHERE_RULES_SAY: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@beginsWith text/" "id:12,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule ARGS|REQUEST_BODY "@contains evil" "id:2,phase:2,deny,status:403"
SecRule REQUEST_HEADERS:User-Agent "@contains badbot" "id:3,phase:1,deny,status:403"
SecRule REQUEST_COOKIES:session "@streq stolen" "id:4,phase:1,deny,status:403"
SecRule REQUEST_HEADERS:X-Custom "@contains bad" "id:5,phase:1,deny,status:403"
SecRule REQUEST_HEADERS:Referer "@contains phish" "id:6,phase:1,deny,status:403"
SecRule ARGS:status "@streq 403" "id:7,phase:2,deny,status:403"
SecRule ARGS:status "@streq 406" "id:8,phase:2,deny,status:406"
SecRule ARGS:status "@streq 503" "id:9,phase:2,deny,status:503"
SecRule RESPONSE_HEADERS:x-leak "@streq 1" "id:10,phase:3,deny,status:502"
SecRule ARGS:to "@streq elsewhere" "id:11,phase:2,redirect:'https://elsewhere.example/',status:302"
"#;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn headers_bodies_and_answers_are_inspected_and_refused_as_rules_say() {
    Mesh::shared_with_plugin().await;
    let protected = Protected::start_with(WHERE_RULES_SAY).await;
    protected.answers("/?q=evil", 403).await;
    let verdict = async |name: &str, value: &str, path: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder().method(method).uri(path).header(name, value);
        let answer = send(&protected.gateway, request.body(body.to_owned()).unwrap()).await;
        answer.unwrap().status.as_u16()
    };
    for (name, value, path, body, status) in [
        ("user-agent", "badbot/1.0", "/", "", 403),
        ("user-agent", "Mozilla/5.0", "/", "", 200),
        ("cookie", "a=b; session=stolen", "/", "", 403),
        ("cookie", "a=b; session=mine", "/", "", 200),
        ("x-custom", "a bad one", "/", "", 403),
        ("x-custom", "a good one", "/", "", 200),
        ("referer", "https://phish.example/", "/", "", 403),
        ("referer", "https://shop.example/", "/", "", 200),
        (
            "content-type",
            "application/json",
            "/",
            r#"{"a": {"b": ["good", "evil"]}}"#,
            403,
        ),
        (
            "content-type",
            "application/json",
            "/",
            r#"{"a": {"b": ["good"]}}"#,
            200,
        ),
        ("content-type", "text/plain", "/", "something evil", 403),
        ("content-type", "text/plain", "/", "something good", 200),
        (
            "content-type",
            "application/x-www-form-urlencoded",
            "/",
            "a=1&b=ev%69l",
            403,
        ),
        (
            "content-type",
            "application/x-www-form-urlencoded",
            "/",
            "a=1&b=good",
            200,
        ),
        ("x-any", "1", "/?status=403", "", 403),
        ("x-any", "1", "/?status=406", "", 406),
        ("x-any", "1", "/?status=503", "", 503),
        ("x-any", "1", "/?to=elsewhere", "", 302),
        ("x-any", "1", "/header/x-leak/1", "", 502),
        ("x-any", "1", "/header/x-leak/2", "", 200),
    ] {
        assert_eq!(
            verdict(name, value, path, body).await,
            status,
            "{name}: {value}, {path}, {body}"
        );
    }
    let seen = protected.upstream.seen();
    assert!(seen.iter().all(|request| !request.contains("evil")), "{seen:?}");
    assert!(
        seen.iter().any(|request| request.contains("something good")),
        "{seen:?}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_act_in_the_order_of_their_sources() {
    Mesh::shared_with_plugin().await;
    let namespace = Namespace::create().await;
    for (name, rules) in [
        ("base", "SecRuleEngine On"),
        (
            "pass",
            r#"SecRule ARGS:q "@contains trusted" "id:1,phase:2,pass,nolog,ctl:ruleRemoveById=2""#,
        ),
        (
            "block",
            "SecRule ARGS:q \"@contains forbidden\" \"id:2,phase:2,deny,status:403\"\nSecRule ARGS:q \"@contains retired\" \"id:3,phase:2,deny,status:403\"",
        ),
        ("override", "SecRuleRemoveById 3"),
    ] {
        namespace.source(name, rules).await;
    }
    namespace
        .ruleset("waf", &["base", "pass", "block", "override"], &[])
        .await;
    namespace.ready("waf").await;
    let protected = Protected::before(namespace).await;
    protected.namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    protected.answers("/?q=forbidden", 403).await;
    protected.answers("/?q=trusted-forbidden", 200).await;
    protected.answers("/?q=retired", 200).await;
    protected
        .namespace
        .ruleset("waf", &["base", "block", "pass"], &[])
        .await;
    protected.answers("/?q=trusted-forbidden", 403).await;
    protected.answers("/?q=retired", 403).await;
}

const LOGGED: &str = r#"SecRuleEngine On
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus 403
SecAuditLogFormat JSON
SecAuditLogParts ABHZ
SecRule ARGS "@contains attack" "id:77,phase:2,deny,status:403,log,auditlog,msg:'logged',severity:CRITICAL,tag:'attack-sqli'"
"#;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_was_blocked_is_in_logs_and_metrics_under_its_request_id_and_its_engine() {
    Mesh::shared_with_plugin().await;
    let protected = Protected::start_with(LOGGED).await;
    protected.answers("/?q=attack", 403).await;
    protected.answers("/?q=attack-logged", 403).await;
    let gateway = &protected.gateway;
    until("all that is said of the request", async || {
        let log = gateway.agent_log();
        let access = log
            .lines()
            .find(|line| line.starts_with("ACCESS GET /?q=attack-logged "));
        let access = access.ok_or("no line of the access log")?;
        let id = access.split("request=").nth(1).and_then(|rest| rest.split(' ').next());
        let id = id.filter(|id| *id != "-").ok_or("no request id")?;
        let said = "403 request=".to_owned() + id + " rule=77 phase=http_request_body category=sqli";
        if !access.contains(&said) {
            return Err(format!("{access} hasn't {said}"));
        }
        for event in ["AuditLog:", "coraza_waf_blocked_request"] {
            let told = log.lines().any(|line| line.contains(event) && line.contains(id));
            if !told {
                return Err(format!("no {event} of request {id}"));
            }
        }
        let stats = gateway.curl(&["http://127.0.0.1:15090/stats/prometheus"])?;
        let labels = format!("engine_waf_namespace_{}", protected.namespace.name);
        for name in ["coraza_waf_requests_total", "coraza_waf_blocked_requests_total"] {
            let told = stats
                .lines()
                .any(|line| line.contains(name) && line.contains(&labels.replace('-', "_")));
            if !told {
                let ours: Vec<_> = stats.lines().filter(|line| line.contains("coraza_waf")).collect();
                return Err(format!("no {name}: {ours:#?}"));
            }
        }
        Ok(())
    })
    .await;
}

const LEAKS: &str = r#"SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule ARGS "@contains attack" "id:1,phase:2,deny,status:403"
SecRule RESPONSE_BODY "@contains secret" "id:4,phase:4,deny,status:451,log,msg:'a leak',tag:'attack-disclosure'"
"#;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_response_body_that_is_refused_is_broken_off_and_logged_with_the_status_that_was_sent() {
    Mesh::shared_with_plugin().await;
    let protected = Protected::start_with(LEAKS).await;
    protected.answers("/?q=attack", 403).await;
    let gateway = &protected.gateway;
    let raw = async |path: &str| {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nx-marker: {path}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&read_until_silent(&mut stream).await).into_owned()
    };
    // The head is on its way before the body is known: all that is left is to end the stream in the middle.
    let broken = raw("/body/a-secret").await;
    let (head, body) = broken.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("content-length: 8"),
        "{head}"
    );
    assert_eq!(body, "");
    let whole = raw("/body/a-story").await;
    assert!(
        whole.starts_with("HTTP/1.1 200 OK") && whole.ends_with("\r\n\r\na-story"),
        "{whole}"
    );
    assert!(
        protected
            .upstream
            .seen()
            .iter()
            .any(|request| request.contains("/body/a-secret"))
    );

    let block = until("all that is said of it", async || {
        let log = gateway.agent_log();
        let access = log.lines().find(|line| line.starts_with("ACCESS GET /body/a-secret "));
        let access = access.ok_or("no line of the access log")?;
        let id = access.split("request=").nth(1).and_then(|rest| rest.split(' ').next());
        let id = id.ok_or("no request id")?;
        let said =
            format!("200 request={id} rule=4 phase=http_response_body category=disclosure action=deny status=200");
        if !access.contains(&said) {
            return Err(format!("{access} hasn't {said}"));
        }
        let event = log
            .lines()
            .find(|line| line.contains("coraza_waf_blocked_request") && line.contains(id));
        let event = event.and_then(|line| line.get(line.find('{')?..=line.rfind('}')?));
        serde_json::from_str::<Value>(event.ok_or("no event")?).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(
        (&block["rule_id"], &block["phase"], &block["action"], &block["status"]),
        (&json!("4"), &json!("http_response_body"), &json!("deny"), &json!(200)),
        "{block}"
    );
    assert!(block["matched_data"].is_null(), "bodies stay out of logs: {block}");
    // Its worker goes on.
    for _ in 0..4 {
        protected.answers("/?q=attack", 403).await;
        protected.answers("/body/a-story", 200).await;
    }
}
