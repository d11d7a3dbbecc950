//! Which cluster, namespace and user a command asks, by kubectl's conventions. What answers is a listener of the test: a real API server is
//! asked in `e2e/tests/kubectl_coraza.rs`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// An API server with one RuleSet in the namespace `shop`, which remembers what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let memory = Arc::clone(&asked);
        // It ends with the test's process.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let memory = Arc::clone(&memory);
                thread::spawn(move || serve(&connection, &memory));
            }
        });
        Self { address, asked }
    }

    /// What was asked since the last time: paths, and the user if one is impersonated.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread panicked"))
    }

    fn kubeconfig(&self, namespace: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: c, cluster: {{server: 'http://{0}'}}}}, {{name: gone, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {{token: secret}}}}]\n\
             contexts:\n- {{name: here, context: {{cluster: c, user: u, namespace: {namespace}}}}}\n\
             - {{name: elsewhere, context: {{cluster: gone, user: u}}}}\n",
            self.address
        )
    }
}

fn serve(mut connection: &TcpStream, memory: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let headers: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let user = headers
            .iter()
            .filter(|header| header.to_lowercase().starts_with("impersonate-"));
        let asked = std::iter::once(path.clone())
            .chain(user.cloned())
            .collect::<Vec<_>>()
            .join(" ");
        memory.lock().expect("no thread panicked").push(asked);
        let (status, body) = answer(&path);
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if connection.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(path: &str) -> (&'static str, Value) {
    let object = |kind: &str, name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": "shop"});
        (
            "200 OK",
            json!({"apiVersion": "waf.k8s.coraza.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}),
        )
    };
    match path.strip_prefix("/apis/waf.k8s.coraza.io/v1alpha1/namespaces/shop/") {
        Some("rulesets/shop") => object(
            "RuleSet",
            "shop",
            json!({"sources": [{"name": "rules"}], "data": [{"name": "words"}]}),
        ),
        Some("rulesets/broken") => object("RuleSet", "broken", json!({"sources": [{"name": "absent"}]})),
        Some("rulesources/rules") => {
            let rules = "SecRuleEngine On\nSecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:1,deny\"\n";
            object("RuleSource", "rules", json!({"rules": rules}))
        }
        Some("ruledata/words") => object("RuleData", "words", json!({"files": {"words.data": "evil"}})),
        _ => {
            let message = format!("{path} is not here");
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": message});
            ("404 Not Found", status)
        }
    }
}

/// Runs `explain` about a URL that only the RuleData blocks.
fn explain(home: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"))
        .args(["explain", "-o", "json"])
        .args(arguments)
        .arg("/?q=evil")
        .env("HOME", home.path())
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .current_dir(home.path())
        .output()
        .expect("the program runs")
}

#[test]
fn cluster_namespace_and_user_are_those_that_kubectl_would_take() {
    let server = Server::start();
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".kube")).expect("a folder");
    std::fs::write(home.path().join(".kube/config"), server.kubeconfig("shop")).expect("written");
    std::fs::write(home.path().join("other"), server.kubeconfig("elsewhere")).expect("written");

    let all = ["rulesets/shop", "rulesources/rules", "ruledata/words"];
    let all = all.map(|path| format!("/apis/waf.k8s.coraza.io/v1alpha1/namespaces/shop/{path}"));
    let groups = ["--as", "anna", "--as-group", "a", "--as-group", "b"];
    for (arguments, user) in [
        (&["--ruleset", "shop"][..], ""),
        (&["--ruleset", "shop/shop", "-n", "ignored"], ""),
        (&["--kubeconfig", "other", "-n", "shop", "--ruleset", "shop"], ""),
        (
            &[
                "--context",
                "elsewhere",
                "--cluster",
                "c",
                "-n",
                "shop",
                "--ruleset",
                "shop",
            ],
            "",
        ),
        (
            &[&groups[..], &["--ruleset", "shop"]].concat(),
            " impersonate-user: anna impersonate-group: a impersonate-group: b",
        ),
    ] {
        let output = explain(&home, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["verdict"], "blocked");
        assert_eq!(answer["interruption"]["place"], "RuleSource shop/rules:2");
        let expected = all.clone().map(|path| format!("{path}{user}"));
        assert_eq!(server.asked(), expected, "{arguments:?}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let server = Server::start();
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("config"), server.kubeconfig("shop")).expect("written");
    let at = format!("from http://{}/: ", server.address);
    for (arguments, message) in [
        (
            &["--ruleset", "absent"][..],
            format!("Error: failed to get RuleSet shop/absent {at}"),
        ),
        (
            &["--ruleset", "broken"],
            format!("Error: failed to get RuleSource shop/absent {at}"),
        ),
        (
            &["--ruleset", "shop", "--context", "none"],
            "Error: failed to find a cluster by the kubeconfig: ".to_owned(),
        ),
        (
            &["--ruleset", "No Name"],
            "Error: \"No Name\" is no name of a RuleSet: ".to_owned(),
        ),
        (
            &["--ruleset", "shop", "--context", "elsewhere", "--request-timeout", "5s"],
            "Error: failed to get RuleSet default/shop from http://127.0.0.1:1/: no answer: client error (Connect): tcp connect error: ".to_owned(),
        ),
        (
            &["--ruleset", "shop", "--request-timeout", "soon"],
            "a duration is a number of seconds".to_owned(),
        ),
    ] {
        let output = explain(&home, &[&["--kubeconfig", "config"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(&message), "{arguments:?}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
